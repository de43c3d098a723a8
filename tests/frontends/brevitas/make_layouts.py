"""Write `layouts.zip`: QONNX models with the operators of its own passes, and the outputs of its own execution.

Run it outside this repository's environment, where `make_models.py` runs (with qonnx 1.0).
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from qonnx.core.datatype import DataType
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.channels_last import ConvertToChannelsLastAndClean
from qonnx.transformation.general import GiveReadableTensorNames, GiveUniqueNodeNames
from qonnx.transformation.infer_data_layouts import InferDataLayouts
from qonnx.transformation.infer_datatypes import InferDataTypes
from qonnx.transformation.infer_shapes import InferShapes
from qonnx.transformation.lower_convs_to_matmul import LowerConvsToMatMul
from qonnx.util.cleanup import cleanup_model

HERE = Path(__file__).parent
GENERAL, LAST = "qonnx.custom_op.general", "qonnx.custom_op.channels_last"
ROWS = 12
RNG = np.random.default_rng(0)


def quant(bits: int, signed: int, scale: float, source: str, target: str) -> tuple[Any, dict[str, Any]]:
    """A node that gives the input a type, and its parameters."""
    params = {"q_scale": np.float32(scale), "q_zero": np.float32(0), "q_bits": np.float32(bits)}
    node = helper.make_node(
        "Quant", [source, *params], [target], domain=GENERAL, signed=signed, narrow=0, rounding_mode="ROUND"
    )
    return node, params


def model(
    op: str, domain: str, shape: tuple[int, ...], out: tuple[int, ...], params: dict[str, Any] | None = None,
    bits: tuple[int, int, float] = (5, 1, 0.25), extra: tuple[Any, ...] = (), **attrs: Any,
) -> ModelWrapper:  # fmt: skip
    """One operator behind a quantiser, and what follows it."""
    first, own = quant(*bits, "x", "q")
    params = params or {}
    node = helper.make_node(op, ["q", *params], ["y" if not extra else "h"], name="op", domain=domain, **attrs)
    graph = helper.make_graph(
        [first, node, *extra],
        op,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, *shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, *out))],
        [numpy_helper.from_array(np.asarray(value, np.float32), key) for key, value in (own | params).items()],
        value_info=[helper.make_tensor_value_info("q", TensorProto.FLOAT, (1, *shape))],
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid(GENERAL, 1), helper.make_opsetid(LAST, 14)]
    found = ModelWrapper(helper.make_model(graph, opset_imports=opsets))
    if bits[2] == 1.0:
        found.set_tensor_datatype("q", DataType[f"{'INT' if bits[1] else 'UINT'}{bits[0]}"])
    return found


def grid(*shape: int) -> np.ndarray:
    return RNG.integers(-8, 8, shape) / 8


NORM = {"gamma": [0.5, 1.5, -1.0], "beta": [0.25, 0, -1], "mean": [0, 0.5, 0.25], "variance": [1.0, 0.3, 2.0]}
WHOLE = (4, 0, 1.0)
POOL = {"kernel": 2, "stride": 2, "ibits": 4, "obits": 4, "signed": 0}
CONV = {"dilations": [1, 1], "group": 1, "kernel_shape": [2, 3]}


def own() -> dict[str, ModelWrapper]:
    """One model for each operator."""
    return {
        "conv": model("Conv", LAST, (5, 4, 2), (3, 4, 3), {"w": grid(3, 2, 3, 2), "b": grid(3)}, **CONV,
                      strides=[2, 1], pads=[1, 1, 0, 1]),
        "conv_line": model("Conv", LAST, (6, 4), (5, 4), {"w": grid(4, 2, 1)}, dilations=[1], group=4,
                           kernel_shape=[2], strides=[1], pads=[0, 0]),
        "max_pool": model("MaxPool", LAST, (4, 5, 2), (2, 2, 2), kernel_shape=[2, 2], strides=[2, 2],
                          pads=[0, 0, 0, 0]),
        "norm": model("BatchNormalization", LAST, (2, 2, 3), (2, 2, 3), NORM, epsilon=1e-5, momentum=0.9),
        "max_pool_nhwc": model("MaxPoolNHWC", GENERAL, (4, 5, 2), (3, 3, 2), kernel_shape=[2, 2], strides=[2, 2],
                               pads=[1, 1, 1, 1]),
        "average": model("QuantAvgPool2d", GENERAL, (2, 4, 5), (2, 2, 2), bits=WHOLE, **POOL),
        "average_last": model("QuantAvgPool2d", GENERAL, (4, 4, 2), (2, 2, 2), bits=(5, 1, 1.0),
                              data_layout="NHWC", **{**POOL, "ibits": 5, "signed": 1}),
        "average_wide": model("QuantAvgPool2d", GENERAL, (2, 3, 3), (2, 2, 2), bits=WHOLE,
                              **{**POOL, "stride": 1, "obits": 12}),
        "rows": model("Im2Col", GENERAL, (4, 5, 2), (3, 2, 12), bits=(5, 1, 1.0), stride=[2, 2], kernel_size=[2, 3],
                      input_shape="(1, 4, 5, 2)", pad_amount=[1, 0, 1, 0], pad_value=0, depthwise=1),
        "rows_dilated": model("Im2Col", GENERAL, (5, 5, 1), (3, 3, 4), bits=(5, 1, 1.0), stride=[1, 1],
                              kernel_size=[2, 2], input_shape="(1,5,5,1)", dilations=[2, 2]),
        "popcount": model("XnorPopcountMatMul", GENERAL, (6,), (3,), {"w": RNG.integers(0, 2, (6, 3))},
                          bits=(1, 0, 1.0)),
    }  # fmt: skip


def passed() -> dict[str, ModelWrapper]:
    """Brevitas' exports after QONNX's own passes."""
    found = {}
    with zipfile.ZipFile(HERE / "models.zip") as archive:
        for name in ("conv", "conv_1d_groups"):
            clean = cleanup_model(ModelWrapper(onnx.load_from_string(archive.read(f"{name}_qonnx.onnx"))))
            found[f"{name}_channels_last"] = clean.transform(ConvertToChannelsLastAndClean())
            if name == "conv":
                rows = clean
                for change in (InferShapes(), InferDataTypes(), InferDataLayouts(), LowerConvsToMatMul(),
                               InferShapes(), InferDataTypes()):  # fmt: skip
                    rows = rows.transform(change)
                found["conv_rows"] = rows.transform(GiveUniqueNodeNames()).transform(GiveReadableTensorNames())
    return found


def main() -> None:
    arrays = {}
    with zipfile.ZipFile(HERE / "layouts.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, made in {**own(), **passed()}.items():
            shape = made.get_tensor_shape(made.graph.input[0].name)
            x = RNG.normal(0, 1.5, (ROWS, *shape[1:])).astype(np.float32)
            if name.startswith(("average", "popcount")):
                x = RNG.integers(-16 if name == "average_last" else 0, 16, x.shape).astype(np.float32)
            inputs = [{made.graph.input[0].name: row[None]} for row in x]
            arrays[f"{name}_x"] = x
            arrays[f"{name}_y"] = np.concatenate([execute_onnx(made, row)[made.graph.output[0].name] for row in inputs])
            archive.writestr(zipfile.ZipInfo(f"{name}.onnx"), made.model.SerializeToString(), zipfile.ZIP_DEFLATED)
            print(name, sorted({f"{node.domain}.{node.op_type}" for node in made.graph.node}))
        data = io.BytesIO()
        np.savez_compressed(data, **arrays)
        archive.writestr(zipfile.ZipInfo("answers.npz"), data.getvalue())


if __name__ == "__main__":
    main()
