"""ONNX and QONNX nodes against onnxruntime (QONNX's own operators against numpy, as its executor defines them)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from conformance_case import Built, Case, grid
from onnx import TensorProto, helper, numpy_helper

ROUNDED = "types chosen by calibration round"
Arrays = dict[str, Any]


def saved(nodes: list[Any], inputs: Arrays, outputs: list[str], constants: Arrays, path: Path, trees: int = 3) -> Path:
    graph = helper.make_graph(
        nodes,
        "case",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *x.shape[1:]]) for name, x in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    domains = {"": 20, "qonnx.custom_op.general": 1, "ai.onnx.ml": trees}
    opsets = [helper.make_opsetid(domain, version) for domain, version in domains.items()]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())
    return path


def case(
    row: str,
    name: str,
    nodes: list[Any],
    shapes: dict[str, tuple[int, ...]],
    constants: Arrays | None = None,
    outputs: tuple[str, ...] = ("y",),
    calibrated: bool = False,
    input_type: str | None = "s5.2",
    trees: int = 3,
) -> Case:
    """A graph from inputs `x`, … to `y`, its answers from onnxruntime."""

    def build(folder: Path) -> Built:
        import onnxruntime

        rows = 200 if calibrated else 20
        inputs = {key: grid(rows, *shape, seed=100 + k) for k, (key, shape) in enumerate(shapes.items())}
        path = saved(nodes, inputs, list(outputs), constants or {}, folder / "model.onnx", trees)
        session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        found = session.run(list(outputs), inputs)
        if not calibrated:
            return Built(path, list(inputs.values()), found, input_type)
        span = max(float(np.ptp(y)) for y in found)
        return Built(path, list(inputs.values()), found, calibrated=True, tolerance=0.08 * span, why=ROUNDED)

    return Case(row, name, build)


def quant(scale: float, zero: float, bits: int, *, signed: int = 1, narrow: int = 0, mode: str = "ROUND") -> Case:
    """QONNX's Quant, which onnxruntime does not know: `(clip(round(x / scale + zero)) - zero) · scale`."""

    def build(folder: Path) -> Built:
        x = grid(20, 4, seed=1, bits=8, frac=4)
        constants = {"s": np.float32(scale), "z": np.float32(zero), "b": np.float32(bits)}
        node = helper.make_node(
            "Quant", ["x", "s", "z", "b"], ["y"], domain="qonnx.custom_op.general",
            signed=signed, narrow=narrow, rounding_mode=mode,
        )  # fmt: skip
        path = saved([node], {"x": x}, ["y"], constants, folder / "model.onnx")
        low = -(2 ** (bits - 1)) + narrow if signed else 0
        high = 2 ** (bits - 1) - 1 if signed else 2**bits - 1 - narrow
        codes = {"ROUND": np.round, "FLOOR": np.floor, "CEIL": np.ceil}[mode](x.astype("f8") / scale + zero)
        return Built(path, [x], [(np.clip(codes, low, high) - zero) * scale])

    return Case("quantisers", f"Quant {bits} bits {mode} signed {signed} narrow {narrow}", build)


def old_trees(prefix: str, trees: int, outputs: int) -> Arrays:
    """Attributes of ai.onnx.ml 1 to 4: trees of three splits and four leaves with a weight for each output."""
    rng = np.random.default_rng(trees)
    nodes, ends = [], []
    for tree in range(trees):
        for k in range(7):
            mode = "LEAF" if k > 2 else ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE")[(tree + k) % 3]
            nodes.append((tree, k, (tree + k) % 4, mode, int(rng.integers(-12, 12)) / 4, 2 * k + 1, 2 * k + 2))
            ends += [(tree, k, at, int(rng.integers(0, 32)) / 8) for at in range(outputs) if k > 2]
    names = ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")
    found = {f"nodes_{name}": list(column) for name, column in zip(names, zip(*nodes, strict=True), strict=True)}
    names = ("treeids", "nodeids", "ids", "weights")
    return found | {f"{prefix}_{name}": list(part) for name, part in zip(names, zip(*ends, strict=True), strict=True)}


def new_trees() -> Arrays:
    """Attributes of ai.onnx.ml 5: a tree of a comparison, two set memberships and four leaves."""

    def tensor(kind: int, values: list[float]) -> Any:
        return helper.make_tensor("", kind, [len(values)], values)

    nan = float("nan")
    return {
        "n_targets": 2, "tree_roots": [0], "nodes_featureids": [0, 1, 2], "nodes_truenodeids": [1, 0, 2],
        "nodes_falsenodeids": [2, 1, 3], "nodes_trueleafs": [0, 1, 1], "nodes_falseleafs": [0, 1, 1],
        "nodes_modes": tensor(TensorProto.UINT8, [0, 6, 6]), "nodes_splits": tensor(TensorProto.FLOAT, [0.5, nan, nan]),
        "membership_values": tensor(TensorProto.FLOAT, [1.0, 2.0, nan, 1.0, 3.0, nan]),
        "leaf_targetids": [0, 1, 0, 1], "leaf_weights": tensor(TensorProto.FLOAT, [1.5, -2.0, 0.25, 3.0]),
    }  # fmt: skip


def attentions() -> Iterator[Case]:
    """Attention as exporters write it: projections, heads moved to the front, products around a softmax."""
    node = helper.make_node
    weights = {name: grid(4, 4, seed=k, bits=4, frac=3) for k, name in enumerate("qkvo")}
    constants = {**weights, "heads": np.array([0, 3, 2, 2]), "joined": np.array([0, 3, 4]), "root": np.float32(2**0.5)}
    sides = [
        part
        for name, perm in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3]))
        for part in (
            node("MatMul", ["x", name], [f"{name}_flat"]),
            node("Reshape", [f"{name}_flat", "heads"], [f"{name}_split"]),
            node("Transpose", [f"{name}_split"], [f"{name}_heads"], perm=perm),
        )
    ]
    scores = [node("MatMul", ["q_heads", "k_heads"], ["product"]), node("Div", ["product", "root"], ["scores"])]
    behind = [
        node("MatMul", ["shares", "v_heads"], ["mixed"]),
        node("Transpose", ["mixed"], ["back"], perm=[0, 2, 1, 3]),
        node("Reshape", ["back", "joined"], ["flat"]),
        node("MatMul", ["flat", "o"], ["y"]),
    ]
    plain = [*sides, *scores, node("Softmax", ["scores"], ["shares"]), *behind]
    yield case("multi-head attention", "MatMul, Softmax, MatMul", plain, {"x": (3, 4)}, constants, calibrated=True)
    far = {**constants, "mask": np.triu(np.full((3, 3), -1e9, "f4"), 1)}
    masked = [node("Add", ["scores", "mask"], ["seen"]), node("Softmax", ["seen"], ["shares"])]
    yield case("multi-head attention", "with a causal mask added", [*sides, *scores, *masked, *behind], {"x": (3, 4)},
               far, calibrated=True)  # fmt: skip
    short = [node("MatMul", ["short", "x"], ["few"]), node("Transpose", ["few"], ["columns"], perm=[0, 2, 1]),
             node("MatMul", ["x", "q"], ["asked"]), node("MatMul", ["asked", "columns"], ["scores"]),
             node("Softmax", ["scores"], ["shares"]), node("MatMul", ["shares", "few"], ["y"])]  # fmt: skip
    linear = {"q": weights["q"], "short": grid(2, 3, seed=9, bits=4, frac=4)}
    yield case("Linformer attention", "keys and values made short", short, {"x": (3, 4)}, linear, calibrated=True)


def cases() -> Iterator[Case]:
    node = helper.make_node
    small = {"bits": 4, "frac": 1}
    one, line, image = {"x": (4,)}, {"x": (2, 6)}, {"x": (2, 4, 4)}
    two = {"x": (4,), "z": (4,)}
    yield case("dense", "Gemm", [node("Gemm", ["x", "w", "c"], ["y"], transB=1, alpha=0.5)], one,
               {"w": grid(3, 4, **small), "c": grid(3, seed=2, **small)})  # fmt: skip
    yield case("dense", "MatMul and Add", [node("MatMul", ["x", "w"], ["t"]), node("Add", ["t", "c"], ["y"])], one,
               {"w": grid(4, 3, **small), "c": grid(3, seed=2, **small)})  # fmt: skip
    yield case("conv 1d", "Conv", [node("Conv", ["x", "w", "c"], ["y"], strides=[2], pads=[1, 0])], line,
               {"w": grid(3, 2, 3, **small), "c": grid(3, **small)})  # fmt: skip
    yield case("conv 2d", "Conv same", [node("Conv", ["x", "w"], ["y"], auto_pad="SAME_UPPER")], image,
               {"w": grid(2, 2, 2, 2, **small)})  # fmt: skip
    yield case("depthwise conv", "Conv group", [node("Conv", ["x", "w"], ["y"], group=2)], image,
               {"w": grid(2, 1, 2, 2, **small)})  # fmt: skip
    yield case("transposed conv", "ConvTranspose", [node("ConvTranspose", ["x", "w"], ["y"], strides=[2])],
               {"x": (2, 3)}, {"w": grid(2, 1, 3, **small)})  # fmt: skip
    yield case("max pooling", "MaxPool ceil", [node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2],
               ceil_mode=1)], image)  # fmt: skip
    yield case("average pooling", "AveragePool", [node("AveragePool", ["x"], ["y"], kernel_shape=[2])], line)
    yield case("global pooling", "GlobalMaxPool", [node("GlobalMaxPool", ["x"], ["y"])], image)
    yield case("zero padding", "Pad", [node("Pad", ["x", "p"], ["y"])], line, {"p": np.array([0, 0, 1, 0, 0, 2])})
    yield case("up-sampling", "Resize nearest", [node("Resize", ["x", "", "s"], ["y"], mode="nearest",
               coordinate_transformation_mode="asymmetric", nearest_mode="floor")], {"x": (1, 2, 2)},
               {"s": np.array([1, 1, 2, 2], "f4")})  # fmt: skip
    yield case("batch norm", "BatchNormalization", [node("BatchNormalization", ["x", "g", "c", "m", "v"], ["y"],
               epsilon=0.25)], {"x": (2, 3)}, {"g": grid(2, **small), "c": grid(2, seed=1, **small),
               "m": grid(2, seed=2, **small), "v": np.full(2, 0.75, "f4")})  # fmt: skip
    for row, op in (("add", "Add"), ("subtract", "Sub"), ("multiply", "Mul"), ("minimum", "Min"), ("maximum", "Max"),
                    ("average", "Mean")):  # fmt: skip
        yield case(row, op, [node(op, ["x", "z"], ["y"])], two)
    yield case("concatenate", "Concat", [node("Concat", ["x", "z"], ["y"], axis=1)], two)
    yield case("matmul", "MatMul of two tensors", [node("MatMul", ["x", "z"], ["y"])], {"x": (2, 3), "z": (3, 2)})
    yield case("slice", "Slice", [node("Slice", ["x", "a", "b", "c", "d"], ["y"])], one,
               {"a": np.array([0]), "b": np.array([4]), "c": np.array([1]), "d": np.array([2])})  # fmt: skip
    yield case("split", "Split", [node("Split", ["x"], ["y", "w"], axis=1, num_outputs=2)], one, None, ("y", "w"))
    yield case("reshape", "Reshape", [node("Reshape", ["x", "s"], ["y"])], one, {"s": np.array([0, 2, 2])})
    yield case("flatten", "Flatten", [node("Flatten", ["x"], ["y"])], image)
    yield case("transpose", "Transpose", [node("Transpose", ["x"], ["y"], perm=[0, 2, 1])], {"x": (2, 3)})
    yield case("sum", "ReduceSum", [node("ReduceSum", ["x", "a"], ["y"])], {"x": (2, 3)}, {"a": np.array([2])})
    yield case("max over axes", "ReduceMax", [node("ReduceMax", ["x", "a"], ["y"], keepdims=0)], {"x": (2, 3)},
               {"a": np.array([1])})  # fmt: skip
    yield case("relu", "Relu", [node("Relu", ["x"], ["y"])], one)
    yield case("leaky relu", "LeakyRelu", [node("LeakyRelu", ["x"], ["y"], alpha=0.25)], one)
    yield case("prelu", "PRelu", [node("PRelu", ["x", "a"], ["y"])], one, {"a": grid(4, **small)})
    yield case("clip", "Clip", [node("Clip", ["x", "a", "b"], ["y"])], one, {"a": np.float32(-1), "b": np.float32(2)})
    yield case("argmax", "ArgMax", [node("ArgMax", ["x"], ["t"], axis=1), node("Cast", ["t"], ["y"], to=1)], one)
    for row, op in (("sigmoid", "Sigmoid"), ("tanh", "Tanh"), ("softmax", "Softmax"), ("gelu", "Gelu"),
                    ("mish", "Mish"), ("hard sigmoid", "HardSigmoid"), ("hard swish", "HardSwish"), ("elu", "Elu"),
                    ("softplus", "Softplus"), ("softsign", "Softsign"), ("selu", "Selu"),
                    ("other activations", "Celu")):  # fmt: skip
        yield case(row, op, [node(op, ["x"], ["y"])], one, calibrated=True)
    yield from attentions()
    yield quant(0.25, 0.0, 4)
    yield quant(0.5, 0.0, 3, signed=0, mode="FLOOR")
    yield quant(0.25, 1.0, 4, mode="CEIL")
    yield quant(0.25, 0.0, 4, narrow=1)
    yield case("quantisers", "QuantizeLinear, DequantizeLinear", [node("QuantizeLinear", ["x", "s", "z"], ["t"]),
               node("DequantizeLinear", ["t", "s", "z"], ["y"])], one,
               {"s": np.float32(0.5), "z": np.int8(1)}, input_type=None)  # fmt: skip
    forest: Arrays = {"domain": "ai.onnx.ml", "aggregate_function": "SUM"}
    yield case("trees", "TreeEnsembleRegressor", [node("TreeEnsembleRegressor", ["x"], ["y"], n_targets=1, **forest,
               base_values=[0.5], **old_trees("target", 3, 1))], one)  # fmt: skip
    forest["aggregate_function"] = "AVERAGE"
    yield case("trees", "TreeEnsembleRegressor averaged", [node("TreeEnsembleRegressor", ["x"], ["y"], n_targets=2,
               **forest, **old_trees("target", 2, 2))], one)  # fmt: skip
    del forest["aggregate_function"]
    classes = node("TreeEnsembleClassifier", ["x"], ["label", "y"], classlabels_int64s=[3, 5, 9], **forest,
                   **old_trees("class", 3, 3))  # fmt: skip
    yield case(
        "trees", "TreeEnsembleClassifier", [classes, node("Cast", ["label"], ["t"], to=1)], one, None, ("t", "y")
    )
    yield case("trees", "TreeEnsemble with sets", [node("TreeEnsemble", ["x"], ["y"], **forest, **new_trees())], one,
               trees=5)  # fmt: skip
