"""Everything that is unsupported in a model is listed, not only the first item."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hardwire import frontends
from hardwire.errors import ModelError, UnsupportedError
from hardwire.network.inspect import layer_rows
from hardwire.network.survey import Unsupported, noted, survey


def keras_json(folder: Path, layers: list[tuple[str, dict[str, Any]]], **weights: np.ndarray) -> tuple[Path, Path]:
    """Write a Sequential model of (class, settings), and weights by `layer/name` as legacy HDF5."""
    import h5py

    parts = [{"class_name": "InputLayer", "config": {"name": "x", "batch_input_shape": [None, 8, 3]}}]
    parts += [
        {"class_name": kind, "config": {"name": f"l{i}", "trainable": True, **config}}
        for i, (kind, config) in enumerate(layers)
    ]
    (folder / "m.json").write_text(
        json.dumps({"class_name": "Sequential", "config": {"name": "m", "layers": parts}, "keras_version": "2.15.0"})
    )
    with h5py.File(folder / "w.h5", "w") as file:
        file.attrs["layer_names"] = [part["config"]["name"] for part in parts]
        for part in parts:
            name = part["config"]["name"]
            own = [key for key in weights if key.startswith(f"{name}_")]
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{key.partition('_')[2]}:0" for key in own]
            for key in own:
                group.create_dataset(f"{name}/{key.partition('_')[2]}:0", data=weights[key])
    return folder / "m.json", folder / "w.h5"


def test_keras_lists_kinds_and_attributes(tmp_path: Path) -> None:
    layers = [
        ("Dense", {"units": 2}),
        ("Conv9D", {"filters": 2}),  # from here on the shape is not known
        ("ReLU", {}),
        ("Lambda", {"function": "code"}),
        ("ConvLSTM1D", {}),
    ]
    model, weights = keras_json(tmp_path, layers, l0_kernel=np.ones((3, 2)), l0_bias=np.zeros(2))
    with pytest.raises(UnsupportedError, match="'Conv9D' is not supported"):
        frontends.load(model, weights=weights)
    with survey() as found:
        network = frontends.load(model, weights=weights)
    assert [(item.name, item.kind) for item in found] == [("l1", "Conv9D"), ("l3", "Lambda"), ("l4", "ConvLSTM1D")]
    assert "never run" in found[1].reason
    assert "keras.ops" in found[1].hint
    assert [row["name"] for row in layer_rows(network)] == ["l0"]
    assert network.outputs == ()


def test_keras_goes_on_where_the_file_has_shapes(tmp_path: Path) -> None:
    layers = [("Conv9D", {}), ("Dense", {"units": 2, "surprise": 1}), ("ReLU", {})]
    model, weights = keras_json(tmp_path, layers, l1_kernel=np.ones((5, 2)), l1_bias=np.zeros(2))
    config = json.loads(model.read_text())
    for part, shape in zip(config["config"]["layers"][2:], ([None, 8, 5], [None, 8, 2]), strict=True):
        part["build_config"] = {"input_shape": shape}
    model.write_text(json.dumps(config))
    with survey() as found:
        network = frontends.load(model, weights=weights)
    assert [item.name for item in found] == ["l0", "l1"]
    assert found[1].reason == "attribute 'surprise' = 1 is not understood"
    assert [network.shapes[tensor] for tensor in network.outputs] == [(8, 2)]


def test_keras_functional_with_unreadable_calls(tmp_path: Path) -> None:
    def op(name: str, function: str, source: str, **arguments: Any) -> dict[str, Any]:
        config = {"name": name, "trainable": True, "dtype": "float32", "function": function}
        return {
            "class_name": "TFOpLambda",
            "name": name,
            "config": config,
            "inbound_nodes": [[source, 0, 0, arguments]],
        }

    layers = [
        {"class_name": "InputLayer", "name": "x", "config": {"name": "x", "batch_input_shape": [None, 4]}},
        op("fft", "signal.fft", "x"),
        op("relu", "nn.relu", "x"),
        op("shape", "compat.v1.shape", "relu"),
        op("sum", "__operators__.add", "fft", y=["relu", 0, 0]),
    ]
    layers[0]["inbound_nodes"] = []
    inner = {"name": "m", "layers": layers, "input_layers": [["x", 0, 0]]}
    inner["output_layers"] = [["sum", 0, 0], ["relu", 0, 0]]
    _, weights = keras_json(tmp_path, [])
    model = tmp_path / "f.json"
    model.write_text(json.dumps({"class_name": "Functional", "config": inner, "keras_version": "2.15.0"}))
    with survey() as found:
        network = frontends.load(model, weights=weights)
    assert [(item.name, item.kind) for item in found] == [("fft", "tf.signal.fft"), ("shape", "tf.compat.v1.shape")]
    assert len(network.outputs) == 1


def test_onnx_goes_on_with_inferred_shapes() -> None:
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    nodes = [
        helper.make_node("Det", ["x"], ["a"], name="det"),
        helper.make_node("Relu", ["x"], ["b"], name="relu"),
        helper.make_node("Bernoulli", ["b"], ["c"], name="dice", seed=1.0),
        helper.make_node("Softmax", ["c"], ["d"], name="softmax"),
        helper.make_node("Mine", ["d"], ["e"], name="mine", domain="example.org"),
        helper.make_node("Relu", ["e"], ["f"], name="end"),
        helper.make_node("RandomNormalLike", ["f"], ["g"], name="noise"),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "g",
        [value("x", 1, ["batch", 2, 2])],
        [value("g", 1, None), value("d", 1, None), value("a", 1, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("example.org", 1)])
    with pytest.raises(UnsupportedError):
        frontends.load(model)
    with survey() as found:
        network = frontends.load(model)
    assert [(item.name, item.kind) for item in found] == [
        ("det", "Det"),
        ("dice", "Bernoulli"),
        ("mine", "Mine"),
        ("noise", "RandomNormalLike"),
    ]
    assert {row["name"] for row in layer_rows(network)} == {"relu", "softmax"}


def test_torch_goes_on_with_recorded_shapes() -> None:
    torch = pytest.importorskip("torch")

    class Model(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.dense = torch.nn.Linear(4, 3)

        def forward(self, x: Any) -> Any:
            y = self.dense(torch.special.bessel_j0(x))
            return torch.relu(torch.special.airy_ai(y))

    with survey() as found:
        network = frontends.load(Model(), example=np.zeros((1, 4), np.float32))
    assert [item.kind.split(".")[1] for item in found] == ["special_bessel_j0", "special_airy_ai"]
    assert [row["kind"] for row in layer_rows(network)] == ["dense", "relu"]


def test_nothing_is_noted_outside_of_a_survey() -> None:
    error = UnsupportedError("layer 'a' (B): why", hint="what")
    assert not noted(error, "a", "B")
    with survey() as found:
        assert noted(error, "a", "B")
        assert noted(error, "a", "B")
    assert found == [Unsupported("a", "B", "why", "what")]
    assert not noted(error, "a", "B")


def test_a_damaged_file_is_still_an_error(tmp_path: Path) -> None:
    (tmp_path / "m.keras").write_bytes(b"PK\x03\x04broken")
    with survey(), pytest.raises(ModelError, match="truncated or corrupted"):
        frontends.load(tmp_path / "m.keras")
