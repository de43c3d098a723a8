"""Rewrites of a Network that need no numbers from data, and the quantiser of each input port.

Every rewrite keeps the float meaning: exactly, save the folding of batch normalisation into a layer with a kernel,
which rounds in float64. `prepare` runs them until none applies and is idempotent, so it may run again after
calibration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from hardwire.errors import ModelError
from hardwire.fixed import Overflow, Rounding, width_of
from hardwire.layers import layer_of
from hardwire.layers._scales import column_codes
from hardwire.layers.batch_norm import folded
from hardwire.network._ports import StatedTypes, joint_of_uses, quantised_uses, stated_types
from hardwire.network.graph import Network, Node, Shape
from hardwire.network.scores import fold_scores
from hardwire.network.thresholds import absorbed, moved
from hardwire.quantiser import Quantiser

Rewrite = Callable[[Network], Network | None]
"""Applies itself once, or returns None where it finds nothing."""

_SATURATING = (Overflow.SAT, Overflow.SAT_SYM)
_NEAREST = (
    Rounding.RND,
    Rounding.RND_ZERO,
    Rounding.RND_INF,
    Rounding.RND_MIN_INF,
    Rounding.RND_CONV,
)
QUANTISED_BITS = 16
"""Weights that need no more bits on a binary grid count as quantised and are never changed."""


def prepare(network: Network) -> Network:
    """Return an equal, simpler network: see each rewrite of `REWRITES`."""
    changed = True
    while changed:
        changed = False
        for rewrite in REWRITES:
            while (simpler := rewrite(network)) is not None:
                network, changed = simpler, True
    return network


def drop_dead(network: Network) -> Network | None:
    """Remove nodes that no output depends on."""
    needed = set(network.outputs)
    for node in reversed(network.nodes):
        if needed.intersection(node.outputs):
            needed.update(node.inputs)
    kept = tuple(node for node in network.nodes if needed.intersection(node.outputs))
    return None if len(kept) == len(network.nodes) else _with_nodes(network, kept)


def merge_quantisers(network: Network) -> Network | None:
    """Let equal quantisers of one tensor be one node."""
    first: dict[str, list[Node]] = {}
    for node in network.nodes:
        if node.kind != "quantise":
            continue
        for other in first.setdefault(node.inputs[0], []):
            if node.outputs[0] not in network.outputs and same_quantiser(_rule(node), _rule(other)):
                return _dropped(network, node, other.outputs[0])
        first[node.inputs[0]].append(node)
    return None


def drop_identities(network: Network) -> Network | None:
    """Remove nodes that change nothing, such as a reshape to the same shape; one that is an output stays."""
    for node in network.nodes:
        shape = network.shapes[node.inputs[0]]
        if node.outputs[0] in network.outputs or shape != network.shapes[node.outputs[0]]:
            continue
        if _is_identity(node, len(shape)):
            return _dropped(network, node, node.inputs[0])
    return None


def _is_identity(node: Node, rank: int) -> bool:
    match node.kind:
        case "reshape":
            return True
        case "transpose":
            return tuple(node.attrs["perm"]) == tuple(range(rank))
        case "clip":
            return node.attrs.get("lo") is None and node.attrs.get("hi") is None
        case "leaky_relu":
            return bool(node.attrs["slope"] == 1) and node.attrs.get("output") is None
        case "concat":
            return len(node.inputs) == 1
        case "add" | "sub":
            reverse = node.attrs.get("reverse", False)
            return "constant" in node.params and not np.any(node.params["constant"]) and not reverse
        case "mul":
            factor = node.params.get("constant", np.zeros(1)) * node.params.get("constant_scale", np.float64(1.0))
            return bool(np.all(factor == 1))
    return False


def join_views(network: Network) -> Network | None:
    """Let a reshape of a reshape, or a transpose of a transpose, be one."""
    for node in network.nodes:
        before = network.producer(node.inputs[0]) if node.kind in ("reshape", "transpose") else None
        if before is None or before.kind != node.kind:
            continue
        if node.kind == "reshape":
            attrs = {"shape": network.shapes[node.outputs[0]]}
        else:
            attrs = {"perm": tuple(before.attrs["perm"][axis] for axis in node.attrs["perm"])}
        gone = before if _private(network, before) else None
        return _replaced(network, {node.name: node.with_(inputs=before.inputs, attrs=attrs)}, gone)
    return None


def drop_repeated_quantisers(network: Network) -> Network | None:
    """Remove a quantiser whose input is on its grid and in its range already, by the quantiser before it."""
    for node in network.nodes:
        before = network.producer(node.inputs[0]) if node.kind == "quantise" else None
        if before is None or before.kind != "quantise" or node.outputs[0] in network.outputs:
            continue
        if _contains(_rule(node), _rule(before)):
            return _dropped(network, node, node.inputs[0])
    return None


def join_quantisers(network: Network) -> Network | None:
    """Let a saturating quantiser and one of fewer codes at the same scale be one, as QCDQ models write it."""
    for node in network.nodes:
        before = network.producer(node.inputs[0]) if node.kind == "quantise" else None
        if before is None or before.kind != "quantise" or not _private(network, before):
            continue
        outer, inner = _rule(node), _rule(before)
        alike = np.all(outer.scale == inner.scale) and np.all(outer.zero == inner.zero)
        if outer.mantissa is not None or inner.mantissa is not None:
            continue
        if not alike or {outer.overflow, inner.overflow} != {Overflow.SAT} or outer.rounding not in _NEAREST:
            continue
        bounds = {key: np.clip(getattr(inner, key), outer.lo, outer.hi) for key in ("lo", "hi")}
        joined = node.with_(inputs=before.inputs, attrs={**node.attrs, "quantiser": replace(inner, **bounds)})
        return _replaced(network, {node.name: joined}, before)
    return None


def _contains(outer: Quantiser, inner: Quantiser) -> bool:
    """Whether `outer` leaves every value of `inner` as it is; False where that is not plain."""
    if outer.mantissa is not None:
        return False
    ratio = inner.scale / outer.scale
    dyadic = np.all(np.frexp(outer.scale)[0] == 0.5) and np.all(np.frexp(inner.scale)[0] == 0.5)
    if not (np.all(ratio == 1) and outer.rounding in _NEAREST) and not dyadic:
        return False
    lo, hi = outer.limits
    fits = (ratio >= 1) & ((inner.lo - inner.zero) * ratio >= lo) & ((inner.hi - inner.zero) * ratio <= hi)
    return bool(np.all(fits))


def hoist_quantisers(network: Network) -> Network | None:
    """Move a quantiser over the reshape or transpose before it, toward the input, so that the port finds it."""
    for node in network.nodes:
        before = network.producer(node.inputs[0]) if node.kind == "quantise" else None
        if before is None or before.kind not in ("reshape", "transpose") or not _private(network, before):
            continue
        source, between = before.inputs[0], before.outputs[0]
        old, new = network.shapes[source], network.shapes[between]

        def moved(part: Any, old: Shape = old, new: Shape = new, before: Node = before) -> Any:
            if np.size(part) == 1:
                return np.reshape(part, ())
            full = np.broadcast_to(part, new)
            if before.kind == "reshape":
                return full.reshape(old)
            return full.transpose(tuple(np.argsort(before.attrs["perm"])))

        q = _rule(node)
        quantiser = replace(q, scale=moved(q.scale), lo=moved(q.lo), hi=moved(q.hi), zero=moved(q.zero))
        first = node.with_(inputs=(source,), outputs=(between,), attrs={**node.attrs, "quantiser": quantiser})
        second = before.with_(inputs=(between,), outputs=node.outputs)
        nodes = [{before.name: first, node.name: second}.get(other.name, other) for other in network.nodes]
        return _with_nodes(network, nodes, {between: old})
    return None


def sink_transposes(network: Network) -> Network | None:
    """Let an elementwise node come before the transpose of its inputs, so that transposes meet and cancel.

    A channels-first model has one on each side of every convolution; between them its channels are last then.
    """
    for node in network.nodes:
        if not _elementwise(node):
            continue
        before = [network.producer(tensor) for tensor in node.inputs]
        perms = {tuple(b.attrs["perm"]) if b is not None and b.kind == "transpose" else None for b in before}
        perm = perms.pop()
        if perms or perm is None or (len(before) == 1 and not _private(network, before[0])):  # type: ignore[arg-type]
            continue
        attrs = dict(node.attrs)
        if node.kind == "batch_norm":
            attrs["axis"] = perm[node.attrs.get("axis", -1)]
        inner = f"{node.outputs[0]}.turned"
        while inner in network.shapes:
            inner += "_"
        sources = tuple(b.inputs[0] for b in before if b is not None)
        first = node.with_(inputs=sources, outputs=(inner,), attrs=attrs)
        back = Node("transpose", inner, (inner,), node.outputs, {"perm": perm})
        nodes = [new for other in network.nodes for new in ((first, back) if other is node else (other,))]
        return _with_nodes(network, nodes, {inner: network.shapes[sources[0]]})
    return None


def _elementwise(node: Node) -> bool:
    """Whether a node does the same to every element, or to every channel along an axis that it names."""
    if node.kind in ("relu", "clip"):
        return True
    if node.kind in ("batch_norm", "leaky_relu", "activation"):
        return node.attrs.get("output") is None
    return node.kind in ("add", "sub", "mul") and "constant" not in node.params


def fold_batch_norm(network: Network) -> Network | None:
    """Fold a batch normalisation into the layer with a kernel before it, or else into the one behind it.

    Legal where nothing else reads the tensor between, the axis is the last one, and the layer's parameters are
    float64 without scales; into one behind, also where its padding adds no zeros that the offset would miss. A kernel
    on a grid of at most 16 bits is left as it was trained; its batch normalisation stays a node.
    """
    for node in network.nodes:
        if node.kind != "batch_norm" or node.attrs.get("output") is not None:
            continue
        rank = len(network.shapes[node.inputs[0]])
        if node.attrs.get("axis", -1) % rank != rank - 1:
            continue
        factor, offset = folded(node)
        layer = network.producer(node.inputs[0])
        if layer is not None and _foldable(layer) and _private(network, layer):
            kernel = layer.params["kernel"] * factor
            bias = layer.params.get("bias", np.zeros(len(factor))) * factor + offset
            joined = layer.with_(outputs=node.outputs, params={**layer.params, "kernel": kernel, "bias": bias})
            return _replaced(network, {layer.name: joined}, node)
        after = network.consumers(node.outputs[0])
        if _private(network, node) and _foldable(after[0]):
            layer = after[0]
            if np.any(offset) and not _reads_everywhere(layer):
                continue
            # Row i of output j stands for channel i of the group that j belongs to.
            *_, per, m = layer.params["kernel"].shape
            group = np.arange(m) // (m // layer.attrs.get("groups", 1))
            channel = np.arange(per)[:, None] + group[None, :] * per
            products = layer.params["kernel"] * offset[channel]
            kernel = layer.params["kernel"] * factor[channel]
            bias = products.sum(axis=tuple(range(products.ndim - 1))) + layer.params.get("bias", np.zeros(m))
            joined = layer.with_(inputs=node.inputs, params={**layer.params, "kernel": kernel, "bias": bias})
            return _replaced(network, {layer.name: joined}, node)
    return None


def fold_constants(network: Network) -> Network | None:
    """Fold a sum, difference or product with a constant for each channel into the layer with a kernel before it.

    So exporters write batch normalisation; legal where folding that is.
    """
    for node in network.nodes:
        layer = network.producer(node.inputs[0]) if node.kind in ("add", "sub", "mul") else None
        if layer is None or not _foldable(layer) or not _private(network, layer) or len(node.inputs) != 1:
            continue
        shape, constant = network.shapes[node.inputs[0]], node.params["constant"]
        alone = constant.size == 1 or (constant.size == constant.shape[-1] == shape[-1])
        if set(node.params) != {"constant"} or constant.ndim > len(shape) or not alone:
            continue
        values = np.broadcast_to(np.asarray(constant, np.float64).ravel(), shape[-1:])
        factor = values if node.kind == "mul" else np.float64(-1.0 if node.attrs.get("reverse", False) else 1.0)
        offset = np.asarray({"add": values, "mul": 0.0, "sub": -factor * values}[node.kind], np.float64)
        old = np.asarray(layer.params.get("bias", np.zeros(shape[-1])), np.float64)
        bias = old * factor + offset
        params = {**layer.params, "kernel": layer.params["kernel"] * factor, "bias": bias}
        return _replaced(network, {layer.name: layer.with_(outputs=node.outputs, params=params)}, node)
    return None


_WITH_KERNEL = ("dense", "conv", "conv_transpose")
"""Kinds with a `kernel` (..., inputs, outputs) and a `bias` (outputs,)."""


def _foldable(node: Node) -> bool:
    if node.kind not in _WITH_KERNEL or {"kernel_scale", "bias_scale"} & set(node.params):
        return False
    kernel = node.params["kernel"]
    if kernel.dtype.kind != "f":
        return False
    return not _on_grid(kernel.reshape(-1, kernel.shape[-1]))


def _reads_everywhere(node: Node) -> bool:
    """Whether every output of a layer with a kernel is a sum over all of its taps."""
    return node.kind == "dense" or (node.kind == "conv" and not np.any(node.attrs["padding"]))


def _on_grid(kernel: Any) -> bool:
    codes, _ = column_codes(kernel)
    return all(width_of(min(column), max(column)) <= QUANTISED_BITS for column in codes.T.tolist())


def move_bias(network: Network) -> Network | None:
    """Move a float bias into the batch normalisation behind it, where the kernel stays as it was trained.

    Beside products on a grid of their own such a bias has no common grid with them that is not far finer.
    """
    for node in network.nodes:
        layer = network.producer(node.inputs[0]) if node.kind == "batch_norm" else None
        if layer is None or layer.kind not in _WITH_KERNEL or "bias" not in layer.params:
            continue
        rank = len(network.shapes[node.inputs[0]])
        if node.attrs.get("axis", -1) % rank != rank - 1 or not _private(network, layer):
            continue
        if "bias_scale" not in layer.params and _on_grid(layer.params["bias"].reshape(1, -1)):
            continue
        params = dict(layer.params)
        bias = params.pop("bias") * np.asarray(params.pop("bias_scale", 1.0), np.float64)
        factor, offset = folded(node)
        shifted = {"gamma": factor, "beta": offset + factor * bias}
        shifted |= {"mean": np.zeros_like(factor), "variance": np.ones_like(factor)}
        after = node.with_(attrs={**node.attrs, "epsilon": 0.0}, params=shifted)
        return _replaced(network, {layer.name: layer.with_(params=params), node.name: after}, None)
    return None


def settle_batch_norm(network: Network) -> Network | None:
    """Write a batch normalisation that stays as `x · gamma + beta`, so that calibration rounds what is computed."""
    for node in network.nodes:
        if node.kind != "batch_norm":
            continue
        mean, variance = node.params["mean"], node.params["variance"]
        if np.any(mean != 0) or np.any(variance != 1) or node.attrs["epsilon"] != 0:
            factor, offset = folded(node)
            params = {"gamma": factor, "beta": offset, "mean": np.zeros_like(factor), "variance": np.ones_like(factor)}
            settled = node.with_(attrs={**node.attrs, "epsilon": 0.0}, params=params)
            return _replaced(network, {node.name: settled}, None)
    return None


def join_batch_norms(network: Network) -> Network | None:
    """Make one batch normalisation of two along the same axis, such as a kernel's own scale and what follows it."""
    for node in network.nodes:
        before = network.producer(node.inputs[0]) if node.kind == "batch_norm" else None
        if before is None or before.kind != "batch_norm" or not _private(network, before):
            continue
        rank = len(network.shapes[node.inputs[0]])
        if before.attrs.get("output") is not None or (before.attrs.get("axis", -1) - node.attrs.get("axis", -1)) % rank:
            continue
        (inner, shift), (outer, offset) = folded(before), folded(node)
        params = {"gamma": inner * outer, "beta": shift * outer + offset}
        params |= {"mean": np.zeros_like(outer), "variance": np.ones_like(outer)}
        joined = node.with_(inputs=before.inputs, attrs={**node.attrs, "epsilon": 0.0}, params=params)
        return _replaced(network, {node.name: joined}, before)
    return None


def fuse_bounds(network: Network) -> Network | None:
    """Let a saturating quantiser do the work of the ReLU or clip before it.

    Rounding and saturation are monotone, so that clipping before them equals saturating at the rounded bounds.
    """
    for node in network.nodes:
        before = network.producer(node.inputs[0]) if node.kind == "quantise" else None
        if before is None or before.kind not in ("relu", "clip") or not _private(network, before):
            continue
        q = _rule(node)
        if q.overflow not in _SATURATING:
            continue
        lo, hi = q.limits
        least, most = (0.0, None) if before.kind == "relu" else (before.attrs.get("lo"), before.attrs.get("hi"))
        if least is not None:
            lo = np.maximum(lo, q.codes(np.array(least, np.float64)))
        if most is not None:
            hi = np.minimum(hi, q.codes(np.array(most, np.float64)))
        narrowed = replace(q, lo=lo + q.zero, hi=np.maximum(lo, hi) + q.zero, overflow=Overflow.SAT)
        fused = node.with_(inputs=before.inputs, attrs={**node.attrs, "quantiser": narrowed})
        return _replaced(network, {node.name: fused}, before)
    return None


def fold_thresholds(network: Network) -> Network | None:
    """Fold what is affine in front of a staircase into its thresholds, exactly; see `network.thresholds`."""
    for node in network.nodes:
        before = network.producer(node.inputs[0]) if node.kind == "threshold" else None
        if before is None or not _private(network, before):
            continue
        folded_in = absorbed(node, before, network.shapes[before.inputs[0]]) if before.inputs else None
        if folded_in is not None and network.shapes[before.inputs[0]] == network.shapes[node.outputs[0]]:
            return _replaced(network, {node.name: folded_in}, before)
    return None


def hoist_thresholds(network: Network) -> Network | None:
    """Move a staircase over the reshape or transpose before it, toward what can be folded into it."""
    for node in network.nodes:
        before = network.producer(node.inputs[0]) if node.kind == "threshold" else None
        if before is None or before.kind not in ("reshape", "transpose") or not _private(network, before):
            continue
        old, new = network.shapes[before.inputs[0]], network.shapes[before.outputs[0]]
        first = moved(node, before, old, new)
        second = before.with_(inputs=before.outputs, outputs=node.outputs)
        nodes = [{before.name: first, node.name: second}.get(other.name, other) for other in network.nodes]
        return _with_nodes(network, nodes, {before.outputs[0]: old})
    return None


def fuse_outputs(network: Network) -> Network | None:
    """Move a quantiser into the activation, softmax, leaky ReLU or batch normalisation that it alone follows."""
    for node in network.nodes:
        before = network.producer(node.inputs[0]) if node.kind == "quantise" else None
        if before is None or not _private(network, before) or before.attrs.get("output") is not None:
            continue
        if _rule(node).mantissa is not None and before.kind != "activation":
            continue
        takes = before.kind in ("activation", "softmax", "leaky_relu", "prelu", "layer_norm", "table_network")
        if takes or (before.kind == "batch_norm" and _rule(node).overflow in _SATURATING):
            fused = before.with_(outputs=node.outputs, attrs={**before.attrs, "output": _rule(node)})
            return _replaced(network, {before.name: fused}, node)
    return None


REWRITES: tuple[Rewrite, ...] = (
    drop_dead,
    merge_quantisers,
    join_views,
    drop_identities,
    drop_repeated_quantisers,
    join_quantisers,
    hoist_quantisers,
    sink_transposes,
    fold_scores,
    fold_batch_norm,
    fold_constants,
    fold_thresholds,
    hoist_thresholds,
    move_bias,
    join_batch_norms,
    settle_batch_norm,
    fuse_bounds,
    fuse_outputs,
)
"""Every rewrite, in the order in which `prepare` tries them."""


def input_quantisers(network: Network, input_types: StatedTypes = None) -> dict[str, Quantiser]:
    """Return the quantiser of each input port.

    An input that only equal quantiser nodes read has theirs; one that different ones read has one from whose codes
    they all follow, if there is one. Any other needs a stated type (rounded to nearest even, saturated): by name, one
    an input in order, or one for all. Raises `ModelError` for an input without a type, a stated type that contradicts
    the model's own quantiser, and types for inputs that do not exist.
    """
    stated = stated_types(network.inputs, input_types, "input")
    found: dict[str, Quantiser] = {}
    for name in network.inputs:
        readers = network.consumers(name)
        own = [_rule(node) for node in readers if node.kind == "quantise"]
        kind = stated.get(name)
        wanted = None if kind is None else Quantiser.of_type(kind)
        if own and len(own) == len(readers) and all(same_quantiser(own[0], other) for other in own):
            if wanted is not None and not same_quantiser(own[0], wanted):
                raise ModelError(
                    f"input {name!r}: the type {kind} is stated, but the model quantises it itself "
                    f"({own[0].describe()})",
                    hint="leave the input type out: a quantised model keeps its own types",
                )
            found[name] = own[0]
        elif wanted is not None:
            found[name] = wanted
        elif (uses := quantised_uses(network, name)) and (
            joint := joint_of_uses(uses, network.shapes[name])
        ) is not None:
            found[name] = joint
        else:
            raise ModelError(
                f"input {name!r} needs a type: the model does not quantise it",
                hint=f"--input-type s8.4 (input_type={{{name!r}: 's8.4'}}), or --calibrate x.npy (calibrate=x)",
            )
    return found


def same_quantiser(a: Quantiser, b: Quantiser) -> bool:
    """Whether two quantisers of one tensor are the same rule."""
    if (a.rounding, a.overflow, a.mantissa) != (b.rounding, b.overflow, b.mantissa):
        return False
    pairs = ((a.scale, b.scale), (a.lo, b.lo), (a.hi, b.hi), (a.zero, b.zero))
    if not all(np.all(x == y) for x, y in pairs):
        return False
    return a.zero_first == b.zero_first or not np.any(a.zero)


def _rule(node: Node) -> Quantiser:
    quantiser: Quantiser = node.attrs["quantiser"]
    return quantiser


def _private(network: Network, node: Node) -> bool:
    """Whether exactly one node reads the output and the network does not give it out."""
    (tensor,) = node.outputs
    return tensor not in network.outputs and sum(other.inputs.count(tensor) for other in network.nodes) == 1


def _dropped(network: Network, node: Node, instead: str) -> Network:
    """Remove a node; who read its output reads `instead`."""
    (gone,) = node.outputs
    nodes = []
    for other in network.nodes:
        if other is not node:
            inputs = tuple(instead if tensor == gone else tensor for tensor in other.inputs)
            nodes.append(other if gone not in other.inputs else other.with_(inputs=inputs))
    return _with_nodes(network, nodes)


def _replaced(network: Network, changes: Mapping[str, Node], gone: Node | None) -> Network:
    return _with_nodes(network, [changes.get(node.name, node) for node in network.nodes if node is not gone])


def _with_nodes(
    network: Network, nodes: Sequence[Node], shapes: Mapping[str, tuple[int, ...]] | None = None
) -> Network:
    """Return the network with other nodes; shapes of tensors that are gone go too."""
    known = {**network.shapes, **(shapes or {})}
    kept = {*network.inputs, *(tensor for node in nodes for tensor in node.outputs)}
    fresh = {tensor: shape for tensor, shape in known.items() if tensor in kept}
    for node in nodes:
        if layer_of(node).shape(node, [fresh[tensor] for tensor in node.inputs]) != fresh[node.outputs[0]]:
            raise ModelError(f"layer {node.name!r}: a rewrite changed the shape of its output")
    return network.with_(nodes=tuple(nodes), shapes=fresh)
