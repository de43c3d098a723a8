"""hls4ml's `dense` and batch normalisation, to the bit.

Every strategy computes the same products, each cast to `accum_t`, on top of the bias in `accum_t`; where that type
wraps, the order of the sums makes no difference, and where it saturates it is the strategy's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import UnsupportedError
from hardwire.fixed import Overflow, Rounding
from hardwire.layers._base import imports
from hardwire.layers._hls4ml import Layer, Term
from hardwire.layers._hls4ml_types import Fixed
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record

Matrix = NDArray[Any]
PRODUCTS = ("mult", "weight_binary", "weight_ternary", "data_binary", "both_binary", "weight_exponential")


def product_terms(layer: Layer, product: str, weights: Matrix) -> tuple[Matrix, Matrix | None]:
    """Write hls4ml's product of x and each weight as `factor · x + offset`; the offset is None for none."""
    if product == "mult":
        return weights, None
    if product == "weight_binary":
        return np.where(weights == 0, -1.0, 1.0), None
    if product == "weight_ternary":
        return np.where(weights == 0, 0.0, np.where(weights == -1, -1.0, 1.0)), None
    if product == "data_binary":  # x is 0 or 1 and stands for -1 or 1
        return 2 * weights, -weights
    if product == "both_binary":  # 1 where both are equal
        return np.where(weights == 0, -1.0, 1.0), np.where(weights == 0, 1.0, 0.0)
    raise UnsupportedError(f"layer {layer.name!r} ({layer.record.kind}): the product {product!r} is not supported")


def exponential_weights(layer: Layer, pairs: Matrix, x: Fixed) -> Matrix:
    """Values of (sign, exponent) weights; refused where the shift leaves the product's type."""
    if layer.release < (0, 7):
        raise UnsupportedError(
            f"layer {layer.name!r} ({layer.record.kind}): exponential weights of hls4ml up to 0.6, which cut every "
            "shifted input to the input's type, are not supported",
            hint="write the project with hls4ml 0.8 or newer",
        )
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise UnsupportedError(f"layer {layer.name!r}: exponential weights that are no pairs of sign and exponent")
    exponents = pairs[:, 1]
    bits = int(max(np.max(np.abs(exponents)), 1)).bit_length() + 1
    room = x.width + bits
    if exponents.max() + x.integer > room or x.frac - exponents.min() > room:
        raise UnsupportedError(
            f"layer {layer.name!r}: an exponential weight shifts bits out of its product's type",
            hint="weights of fewer exponent bits",
        )
    return np.where(pairs[:, 0] == 1, 1.0, -1.0) * np.exp2(exponents)


def sums(
    layer: Layer,
    x: Term,
    kernel: Matrix,
    bias: Matrix | None,
    accum: Fixed,
    *,
    offset: Matrix | None = None,
    order: Any = None,
    part: str = "",
) -> Term:
    """Add an `accumulate` node over the last axis of `x`: products cast to `accum`, summed in `accum`."""
    quantiser = accum.quantiser()
    attrs = {"product": quantiser, "sum": quantiser, "order": tuple(range(len(kernel))) if order is None else order}
    params = {"kernel": kernel, **({} if offset is None else {"offset": offset})}
    if bias is not None:
        params["bias"] = bias
    return Term(layer.node("accumulate", part, [x.tensor], attrs, params), accum)


def resource_order(n_in: int, n_out: int, reuse: int) -> tuple[int, ...] | None:
    """Order in which the resource strategy adds the inputs; None where it differs between outputs."""
    if reuse <= n_in:
        return tuple(i for start in range(reuse) for i in range(start, n_in, reuse))
    return tuple(range(n_in)) if reuse % n_in == 0 else None


def dense_result(layer: Layer, total: Term, n_in: int, binary: bool) -> Term:
    """`nnet::cast`: a sum of equal bits counts matches, `2 · matches - n` is the sum of the signs."""
    if not binary:
        return total
    bits, wide = max(0, n_in - 1).bit_length() + 2, Fixed(True, 32, 32)
    kind = Fixed(True, bits, bits, Rounding.TRN_ZERO)
    if layer.release < (1, 2):  # half of the bits, rounded down, was taken off first
        total = layer.cast(layer.shifted(total, -float(n_in // 2), wide), kind, "matches")
        return layer.cast(layer.scaled(total, 2.0, wide), kind, "signs")
    return layer.cast(layer.shifted(layer.scaled(total, 2.0, wide), -float(n_in), wide), kind, "signs")


def kernel_sums(
    layer: Layer, x: Term, weights: Matrix, bias: Matrix, config: dict[str, Any], n_in: int, n_out: int
) -> Term:
    """Sums of a matrix product over the last axis of `x`, by a config's product, accumulator and strategy.

    `config` has `accum_t`, `product`, `kernel`, `strategy`, `reuse_factor`; `weights` is flat in the strategy's order.
    """
    accum, product = config["accum_t"], config["product"]
    if product == "weight_exponential":
        flat, product = exponential_weights(layer, weights, x.type), "mult"
    else:
        flat = weights
    if flat.size != n_in * n_out:
        raise UnsupportedError(
            f"layer {layer.name!r} ({layer.record.kind}): {flat.size} weights, expected {n_in} × {n_out}"
        )
    resource = config["transposed"]
    matrix = flat.reshape(n_out, n_in).T if resource else flat.reshape(n_in, n_out)
    order: Any = None
    if resource and accum.overflow is not Overflow.WRAP:
        order = resource_order(n_in, n_out, config["reuse_factor"])
        if order is None:
            raise UnsupportedError(
                f"layer {layer.name!r}: reuse factor {config['reuse_factor']} with a saturating accumulator",
                hint="an accumulator that wraps, whose result does not depend on the order of sums",
            )
    factor, offset = product_terms(layer, product, matrix)
    total = sums(layer, x, factor, bias, accum, offset=offset, order=order)
    return dense_result(layer, total, n_in, product == "both_binary")


def strategy_of(layer: Layer, config: dict[str, Any]) -> bool:
    """Take a config's kernel and strategy; returns whether the weights are laid out by output (resource)."""
    kernel = str(config.pop("kernel", ""))
    strategy = str(config.pop("strategy", "latency"))
    if "resource" in kernel.lower():  # unrolled code adds in the same order
        return True
    if "Latency" in kernel or (not kernel and strategy == "latency"):
        return False
    if not kernel and strategy in ("resource", "large"):
        return True
    raise UnsupportedError(
        f"layer {layer.name!r} ({layer.record.kind}): strategy {strategy!r} with the kernel {kernel or 'none'!r} is "
        "not supported",
        hint="write the project with strategy latency or resource; the results are the same",
    )


def matrix_config(layer: Layer, config: dict[str, Any]) -> dict[str, Any]:
    """Take what a matrix product needs from a config's members (they are removed)."""
    product = str(config.pop("product", "mult")).rpartition("::")[2]
    accum = config.pop("accum_t", None)
    if not isinstance(accum, Fixed):
        raise layer.record.unsupported("accum_t", accum, "expected an ap_fixed, ap_int, ac_fixed or ac_int type")
    if product not in PRODUCTS:
        raise layer.record.unsupported("product", product, f"only {', '.join(PRODUCTS)} are supported")
    return {
        "accum_t": accum,
        "product": product,
        "reuse_factor": config.pop("reuse_factor", 1),
        "transposed": strategy_of(layer, config),
    }


_DENSE = ("product", "accum_t", "kernel", "strategy", "reuse_factor")


def own_config(record: Record, *keys: str) -> dict[str, Any]:
    """Take some members of a call's config."""
    return {key: record.take(key) for key in keys if record.has(key)}


@imports("hls4ml", "dense", "dense_latency", "dense_resource", "dense_large")
def _dense(record: Record, net: NetworkBuilder) -> str:
    """`dense(data, res, weights, biases)`."""
    config = own_config(record, *_DENSE)
    if record.kind != "dense":  # before hls4ml 0.5 the function said the strategy
        config["strategy"] = record.kind.removeprefix("dense_")
    layer = Layer(record, net)
    record.ignore("weight_t", "bias_t")
    n_in, n_out = layer.integer("n_in"), layer.integer("n_out")
    total = kernel_sums(layer, layer.x, layer.array(0), layer.array(1), matrix_config(layer, config), n_in, n_out)
    return layer.assign(total)


@imports("hls4ml", "dense_compressed")
def _dense_compressed(record: Record, net: NetworkBuilder) -> str:
    """`dense_compressed(data, res, weights, biases)`: triples of row, column, weight."""
    config = own_config(record, *_DENSE)
    layer = Layer(record, net)
    record.ignore("weight_t", "bias_t")
    done = matrix_config(layer, {**config, "strategy": "latency"})
    shape, triples = (layer.integer("n_in"), layer.integer("n_out")), layer.array(0)
    if triples.ndim != 2 or triples.shape[1] != 3 or done["product"] != "mult":
        raise UnsupportedError(f"layer {layer.name!r} ({record.kind}): weights that are no (row, column, value)")
    if done["accum_t"].overflow is not Overflow.WRAP:
        raise UnsupportedError(
            f"layer {layer.name!r} ({record.kind}): compressed weights with a saturating accumulator",
            hint="an accumulator that wraps, whose result does not depend on the order of sums",
        )
    rows, columns = (triples[:, i].astype(np.int64) for i in range(2))
    if len(rows) and (rows.max() >= shape[0] or columns.max() >= shape[1]):
        raise UnsupportedError(f"layer {layer.name!r} ({record.kind}): a weight outside of {shape[0]} × {shape[1]}")
    kernel = np.zeros(shape)
    kernel[rows, columns] = triples[:, 2]
    return layer.assign(sums(layer, layer.x, kernel, layer.array(1), done["accum_t"]))


@imports("hls4ml", "normalize")
def _normalize(record: Record, net: NetworkBuilder) -> str:
    """`normalize(data, res, scale, bias)`: one product and one sum an element, exact up to the result's cast."""
    layer = Layer(record, net)
    record.ignore("scale_t", "bias_t", "n_scale_bias", "weight_t", "accum_t")
    product = layer.word("product", "mult", *PRODUCTS)
    n_in, channels = layer.integer("n_in"), layer.integer("n_filt", -1)
    x = by_channel(layer, layer.x, n_in, channels)
    if product == "weight_exponential":
        scale = exponential_weights(layer, layer.array(0), layer.x.type)
        reach = int(np.abs(np.log2(np.abs(scale))).max()) + 2
        scale_type, product = Fixed(True, 2 * reach, reach), "mult"
    else:
        scale, scale_type = layer.array(0), layer.weight_type(0)
    factor, offset = product_terms(layer, product, scale)
    y = layer.scaled(x, factor, scale_type)
    if offset is not None:
        y = layer.shifted(y, offset, scale_type)
    if layer.release < (0, 7):  # a product was cast before the bias was added
        y = layer.cast(y, layer.result, "product_cast")
    return layer.assign(layer.shifted(y, layer.array(1), layer.weight_type(1)))


def by_channel(layer: Layer, x: Term, n_in: int, channels: int) -> Term:
    """View a flat tensor as (positions, channels) where a parameter is shared by the positions."""
    if channels in (-1, n_in) or channels <= 0:
        return x
    return layer.view(x, (n_in // channels, channels))


@imports("hls4ml", "normalize_binary_tanh")
def _normalize_binary_tanh(record: Record, net: NetworkBuilder) -> str:
    """1 from a threshold on, else 0."""
    layer = Layer(record, net)
    record.ignore("n_scale_bias", "accum_t")
    x = by_channel(layer, layer.x, layer.integer("n_in"), layer.integer("n_filt", -1))
    thresholds = layer.x.type(layer.array(0))
    return layer.compared(x, "greater" if layer.release < (0, 8) else "greater_equal", thresholds)


@imports("hls4ml", "normalize_ternary_tanh")
def _normalize_ternary_tanh(record: Record, net: NetworkBuilder) -> str:
    """1 above the upper threshold, -1 from the lower one down, else 0."""
    layer = Layer(record, net)
    record.ignore("n_scale_bias", "accum_t")
    x = by_channel(layer, layer.x, layer.integer("n_in"), layer.integer("n_filt", -1))
    high, low = (layer.x.type(layer.array(place)) for place in (0, 1))
    bit = Fixed(False, 1, 1)
    above = Term(layer.compared(x, "greater", high), bit)
    below = Term(layer.compared(x, "less_equal", low), bit)
    # Where both hold, the first wins.
    down = layer.where(above.tensor, layer.scaled(above, 0.0, bit), below)
    return layer.sub(above, down).tensor
