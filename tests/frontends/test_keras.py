from __future__ import annotations

import io
import json
import os
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardwire.errors import HardwireError, ModelError, UnsupportedError
from hardwire.frontends import _archive, load
from hardwire.network.graph import Network
from hardwire.network.reference import forward

os.environ.setdefault("KERAS_BACKEND", "torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    keras = pytest.importorskip("keras")
layers = keras.layers


def randomise(model: Any, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        if "seed_generator" in variable.path or variable.dtype.startswith(("int", "uint")):
            continue
        value = rng.normal(0, 1, variable.shape)
        variable.assign(np.abs(value) + 0.1 if "variance" in variable.path else value)
    return model


def agree(network: Network, model: Any, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    inputs = [rng.normal(0, 2, (5, *x.shape[1:])).astype(np.float32) for x in model.inputs]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # such as a softmax over one element
        expected = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    expected = expected if isinstance(expected, list | tuple) else [expected]
    found = forward(network, [x.astype(np.float64) for x in inputs])
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        theirs = theirs.detach().numpy()
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def save(model: Any, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    return path


# Layer stacks.

# fmt: off
ACTIVATIONS = [
    None, "linear", "relu", "relu6", "softmax", "sigmoid", "tanh", "elu", "selu", "gelu", "silu", "softplus",
    "softsign", "exponential", "hard_sigmoid", "hard_silu", "leaky_relu", "mish", "log_sigmoid", "celu", "hard_tanh",
    "hard_shrink", "soft_shrink", "tanh_shrink", "squareplus", "sparse_plus", "sparse_sigmoid",
]
# fmt: on
KINDS = ["dense", "norm", "activation", "relu", "leaky", "elu", "prelu", "softmax", "flatten", "reshape", "permute"]
KINDS += ["scale", "off", "join", "sum", "layer activation"]


def drawn_layer(draw: Any, x: Any) -> Any:
    rank, kind = len(x.shape) - 1, draw(st.sampled_from(KINDS))
    number = st.floats(0.0625, 2.0, width=32)
    axis = st.sampled_from([*range(1, rank + 1), *range(-rank, 0)])
    if kind == "dense":
        units, bias = draw(st.integers(1, 5)), draw(st.booleans())
        return layers.Dense(units, draw(st.sampled_from(ACTIVATIONS)), use_bias=bias)(x)
    if kind == "norm":
        center, scale, epsilon = draw(st.booleans()), draw(st.booleans()), draw(st.sampled_from([1e-3, 0.1]))
        return layers.BatchNormalization(axis=draw(axis), center=center, scale=scale, epsilon=epsilon)(x)
    if kind == "activation":
        return layers.Activation(draw(st.sampled_from(ACTIVATIONS[1:])))(x)
    if kind == "layer activation":
        return layers.Dense(2, layers.LeakyReLU(negative_slope=0.25))(x)
    if kind == "relu":
        threshold, slope = draw(st.sampled_from([(0, 0), (0, 0.125), (0.5, 0)]))
        return layers.ReLU(draw(st.none() | number), slope, threshold)(x)
    if kind == "leaky":
        return layers.LeakyReLU(negative_slope=draw(number))(x)
    if kind == "elu":
        return layers.ELU(draw(number))(x)
    if kind == "prelu":
        return layers.PReLU(shared_axes=draw(st.none() | st.lists(st.integers(1, rank), unique=True, min_size=1)))(x)
    if kind == "softmax":
        return layers.Softmax(draw(axis))(x)
    if kind == "flatten":
        return layers.Flatten(data_format=draw(st.sampled_from(["channels_last", "channels_first"])))(x)
    if kind == "reshape":
        return layers.Reshape((x.shape[-1], -1))(x) if rank > 1 else layers.Reshape((-1, 1))(x)
    if kind == "permute":
        return layers.Permute(draw(st.permutations(range(1, rank + 1))))(x)
    if kind == "scale":
        return layers.Rescaling(draw(number), draw(st.sampled_from([0.0, -1.5])))(x)
    if kind == "off":
        off = [layers.Dropout(0.5), layers.GaussianNoise(0.1), layers.GaussianDropout(0.1), layers.Identity()]
        return draw(st.sampled_from([*off, layers.ActivityRegularization(0.1), layers.AlphaDropout(0.1)]))(x)
    other = layers.ReLU()(x)
    if kind == "join":
        return layers.Concatenate(axis=draw(axis))([x, other, x])
    return draw(st.sampled_from([layers.Add, layers.Subtract, layers.Multiply]))()([x, other])


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_drawn_stacks_mean_what_keras_means(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    inputs = x = keras.Input(tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))))
    for _ in range(data.draw(st.integers(1, 5))):
        x = drawn_layer(data.draw, x)
    model = randomise(keras.Model(inputs, x), data.draw(st.integers(0, 1000)))
    for suffix in (".keras", ".h5"):
        agree(load(save(model, tmp_path_factory.mktemp("drawn") / f"model{suffix}")), model)


def test_every_activation() -> None:
    x = keras.Input((3, 4))
    outputs = [layers.Activation(name)(x) for name in ACTIVATIONS[1:]]
    outputs += [layers.ReLU(2.0, 0.25)(x), layers.ReLU(6.0)(x), layers.ReLU(3.0, 0, 1.0)(x), layers.Softmax([1])(x)]
    model = keras.Model(x, outputs)
    agree(load(model), model)


def test_operations_on_tensors() -> None:
    x, y = keras.Input((3, 2), name="x"), keras.Input((3, 2), name="y")
    vector = np.array([0.5, -2.0], np.float32)
    outputs = [x * 2.0 + y, 1.0 - x, x - 1.0, x / 4.0, -x, x * y - x, x + vector, x * vector]
    model = keras.Model([x, y], outputs)
    agree(load(model), model)


def normalisation(**settings_: Any) -> Any:
    layer = layers.Normalization(**settings_)
    layer.adapt(np.random.default_rng(0).normal(1, 3, (50, 3, 2)))
    return layer


def family() -> Any:
    """Sub-models in one another, shared layers and sub-models, several inputs and outputs."""
    a, b = keras.Input((3, 2), name="second name first"), keras.Input((3, 2), name="b")
    inner, other = (
        keras.Sequential([keras.Input((3, 2)), layers.Dense(2, "relu"), layers.Dense(2, name="twin")], name=name)
        for name in ("inner", "other")
    )
    u = keras.Input((3, 2))
    v = keras.Input((3, 2))
    outer = keras.Model([u, v], [other(layers.Dense(2, name="twin")(u)) + v, layers.Flatten()(v)], name="outer")
    shared = layers.Dense(2, name="shared")
    p, q = outer([shared(a), shared(b)])
    r, _ = outer([p, a])
    s = layers.BatchNormalization()(normalisation(axis=-1)(inner(r)))
    t = layers.Normalization(mean=[1.0, 2.0], variance=[4.0, 9.0])(
        layers.Normalization(mean=0.5, variance=3.0, invert=True, axis=None)(b)
    )
    return randomise(keras.Model([b, a], [s, layers.Dropout(0.5)(q), t], name="family"), 3)


@pytest.fixture(scope="module")
def model() -> Any:
    return family()


@pytest.fixture(scope="module")
def saved(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(model, tmp_path_factory.mktemp("keras") / "family.keras")


def test_sub_models_and_shared_layers_however_they_come(model: Any, saved: Path, tmp_path: Path) -> None:
    network = load(saved)
    agree(network, model)
    assert network.name == "family"
    assert network.inputs == ("b", "second name first")
    names = [node.name for node in network]
    assert names[:2] == ["shared", "shared_2"]
    assert {"outer/twin", "outer/other/twin", "outer/twin_2", "inner/twin"} < set(names)
    assert network.source["format"] == "keras3"
    assert network.source["keras_version"] == keras.__version__
    assert len(network.source["sha256"]) == 64
    (tmp_path / "family.json").write_text(model.to_json())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_weights(tmp_path / "family.weights.h5")
    agree(load(tmp_path / "family.json", weights=tmp_path / "family.weights.h5"), model)
    agree(load(tmp_path / "family.json", weights=saved), model)
    live = load(model)
    agree(live, model)
    assert live.source == load(model).source


def test_files_of_early_keras_3_name_no_layers(model: Any, saved: Path, tmp_path: Path) -> None:
    """Up to Keras 3.5 the groups of the weights say nothing but class and number."""
    with zipfile.ZipFile(saved) as archive:
        buffer = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(buffer, "r+") as file:
        file.visititems(lambda _, item: item.attrs.clear())
    path = rewritten(saved, tmp_path / "early.keras", {"model.weights.h5": buffer.getvalue()})
    agree(load(path), model)


def test_legacy_hdf5_of_nested_models(tmp_path: Path) -> None:
    x = keras.Input((4,), name="x")
    one = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="d"), layers.PReLU(name="p")], name="one")
    two = keras.Sequential([keras.Input((4,)), layers.Dense(4, name="d"), layers.BatchNormalization()], name="two")
    model = randomise(keras.Model(x, two(one(x)) + one(x)))
    agree(load(save(model, tmp_path / "nested.h5")), model)
    # The same file under the wrong suffix is recognised by its first bytes.
    (tmp_path / "renamed.keras").write_bytes((tmp_path / "nested.h5").read_bytes())
    network = load(tmp_path / "renamed.keras")
    agree(network, model)
    assert network.source["format"] == "keras3-h5"


def test_a_file_is_read_without_keras(model: Any, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        for name in ("keras", "tensorflow", "torch"):
            patch.setitem(sys.modules, name, None)
        network = load(saved)
    agree(network, model)


# Keras 2: the layouts that TensorFlow's Keras wrote.


def dense(name: str, units: int, activation: Any = "linear", **more: Any) -> dict[str, Any]:
    settings_ = {"name": name, "trainable": True, "dtype": "float32", "units": units, "activation": activation}
    rest = {"use_bias": True, "kernel_initializer": {"class_name": "GlorotUniform", "config": {"seed": None}}}
    tail = {"bias_initializer": {"class_name": "Zeros", "config": {}}, "kernel_regularizer": None}
    return {"class_name": "Dense", "config": {**settings_, **rest, **tail, **more}}


def norm(name: str) -> dict[str, Any]:
    flags = {"axis": [1], "momentum": 0.99, "epsilon": 0.001, "center": True, "scale": True, "trainable": True}
    return {"class_name": "BatchNormalization", "config": {"name": name, "dtype": "float32", **flags}}


def relu(name: str) -> dict[str, Any]:
    settings_ = {"name": name, "trainable": True, "dtype": "float32", "max_value": 6.0, "negative_slope": 0.0}
    return {"class_name": "ReLU", "config": {**settings_, "threshold": 0.0}}


def sequential(name: str, parts: list[dict[str, Any]]) -> dict[str, Any]:
    first = {"batch_input_shape": [None, 3], "dtype": "float32", "sparse": False, "ragged": False}
    start = {"class_name": "InputLayer", "config": {**first, "name": f"{name}_input"}}
    return {"class_name": "Sequential", "config": {"name": name, "layers": [start, *parts]}}


KERAS2 = sequential(
    "net",
    [
        dense("first", 4, "hard_sigmoid"),
        norm("bn"),
        relu("r6"),
        sequential("sub", [dense("inner", 3), relu("inner_r"), dense("inner_2", 3, "tanh")]),
        dense("last", 2),
    ],
)
KERAS2["config"]["layers"][4]["config"]["layers"][0]["config"]["batch_input_shape"] = [None, 4]


def keras2_weights() -> dict[str, dict[str, np.ndarray]]:
    rng = np.random.default_rng(5)
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, k, m in (("first", 3, 4), ("inner", 4, 3), ("inner_2", 3, 3), ("last", 3, 2)):
        found[name] = {"kernel": rng.normal(size=(k, m)), "bias": rng.normal(size=m)}
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    found["bn"] = {key: np.abs(rng.normal(size=4)) + 0.1 for key in names}
    return {layer: {key: value.astype(np.float32) for key, value in part.items()} for layer, part in found.items()}


def keras2_forward(x: np.ndarray) -> np.ndarray:
    w = keras2_weights()
    y = np.clip(0.2 * (x @ w["first"]["kernel"] + w["first"]["bias"]) + 0.5, 0, 1)  # Keras 2's hard_sigmoid
    bn = w["bn"]
    y = (y - bn["moving_mean"]) / np.sqrt(bn["moving_variance"] + 0.001) * bn["gamma"] + bn["beta"]
    y = np.clip(y, 0, 6)
    y = np.clip(y @ w["inner"]["kernel"] + w["inner"]["bias"], 0, 6)
    y = np.tanh(y @ w["inner_2"]["kernel"] + w["inner_2"]["bias"])
    return y @ w["last"]["kernel"] + w["last"]["bias"]


def keras2_agrees(network: Network) -> None:
    x = np.random.default_rng(1).normal(0, 1, (7, 3))
    np.testing.assert_allclose(forward(network, [x])[0], keras2_forward(x), rtol=1e-5, atol=1e-6)


def write_named(group: Any, backend: str = "tensorflow") -> None:
    """Weights by name as `save_weights_to_hdf5_group` of Keras 2 writes them."""
    weights = keras2_weights()
    members = {"first": ["first"], "bn": ["bn"], "r6": [], "sub": ["inner", "inner_2"], "last": ["last"]}
    group.attrs["layer_names"] = np.array([name.encode() for name in members])
    group.attrs["backend"], group.attrs["keras_version"] = backend.encode(), b"2.8.0"
    for name, parts in members.items():
        sub = group.create_group(name)
        names = [f"{part}/{key}:0" for part in parts for key in weights[part]]
        sub.attrs["weight_names"] = np.array([text.encode() for text in names])
        for text in names:
            part, key = text[:-2].split("/")
            sub.create_dataset(text, data=weights[part][key])


def keras2_hdf5(path: Path, config: Any = None) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config or KERAS2).encode()
        file.attrs["keras_version"] = b"2.8.0"
        write_named(file.create_group("model_weights"))
    return path


def keras2_zip(path: Path, container: str, separator: str = "/", config: Any = None) -> Path:
    """`.keras` of Keras 2.13 (every layer with weights takes two numbers of its class) or 2.15."""
    weights, buffer, twice = keras2_weights(), io.BytesIO(), container.startswith("_")
    with h5py.File(buffer, "w") as file:

        def write(parts: list[Any], prefix: str) -> None:
            counts: dict[str, int] = {}
            for part in parts:
                name, class_name = part["config"]["name"], part["class_name"]
                base = {"BatchNormalization": "batch_normalization", "ReLU": "re_lu"}.get(class_name)
                base = base or class_name.lower()
                count = counts.get(base, 0)
                inside = part["config"].get("layers", [])[1:]
                heavy = bool(inside) or name in weights
                counts[base] = count + (2 if heavy and twice else 1)
                place = f"{prefix}{container}{separator}{base}" + (f"_{count}" if count else "")
                group = file.create_group(place).create_group("vars")
                for number, value in enumerate(weights.get(name, {}).values()):
                    group.create_dataset(str(number), data=value)
                write(inside, place + separator)

        write(KERAS2["config"]["layers"][1:], "")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "2.13.1", "date_saved": "2024-01-01@00:00:00"}))
        archive.writestr("config.json", json.dumps(config or KERAS2))
        archive.writestr("model.weights.h5", buffer.getvalue())
    return path


def test_keras_2_hdf5(tmp_path: Path) -> None:
    network = load(keras2_hdf5(tmp_path / "old.h5"))
    keras2_agrees(network)
    assert network.source["format"] == "keras2-h5"
    assert network.source["keras_version"] == "2.8.0"


@pytest.mark.parametrize("separator", ["/", "\\"])
@pytest.mark.parametrize("container", ["_layer_checkpoint_dependencies", "layers"])
def test_keras_2_zip(tmp_path: Path, container: str, separator: str) -> None:
    network = load(keras2_zip(tmp_path / "old.keras", container, separator))
    keras2_agrees(network)
    assert network.source["format"] == "keras2"


def test_keras_2_architecture_with_weights(tmp_path: Path) -> None:
    (tmp_path / "net.json").write_text(json.dumps({**KERAS2, "keras_version": "2.8.0", "backend": "tensorflow"}))
    with h5py.File(tmp_path / "net.h5", "w") as file:
        write_named(file)
    keras2_agrees(load(tmp_path / "net.json", weights=tmp_path / "net.h5"))
    keras2_agrees(load(tmp_path / "net.json", weights=keras2_hdf5(tmp_path / "whole.h5")))


def test_keras_2_numbers_a_sub_model_from_one(tmp_path: Path) -> None:
    """A sub-model built from inputs has a call of its own, which the file leaves out but counts."""
    sub = {**KERAS2["config"]["layers"][4], "name": "sub", "inbound_nodes": [[["bn", 0, 0, {}]]]}
    parts = [
        {**KERAS2["config"]["layers"][0], "name": "net_input", "inbound_nodes": []},
        {**dense("first", 4, "hard_sigmoid"), "name": "first", "inbound_nodes": [[["net_input", 0, 0, {}]]]},
        {**norm("bn"), "name": "bn", "inbound_nodes": [[["first", 0, 0, {"training": False}]]]},
        sub,
        {**dense("last", 2), "name": "last", "inbound_nodes": [[["sub", 1, 0, {}]]]},
    ]
    ends = {"input_layers": [["net_input", 0, 0]], "output_layers": [["last", 0, 0]]}
    config = {"class_name": "Functional", "config": {"name": "net", "layers": parts, **ends}}
    network = load(keras2_hdf5(tmp_path / "functional.h5", config))
    assert [node.name for node in network][-4:] == ["sub/inner_r", "sub/inner_2", "sub/inner_2_tanh", "last"]


def test_numbers_that_keras_2_wrote_as_arrays(tmp_path: Path) -> None:
    part = {"name": "leaky", "trainable": True, "dtype": "float32"}
    for alpha in (0.25, {"class_name": "__numpy__", "config": {"value": 0.25, "dtype": "float32"}}):
        config = sequential("net", [{"class_name": "LeakyReLU", "config": {**part, "alpha": alpha}}])
        network = load(keras2_hdf5(tmp_path / "leaky.h5", config))
        assert network.nodes[0].attrs["slope"] == 0.25


# What is damaged or not understood says so.


def rewritten(path: Path, target: Path, change: dict[str, Any], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", compression) as new:
        for name in old.namelist():
            data: Any = change.get(name, old.read(name))
            if data is not None:
                new.writestr(name, data)
    return target


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("part", [0.0005, 0.1, 0.5, 0.9, 0.99])
def test_truncated(tmp_path: Path, suffix: str, part: float) -> None:
    whole = keras2_zip(tmp_path / "w", "layers") if suffix == ".keras" else keras2_hdf5(tmp_path / "w")
    data = whole.read_bytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(data[: max(int(len(data) * part), 3)])
    with pytest.raises(ModelError, match=rf"model '.*cut\{suffix}': the file is truncated or corrupted"):
        load(path)


def test_a_damaged_heap_is_found_before_the_hdf5_library_loops_in_it(tmp_path: Path) -> None:
    path = tmp_path / "heap.h5"
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(KERAS2)  # of variable length, hence in a heap
        write_named(file.create_group("model_weights"))
    keras2_agrees(load(path))
    data = bytearray(path.read_bytes())
    data[data.index(b"GCOL") + 9] ^= 0x53
    path.write_bytes(bytes(data))
    with pytest.raises(ModelError, match=r"heap\.h5': the file is truncated or corrupted: the heap at byte \d+"):
        load(path)


def test_missing_and_empty_files(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere\.keras': no such file"):
        load(tmp_path / "nowhere.keras")
    (tmp_path / "empty.h5").touch()
    with pytest.raises(ModelError, match=r"empty\.h5': the file is empty"):
        load(tmp_path / "empty.h5")
    (tmp_path / "noise.keras").write_bytes(b"neither of them")
    with pytest.raises(ModelError, match=r"noise\.keras'.*begins neither like a zip archive"):
        load(tmp_path / "noise.keras")


@pytest.mark.parametrize(
    ("member", "data", "message"),
    [
        ("config.json", None, "'config.json' is missing"),
        ("model.weights.h5", None, "'model.weights.h5' is missing"),
        ("model.weights.h5", b"nothing", "truncated or corrupted"),
        ("config.json", b"{'a': 1}", "config.json is not JSON"),
        ("config.json", b'{"a":' * 100_000, "nested deeper than 200 levels"),
        ("config.json", b"[" * 250 + b"]" * 250, "nested deeper than 200 levels"),
        ("config.json", b"[]", "has no class name"),
    ],
)
def test_damaged_members(tmp_path: Path, member: str, data: bytes | None, message: str) -> None:
    whole = keras2_zip(tmp_path / "whole.keras", "layers")
    path = rewritten(whole, tmp_path / "bad.keras", {member: data}, zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelError, match=message) as caught:
        load(path)
    assert "bad.keras" in str(caught.value)


def test_zip_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_archive, "MAX_JSON_BYTES", 1 << 20)
    whole = keras2_zip(tmp_path / "whole.keras", "layers")
    path = rewritten(whole, tmp_path / "bomb.keras", {"config.json": b" " * (8 << 20)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelError, match=r"bomb\.keras': 'config\.json' in the archive unpacks to 8388608 bytes"):
        load(path)


def test_changed_configurations_never_escape_as_other_errors(tmp_path: Path) -> None:
    """Every value of the configuration replaced by each of some others: a network or one of our errors."""
    places: list[tuple[Any, Any]] = []

    def collect(value: Any) -> None:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            places.append((value, key))
            if isinstance(item, dict | list):
                collect(item)

    weights = keras2_hdf5(tmp_path / "weights.h5")
    config = json.loads(json.dumps(KERAS2))
    config["config"]["layers"] = config["config"]["layers"][:4]
    collect(config)
    refused = 0
    for holder, key in places:
        for other in (None, -3, "x", {}, [[1]], 1e300):
            kept, holder[key] = holder[key], other
            (tmp_path / "changed.json").write_text(json.dumps(config))
            holder[key] = kept
            try:
                load(tmp_path / "changed.json", weights=weights)
            except HardwireError:
                refused += 1
    assert refused > len(places)


def broken_file(tmp_path: Path, edit: Any) -> Path:
    config = json.loads(json.dumps(KERAS2))
    edit(config["config"]["layers"])
    return keras2_hdf5(tmp_path / "edited.h5", config)


def put(index: int, **changes: Any) -> Any:
    return lambda parts: parts[index]["config"].update(changes)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (put(1, sparsity=0.5), r"layer 'first' \(Dense\): attribute 'sparsity' = 0.5 is not understood\n.*default"),
        (put(1, activation="quantized_relu(6)"), r"layer 'first' \(Dense\): attribute 'activation' = 'quantized_relu"),
        (put(1, units=7), r"layer 'first' \(Dense\): attribute 'units' = 7: the kernel in the file has .*\(3, 4\)"),
        (put(1, dtype="int8"), r"layer 'first' \(Dense\): attribute 'dtype' = 'int8'"),
        (put(2, renorm=True), r"layer 'bn' \(BatchNormalization\): attribute 'renorm' = True"),
        (put(2, axis=[0]), r"layer 'bn' .*'axis' = 0: it is the batch axis"),
        (put(3, threshold="x"), r"layer 'r6' \(ReLU\): attribute 'threshold' = 'x': a finite number"),
        (lambda parts: parts[3].update(class_name="Conv9D"), "layer 'r6': the Keras layer 'Conv9D' is not supported"),
        (lambda parts: parts[3].update(class_name="Lambda"), "layer 'r6': a Lambda layer holds Python code.*never run"),
        (
            lambda parts: parts[3].update(class_name="Custom>Mine", registered_name="Custom>Mine"),
            "layer 'r6': the class 'Custom>Mine' is not one of Keras' own",
        ),
        (
            lambda parts: parts[1].update(module="mine.layers"),
            r"layer 'first': the class 'mine.layers.Dense' is not one of Keras' own",
        ),
        (put(1, name="renamed"), r"layer 'renamed' \(Dense\): parameter 'kernel' is not in the file"),
        (put(0, batch_input_shape=[None, None]), r"input 'net_input' has the shape \(\?,\) with dimensions left open"),
        (put(0, sparse=True), r"layer 'net_input' \(InputLayer\): attribute 'sparse'"),
        (lambda parts: parts.append(dense("first", 2)), "two layers of 'net' are named 'first'"),
    ],
)
def test_what_is_refused_names_layer_and_attribute(tmp_path: Path, edit: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load(broken_file(tmp_path, edit))


def test_nan_weights_name_layer_and_parameter(tmp_path: Path) -> None:
    path = keras2_hdf5(tmp_path / "nan.h5")
    with h5py.File(path, "r+") as file:
        file["model_weights/last/last/bias:0"][1] = np.nan
    with pytest.raises(ModelError, match=r"layer 'last': parameter 'bias' holds nan at \[1\]"):
        load(path)


def test_data_outside_the_file_is_never_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(8))
    path = keras2_hdf5(tmp_path / "outside.h5")
    with h5py.File(path, "r+") as file:
        group = file["model_weights/last/last"]
        del group["bias:0"]
        group.create_dataset("bias:0", shape=(2,), dtype="f4", external=[(str(secret), 0, 8)])
    with pytest.raises(ModelError, match="'model_weights/last/last/bias:0' point to another file, which is never read"):
        load(path)
    with h5py.File(path, "r+") as file:
        group = file["model_weights/last/last"]
        del group["bias:0"]
        group["bias:0"] = h5py.ExternalLink(str(keras2_hdf5(tmp_path / "other.h5")), "model_weights/last/last/bias:0")
    with pytest.raises(ModelError, match="weights 'model_weights/last/last/bias:0' are missing"):
        load(path)


def test_open_shapes_come_from_the_example(tmp_path: Path) -> None:
    path = broken_file(tmp_path, put(0, batch_input_shape=[None, None]))
    keras2_agrees(load(path, example=np.zeros((1, 3))))
    with pytest.raises(ModelError, match=r"has the shape \(3,\).*the example has \(4,\)"):
        load(keras2_hdf5(tmp_path / "fixed.h5"), example=np.zeros((1, 4)))


def test_weights_that_do_not_belong(tmp_path: Path) -> None:
    path = keras2_hdf5(tmp_path / "net.h5")
    with pytest.raises(ModelError, match="the file holds its own weights"):
        load(path, weights=path)
    (tmp_path / "net.json").write_text(json.dumps(KERAS2))
    with pytest.raises(ModelError, match=r"a JSON architecture has no weights\n.*weights="):
        load(tmp_path / "net.json")
    with pytest.raises(ModelError, match=r"weights '.*gone\.h5': no such file"):
        load(tmp_path / "net.json", weights=tmp_path / "gone.h5")
    with h5py.File(tmp_path / "alone.h5", "w") as file:
        write_named(file)
    with pytest.raises(ModelError, match="holds weights without the model"):
        load(tmp_path / "alone.h5")


def test_a_live_lambda_and_an_unbuilt_model_are_refused() -> None:
    model = keras.Sequential([keras.Input((3,)), layers.Lambda(lambda x: x + 1, name="sneaky")])
    with pytest.raises(UnsupportedError, match="layer 'sneaky': a Lambda layer holds Python code"):
        load(model)
    with pytest.raises(ModelError, match="input"):
        load(keras.Sequential([layers.Dense(3)]))
