"""SimpleRNN, LSTM, GRU: Keras and PyTorch forwards in float, exact integers with types, calibration, one kernel."""

from __future__ import annotations

import io
import os
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_checks import check_exact, quantised

import hardwire as hw
from hardwire.errors import HardwireError, ModelError, RangeError, UnsupportedError
from hardwire.fixed import FixedType, Overflow, Rounding
from hardwire.frontends import load
from hardwire.layers._lowering import lower
from hardwire.layers.recurrent import RELU, SIGMOID, TANH
from hardwire.network.graph import NetworkBuilder
from hardwire.network.prepare import input_quantisers
from hardwire.network.reference import forward
from hardwire.quantiser import Quantiser

os.environ.setdefault("KERAS_BACKEND", "torch")

GATES = {"rnn": 1, "lstm": 4, "gru": 3}
TENSORS = ("sums", "gates", "carry", "curve", "squashed", "inner", "reset", "total", "candidate", "state")


def typed(draw, name):
    """A type of a tensor inside a cell: the same for all units or, for the state, one for each."""
    over = draw(st.sampled_from([Overflow.SAT, Overflow.WRAP, Overflow.SAT_SYM]))
    rounding = draw(st.sampled_from([Rounding.RND, Rounding.TRN, Rounding.RND_CONV]))
    if name == "state" and draw(st.booleans()):
        return Quantiser.of_arrays(True, np.array([4, 6]), np.array([3, 2]), rounding, over)
    return Quantiser.of_type(FixedType(True, draw(st.integers(3, 7)), draw(st.integers(1, 4))), rounding, over)


@st.composite
def cells(draw):
    """A network of one recurrent layer of two units with drawn types, attributes and initial states."""
    kind = draw(st.sampled_from(list(GATES)))
    lead, steps, k, u = draw(st.sampled_from([(), (2,), (1, 2)])), draw(st.integers(1, 4)), draw(st.integers(1, 3)), 2
    small = st.integers(-9, 9).map(lambda v: v / 4)

    def array(*shape):
        return np.array(draw(st.lists(small, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))).reshape(
            shape
        )

    attrs = {
        "activation": draw(st.sampled_from([TANH, RELU, (), (("clip", {"lo": -1.0, "hi": 0.75}),)])),
        "recurrent_activation": draw(st.sampled_from([SIGMOID, (("clip", {"lo": 0.0, "hi": 1.0}),)])),
        "go_backwards": draw(st.booleans()),
        "time_order": draw(st.booleans()),
        "returns": draw(st.sampled_from(["sequence", "last", "states"])),
        "reset_after": draw(st.booleans()),
        "types": {name: typed(draw, name) for name in TENSORS},
    }
    rows = k + 2 * u if kind == "lstm" and draw(st.booleans()) else k + u
    params = {"kernel": array(rows, GATES[kind] * u)}
    if draw(st.booleans()):
        params["bias"] = array(GATES[kind] * u)
    if kind == "gru" and draw(st.booleans()):
        params["recurrent_bias"] = array(u)
    if draw(st.booleans()):
        params["initial_state"] = array(u)
    net = NetworkBuilder("net")
    inputs = [quantised(net, "x", (*lead, steps, k), "s4.2")]
    if draw(st.booleans()):
        inputs += [quantised(net, name, (*lead, u), "s4.3") for name in ("h", "c")[: 2 if kind == "lstm" else 1]]
    return net.build([net.add(kind, "layer", inputs, attrs, params)])


@settings(max_examples=60, deadline=None)
@given(cells())
def test_integers_are_the_float_meaning(network):
    check_exact(network)


def test_a_state_without_a_type_is_bounded_by_what_the_next_step_reads():
    narrow = Quantiser.of_type(FixedType(True, 4, 2), Rounding.RND_CONV)
    for kind, types in (
        ("rnn", {"state_in": narrow}),
        ("lstm", {"state_in": narrow, "carry_in": narrow, "sums": narrow, "gates": narrow, "squashed": narrow}),
        ("gru", {"state_in": narrow, "sums": narrow, "gates": narrow}),
    ):
        net = NetworkBuilder("net")
        x = quantised(net, "x", (3, 2), "s4.2")
        kernel = np.random.default_rng(0).integers(-8, 9, (4, 2 * GATES[kind])) / 8
        attrs = {"activation": RELU, "recurrent_activation": SIGMOID, "types": types, "returns": "states"}
        check_exact(net.build([net.add(kind, "layer", [x], attrs, {"kernel": kernel})]))


def test_a_state_that_nothing_bounds_is_an_error():
    net = NetworkBuilder("net")
    x = quantised(net, "x", (3, 2), "s4.2")
    network = net.build([net.add("rnn", "cell", [x], {"activation": ()}, {"kernel": np.eye(4, 2) * 1.5 + 0.5})])
    with pytest.raises(RangeError, match="'cell': nothing bounds its state"):
        lower(network, input_quantisers(network))
    net = NetworkBuilder("net")
    x = quantised(net, "x", (3, 2), "s4.2")
    network = net.build([net.add("rnn", "cell", [x], {"activation": TANH}, {"kernel": np.ones((4, 2))})])
    with pytest.raises(ModelError, match="'cell': its activation has no exact fixed-point result"):
        lower(network, input_quantisers(network))


def test_the_program_does_not_grow_with_the_sequence():
    sizes = []
    for steps in (2, 9):
        net = NetworkBuilder("net")
        x = quantised(net, "x", (steps, 2), "s4.2")
        state = Quantiser.of_type(FixedType(True, 6, 4))
        attrs = {"activation": TANH, "types": {"sums": state, "state": state}}
        network = net.build([net.add("rnn", "cell", [x], attrs, {"kernel": np.ones((4, 2)) / 2})])
        program = lower(network, input_quantisers(network))
        sizes.append(sorted(len(kernel) for kernel in program.kernels.values()))
        assert sum(step.kernel == "cell" for step in program.steps) == steps
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize(
    ("kernel", "shape", "message"),
    [((4, 3), (3, 2), "expected"), ((5, 4), (3, 2), "does not fit"), ((4, 8), (2,), "does not fit")],
)
def test_shapes_that_do_not_fit(kernel, shape, message):
    net = NetworkBuilder("net")
    x = quantised(net, "x", shape)
    with pytest.raises(ModelError, match=f"'cell': .*{message}"):
        net.add("lstm", "cell", [x], {"activation": (), "recurrent_activation": ()}, {"kernel": np.ones(kernel)})


# Keras.


@pytest.fixture(scope="module")
def keras():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("keras")


def randomised(model, seed=0):
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        if "seed_generator" not in variable.path:
            variable.assign(rng.normal(0, 0.6, variable.shape))
    return model


def same_as_keras(model, network):
    rng = np.random.default_rng(1)
    xs = [rng.normal(0, 1, (3, *x.shape[1:])).astype(np.float32) for x in model.inputs]
    expected = model(xs if len(xs) > 1 else xs[0], training=False)
    expected = expected if isinstance(expected, list | tuple) else [expected]
    found = forward(network, [x.astype(np.float64) for x in xs])
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_keras(keras, tmp_path_factory, data):
    layers, draw = keras.layers, data.draw
    kind = draw(st.sampled_from(["SimpleRNN", "LSTM", "GRU"]))
    options = {name: draw(st.booleans()) for name in ("return_sequences", "use_bias", "go_backwards", "return_state")}
    options["activation"] = draw(st.sampled_from(["tanh", "relu", "linear", "softsign", "hard_sigmoid"]))
    if kind != "SimpleRNN":
        options["recurrent_activation"] = draw(st.sampled_from(["sigmoid", "hard_sigmoid"]))
    if kind == "GRU":
        options["reset_after"] = draw(st.booleans())
    x = keras.Input((draw(st.integers(1, 4)), draw(st.integers(1, 3))))
    both = draw(st.sampled_from([None, "concat", "sum", "mul", "ave"]))
    if both is None:
        y = getattr(layers, kind)(2, **options)(x)
    else:
        options["go_backwards"] = False
        y = layers.Bidirectional(getattr(layers, kind)(2, **options), merge_mode=both)(x)
    model = randomised(keras.Model(x, y))
    suffix = draw(st.sampled_from([".keras", ".h5"]))
    path = tmp_path_factory.mktemp("keras") / f"model{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    same_as_keras(model, load(path))


def test_keras_initial_state(keras):
    x, h, c = keras.Input((3, 2)), keras.Input((4,)), keras.Input((4,))
    model = randomised(keras.Model([x, h, c], keras.layers.LSTM(4)(x, initial_state=[h, c])))
    same_as_keras(model, load(model))


def test_keras_refusals(keras):
    x = keras.Input((3, 2), batch_size=1)
    for options, match in (({"stateful": True}, "stateful"), ({"activation": "softmax"}, "activation.*softmax")):
        model = keras.Model(x, keras.layers.GRU(2, **options)(x))
        with pytest.raises(UnsupportedError, match=match):
            load(model)


def test_calibrated_gru_end_to_end(keras):
    keras.utils.set_random_seed(0)
    x = keras.Input((5, 3))
    model = randomised(keras.Model(x, keras.layers.Dense(2)(keras.layers.GRU(4)(x))))
    data = np.random.default_rng(2).normal(0, 1, (300, 5, 3)).astype(np.float32)
    design = hw.compile(model, calibrate=data, fidelity=0.98)
    expected = model(data, training=False).detach().numpy()
    found = design.predict(data)
    assert 1 - np.sum((found - expected) ** 2) / np.sum((expected - expected.mean(axis=0)) ** 2) >= 0.98
    assert design.report()["calibration"]["fidelity"] >= 0.98


# PyTorch.


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_torch(data):
    torch = pytest.importorskip("torch")
    draw = data.draw
    kind, first = draw(st.sampled_from(["LSTM", "GRU", "RNN", "relu"])), draw(st.booleans())
    shown = draw(st.sampled_from(["sequence", "last", "state", "both states"]))
    options = {
        "num_layers": draw(st.integers(1, 2)),
        "bias": draw(st.booleans()),
        "bidirectional": draw(st.booleans()),
        "batch_first": first,
        **({"nonlinearity": "relu"} if kind == "relu" else {}),
    }
    k, u, steps = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 4))

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.cells = getattr(torch.nn, kind if kind != "relu" else "RNN")(k, u, **options)

        def forward(self, x):
            y, states = self.cells(x if first else x.transpose(0, 1))
            if shown == "sequence":
                return y if first else torch.tanh(y).permute(1, 0, 2)
            if shown == "last":
                return y[:, -1] if first else y[-1]
            if shown == "state":
                h = states[0] if kind == "LSTM" else states
                return h[-1]
            return (
                torch.cat([state.transpose(0, 1) for state in states], 2) if kind == "LSTM" else states.transpose(0, 1)
            )

    torch.manual_seed(draw(st.integers(0, 99)))
    model, x = Model().eval(), torch.randn(3, steps, k)
    (found,) = forward(load(model, example=x), [x.double().numpy()])
    np.testing.assert_allclose(found, model(x).detach().numpy(), atol=1e-5)


def test_torch_refusals():
    torch = pytest.importorskip("torch")

    class First(torch.nn.Module):
        def __init__(self, cells):
            super().__init__()
            self.cells = cells

        def forward(self, x):
            return self.cells(x)[0]

    with pytest.raises(UnsupportedError, match=r"cells.*proj_size"):
        load(First(torch.nn.LSTM(3, 4, proj_size=2, batch_first=True)), example=torch.zeros(1, 5, 3))
    with pytest.raises(HardwireError, match="batch"):
        load(First(torch.nn.LSTM(3, 4)), example=torch.zeros(1, 5, 3))

    class Late(torch.nn.Module):
        def forward(self, x):
            return torch.softmax(x.transpose(0, 1), 1)

    with pytest.raises(UnsupportedError, match=r"softmax.*batch is on axis 1"):
        load(Late(), example=torch.zeros(1, 5, 3))


# ONNX.


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_onnx(data):
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    draw, helper = data.draw, onnx.helper
    kind = draw(st.sampled_from(["RNN", "LSTM", "GRU"]))
    direction = draw(st.sampled_from(["forward", "reverse", "bidirectional"]))
    shown = draw(st.integers(0, 2 if kind == "LSTM" else 1))
    k, u, steps, both = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 4)), 1
    both += direction == "bidirectional"
    gates = {"RNN": 1, "LSTM": 4, "GRU": 3}[kind]
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    shapes = {"w": (both, gates * u, k), "r": (both, gates * u, u), "b": (both, 2 * gates * u)}
    shapes |= {"h": (both, 1, u), "c": (both, 1, u), "p": (both, 3 * u)}
    names = ["t", "w", "r", "b" if draw(st.booleans()) else "", "", "h" if draw(st.booleans()) else ""]
    if kind == "LSTM":
        names += ["c" if names[-1] and draw(st.booleans()) else "", "p" if draw(st.booleans()) else ""]
    arrays = {name: rng.normal(0, 0.6, shapes[name]).astype(np.float32) for name in names if name in shapes}
    attrs = {"hidden_size": u, "direction": direction}
    if kind == "GRU":
        attrs["linear_before_reset"] = draw(st.integers(0, 1))
    functions = ["Sigmoid", "Tanh", "Relu", "Softsign", "HardSigmoid"]
    if draw(st.booleans()):
        number = {"RNN": 1, "LSTM": 3, "GRU": 2}[kind] * both
        attrs["activations"] = [draw(st.sampled_from(functions)) for _ in range(number)]
    outputs = ["y", "yh", "yc"][: 3 if kind == "LSTM" else 2]
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        helper.make_node(kind, names, outputs, name="cell", **attrs),
        helper.make_node("Transpose", [outputs[shown]], ["out"], perm=[[2, 0, 1, 3], [1, 0, 2]][shown > 0]),
    ]
    floats = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", floats, [1, steps, k])],
        [helper.make_tensor_value_info("out", floats, None)],
        [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    x = rng.normal(0, 1, (1, steps, k)).astype(np.float32)
    (expected,) = runtime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    (found,) = forward(load(model), [x.astype(np.float64)])
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("what", ["sequence", "last", "state"])
def test_onnx_as_torch_exports(what):
    torch = pytest.importorskip("torch")
    onnx = pytest.importorskip("onnx")

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.cells = torch.nn.GRU(3, 2, 2, batch_first=True, bidirectional=True)

        def forward(self, x):
            y, h = self.cells(x)
            return {"sequence": y, "last": y[:, -1], "state": h[-1]}[what]

    model, x, file = Model().eval(), torch.randn(4, 3, 3), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        axes = {"x": {0: "batch"}}
        torch.onnx.export(model, (x,), file, dynamo=False, input_names=["x"], dynamic_axes=axes)
    (found,) = forward(load(onnx.load_from_string(file.getvalue())), [x.double().numpy()])
    np.testing.assert_allclose(found, model(x).detach().numpy(), atol=1e-5)


def test_onnx_refusals():
    onnx = pytest.importorskip("onnx")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    weights = [onnx.numpy_helper.from_array(np.ones((1, 2, n), np.float32), name) for name, n in (("w", 3), ("r", 2))]

    def model(*nodes):
        ends = [helper.make_tensor_value_info(name, floats, None) for name in ("x", "out")]
        ends[0] = helper.make_tensor_value_info("x", floats, ["n", 4, 3])
        graph = helper.make_graph(list(nodes), "net", ends[:1], ends[1:], weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)

    swap = helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2])
    with pytest.raises(UnsupportedError, match=r"cell.*batch on axis 0"):
        load(model(helper.make_node("RNN", ["x", "w", "r"], ["out"], name="cell", hidden_size=2)))
    with pytest.raises(UnsupportedError, match=r"cell.*'clip' = 1"):
        load(model(swap, helper.make_node("RNN", ["t", "w", "r"], ["out"], name="cell", hidden_size=2, clip=1.0)))
    with pytest.raises(UnsupportedError, match=r"output 'out' has the batch on axis 2"):
        load(model(swap, helper.make_node("RNN", ["t", "w", "r"], ["out"], name="cell", hidden_size=2)))
    with pytest.raises(UnsupportedError, match=r"soft.*batch is on axis 1"):
        load(model(swap, helper.make_node("Softmax", ["t"], ["out"], name="soft", axis=1)))
