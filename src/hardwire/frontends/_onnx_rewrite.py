"""Operators that stand for several standard ones, written out before the walk.

`QLinearConv` and its like are `DequantizeLinear`, the operator on real numbers, `QuantizeLinear`; so everything that
holds for quantised models in that style holds for them. `MatMulInteger` and `ConvInteger` are products of integers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hardwire.errors import UnsupportedError
from hardwire.frontends._onnx_file import onnx_package

_MICROSOFT = "com.microsoft"

_UNARY = {
    "QLinearSigmoid": "Sigmoid",
    "QLinearLeakyRelu": "LeakyRelu",
    "QLinearReduceMean": "ReduceMean",
    "QLinearAveragePool": "AveragePool",
    "QLinearGlobalAveragePool": "GlobalAveragePool",
    "QLinearSoftmax": "Softmax",
}
_BINARY = {"QLinearAdd": "Add", "QLinearMul": "Mul"}

_WHY = {
    "DynamicQuantizeLinear": (
        "its scale depends on each event",
        "quantise statically (onnxruntime.quantization.quantize_static)",
    ),
    "If": ("control flow has no fixed circuit", "export the branch that is taken (torch.onnx.export folds it)"),
    "Loop": ("control flow has no fixed circuit", "unroll the loop when exporting"),
    "Scan": ("control flow has no fixed circuit", "unroll it when exporting, or use RNN, LSTM or GRU"),
    "NonMaxSuppression": ("its number of outputs depends on the data", "end the model in front of it"),
    "NonZero": ("its number of outputs depends on the data", "multiply by a mask"),
    "Unique": ("its number of outputs depends on the data", "end the model in front of it"),
    "Compress": ("its number of outputs depends on the data", "multiply by a mask"),
    "GridSample": ("it reads at places that the model computes", "Resize, for fixed places"),
    "AffineGrid": ("it feeds GridSample alone", "Resize, for fixed places"),
    "RoiAlign": ("it reads at places that the model computes", "end the model in front of it"),
    "MaxRoiPool": ("it reads at places that the model computes", "end the model in front of it"),
    "DeformConv": ("it reads at places that the model computes", "Conv"),
    "MaxUnpool": ("it writes to places that the model computes", "Resize or ConvTranspose"),
    "ScatterND": ("its places name examples of the batch", "Concat and Slice, or Where with a constant mask"),
    "Det": ("a determinant has no integer lowering here", "end the model in front of it"),
    "BitShift": ("it works on the bits of integers", "multiply by a power of two"),
    "BitwiseAnd": ("it works on the bits of integers", "And, Or, Xor, Not on truth values"),
    "BitwiseOr": ("it works on the bits of integers", "And, Or, Xor, Not on truth values"),
    "BitwiseXor": ("it works on the bits of integers", "And, Or, Xor, Not on truth values"),
    "BitwiseNot": ("it works on the bits of integers", "And, Or, Xor, Not on truth values"),
    "IsNaN": ("fixed-point numbers are never NaN", "leave it out"),
    "IsInf": ("fixed-point numbers are never infinite", "leave it out"),
    "ReverseSequence": ("lengths that the model computes", "Slice with a negative step"),
    "Multinomial": ("it draws random numbers", "end the model in front of it"),
    "Bernoulli": ("it draws random numbers", "end the model in front of it"),
    "RandomNormal": ("it draws random numbers", "export in inference mode"),
    "RandomNormalLike": ("it draws random numbers", "export in inference mode"),
    "RandomUniform": ("it draws random numbers", "export in inference mode"),
    "RandomUniformLike": ("it draws random numbers", "export in inference mode"),
    "DFT": ("complex numbers", "a constant matrix (MatMul)"),
    "STFT": ("complex numbers", "a constant matrix (MatMul)"),
    "NegativeLogLikelihoodLoss": ("a loss is for training", "export in inference mode"),
    "SoftmaxCrossEntropyLoss": ("a loss is for training", "export in inference mode"),
    "ImageDecoder": ("it reads compressed images", "decode them before the model"),
    "TfIdfVectorizer": ("it reads text", "vectorise before the model"),
    "StringNormalizer": ("it reads text", "vectorise before the model"),
}
"""Standard operators that are refused with a reason and a way round."""


def refusal(op: str) -> tuple[str, str] | None:
    """Reason and way round of a standard operator that is refused; None for others."""
    if op.startswith(("Sequence", "Optional", "SplitToSequence", "ConcatFromSequence")):
        return "sequences and optional values are no tensors", "export with fixed shapes, so that they are folded"
    return _WHY.get(op)


def refused() -> list[str]:
    """Names of the operators that `refusal` knows by themselves."""
    return sorted(_WHY)


WRITTEN_OUT = ("QLinearConv", "QLinearMatMul", "MatMulInteger", "ConvInteger")
"""Standard operators that `written_out` replaces."""


def written_out(nodes: Sequence[Any], domains: Sequence[str]) -> list[Any]:
    """Return the nodes with those above replaced; `domains` are the names of the standard domain."""
    out: list[Any] = []
    for node in nodes:
        rule = _RULES.get((_MICROSOFT if node.domain == _MICROSOFT else "", node.op_type))
        known = node.domain in domains or node.domain == _MICROSOFT
        out.extend(rule(node) if rule is not None and known else [node])
    return _without_idle_norms(out)


def _without_idle_norms(nodes: list[Any]) -> list[Any]:
    """Let a `Normalizer` of probabilities that add up to one already be an `Identity`, as scikit-learn's converter
    writes it behind logistic regression."""
    makers = {key: node for node in nodes for key in node.output if node.op_type == "LinearClassifier"}
    out: list[Any] = []
    for node in nodes:
        maker = makers.get(node.input[0]) if node.op_type == "Normalizer" and len(node.input) == 1 else None
        norm = next((a.s for a in node.attribute if a.name == "norm"), b"MAX")
        if maker is None or norm != b"L1" or node.input[0] != maker.output[1] or not _sums_to_one(maker):
            out.append(node)
        else:
            helper = onnx_package(node.name).helper
            out.append(helper.make_node("Identity", list(node.input), list(node.output), name=node.name))
    return out


def _sums_to_one(classifier: Any) -> bool:
    attrs = {a.name: a for a in classifier.attribute}
    transform = attrs["post_transform"].s if "post_transform" in attrs else b"NONE"
    if transform == b"SOFTMAX":
        return True
    opposite = True
    for name in ("coefficients", "intercepts"):
        values = list(attrs[name].floats) if name in attrs else []
        half = len(values) // 2
        opposite = opposite and values[:half] == [-value for value in values[half:]]
    return transform == b"LOGISTIC" and opposite


class _Maker:
    """Makes nodes whose tensors are named after the original's output."""

    def __init__(self, node: Any) -> None:
        self.helper = onnx_package(node.name).helper
        self.name = str(node.name or node.output[0])
        self.inputs = list(node.input)
        self.node = node

    def given(self, position: int) -> str:
        return self.inputs[position] if position < len(self.inputs) else ""

    def add(self, op: str, inputs: list[str], key: str, output: str | None = None, **attributes: Any) -> Any:
        while inputs and not inputs[-1]:
            inputs.pop()
        output = f"{self.name}.{key}" if output is None else output
        return self.helper.make_node(op, inputs, [output], name=f"{self.name}.{key}", **attributes)

    def real(self, key: str, x: str, scale: str, zero: str, **attributes: Any) -> Any:
        return self.add("DequantizeLinear", [x, scale, zero], key, **attributes)

    def codes(self, x: str, scale: str, zero: str) -> Any:
        return self.add("QuantizeLinear", [x, scale, zero], "codes", self.node.output[0])

    def copy(self, op: str, inputs: list[str], output: str, leave: tuple[str, ...] = ()) -> Any:
        made = self.helper.make_node(op, inputs, [output], name=self.name)
        made.attribute.extend(attribute for attribute in self.node.attribute if attribute.name not in leave)
        return made


def _qlinear_conv(node: Any) -> Iterator[Any]:
    """`(x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, b)`; the bias has the scale x_scale · w_scale."""
    make = _Maker(node)
    yield make.real("x", make.given(0), make.given(1), make.given(2))
    yield make.real("w", make.given(3), make.given(4), make.given(5), axis=0)
    operands = [f"{make.name}.x", f"{make.name}.w"]
    if make.given(8):
        # In float64, in which a product of two float32 numbers is exact.
        yield make.add("Cast", [make.given(1)], "x_scale", to=11)
        yield make.add("Cast", [make.given(4)], "w_scale", to=11)
        yield make.add("Mul", [f"{make.name}.x_scale", f"{make.name}.w_scale"], "b_scale")
        yield make.real("b", make.given(8), f"{make.name}.b_scale", "", axis=0)
        operands.append(f"{make.name}.b")
    yield make.copy("Conv", operands, f"{make.name}.y")
    yield make.codes(f"{make.name}.y", make.given(6), make.given(7))


def _qlinear_matmul(node: Any) -> Iterator[Any]:
    """`(a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero)`."""
    make = _Maker(node)
    yield make.real("a", make.given(0), make.given(1), make.given(2), axis=-2)
    yield make.real("b", make.given(3), make.given(4), make.given(5), axis=-1)
    yield make.copy("MatMul", [f"{make.name}.a", f"{make.name}.b"], f"{make.name}.y")
    yield make.codes(f"{make.name}.y", make.given(6), make.given(7))


def _qlinear_unary(node: Any) -> Iterator[Any]:
    """`(x, x_scale, x_zero, y_scale, y_zero)`."""
    make = _Maker(node)
    last = next((a.i for a in node.attribute if a.name == "channels_last"), 0)
    if last:
        raise UnsupportedError(
            f"layer {make.name!r} ({node.op_type}): attribute 'channels_last' = {last}: only 0 is supported"
        )
    yield make.real("x", make.given(0), make.given(1), make.given(2))
    leave = ("channels_last", "opset")
    yield make.copy(_UNARY[node.op_type], [f"{make.name}.x"], f"{make.name}.y", leave)
    yield make.codes(f"{make.name}.y", make.given(3), make.given(4))


def _qlinear_binary(node: Any) -> Iterator[Any]:
    """`(a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero)`."""
    make = _Maker(node)
    yield make.real("a", make.given(0), make.given(1), make.given(2))
    yield make.real("b", make.given(3), make.given(4), make.given(5))
    yield make.copy(_BINARY[node.op_type], [f"{make.name}.a", f"{make.name}.b"], f"{make.name}.y")
    yield make.codes(f"{make.name}.y", make.given(6), make.given(7))


def _qlinear_concat(node: Any) -> Iterator[Any]:
    """`(y_scale, y_zero, x0, x0_scale, x0_zero, x1, …)`."""
    make = _Maker(node)
    parts = []
    for k, at in enumerate(range(2, len(make.inputs), 3)):
        yield make.real(f"x{k}", make.given(at), make.given(at + 1), make.given(at + 2))
        parts.append(f"{make.name}.x{k}")
    yield make.copy("Concat", parts, f"{make.name}.y")
    yield make.codes(f"{make.name}.y", make.given(0), make.given(1))


def _integer_product(node: Any) -> Iterator[Any]:
    """`(a, b, a_zero, b_zero)`: the product of the integers without their zero points."""
    make = _Maker(node)
    convolution = node.op_type == "ConvInteger"
    one = make.helper.make_tensor("one", 1, [], [1.0])
    yield make.add("Constant", [], "one", value=one)
    unit = f"{make.name}.one"
    yield make.real("a", make.given(0), unit, make.given(2))
    yield make.real("b", make.given(1), unit, make.given(3), axis=0 if convolution else -1)
    yield make.copy("Conv" if convolution else "MatMul", [f"{make.name}.a", f"{make.name}.b"], node.output[0])


def _fused_conv(node: Any) -> Iterator[Any]:
    """onnxruntime's `FusedConv`: a convolution with its activation."""
    make = _Maker(node)
    given = {a.name: a for a in node.attribute}
    activation = given["activation"].s.decode() if "activation" in given else ""
    params = list(given["activation_params"].floats) if "activation_params" in given else []
    names: dict[str, tuple[str, ...]] = {"Relu": (), "Sigmoid": (), "Tanh": (), "LeakyRelu": ("alpha",)}
    names |= {"HardSigmoid": ("alpha", "beta")}
    if activation and (activation not in names or len(make.inputs) > 3):
        raise UnsupportedError(f"layer {make.name!r} (FusedConv): attribute 'activation' = {activation!r}")
    end = f"{make.name}.y" if activation else node.output[0]
    yield make.copy("Conv", make.inputs, end, ("activation", "activation_params"))
    if activation:
        yield make.add(
            activation, [end], "activation", node.output[0], **dict(zip(names[activation], params, strict=False))
        )


def _fused_matmul(node: Any) -> Iterator[Any]:
    """onnxruntime's `FusedMatMul` without transposes."""
    make = _Maker(node)
    alpha = 1.0
    for attribute in node.attribute:
        if attribute.name == "alpha":
            alpha = float(attribute.f)
        elif attribute.i:
            raise UnsupportedError(f"layer {make.name!r} (FusedMatMul): attribute {attribute.name!r} = {attribute.i}")
    end = node.output[0] if alpha == 1.0 else f"{make.name}.y"
    yield make.add("MatMul", make.inputs, "product", end)
    if alpha != 1.0:
        value = make.helper.make_tensor("alpha", 1, [], [alpha])
        yield make.add("Constant", [], "alpha", value=value)
        yield make.add("Mul", [end, f"{make.name}.alpha"], "scaled", node.output[0])


def _renamed(op: str, **attributes: Any) -> Any:
    def rule(node: Any) -> Iterator[Any]:
        make = _Maker(node)
        made = make.copy(op, make.inputs, node.output[0])
        made.attribute.extend(make.helper.make_attribute(key, value) for key, value in attributes.items())
        yield made

    return rule


_RULES: dict[tuple[str, str], Any] = {
    ("", "QLinearConv"): _qlinear_conv,
    ("", "QLinearMatMul"): _qlinear_matmul,
    ("", "MatMulInteger"): _integer_product,
    ("", "ConvInteger"): _integer_product,
    **{(_MICROSOFT, op): _qlinear_unary for op in _UNARY},
    **{(_MICROSOFT, op): _qlinear_binary for op in _BINARY},
    (_MICROSOFT, "QLinearConcat"): _qlinear_concat,
    (_MICROSOFT, "FusedConv"): _fused_conv,
    (_MICROSOFT, "FusedMatMul"): _fused_matmul,
    (_MICROSOFT, "Gelu"): _renamed("Gelu"),
    (_MICROSOFT, "QuantizeLinear"): _renamed("QuantizeLinear"),
    (_MICROSOFT, "DequantizeLinear"): _renamed("DequantizeLinear"),
}
