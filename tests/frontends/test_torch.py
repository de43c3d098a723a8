from __future__ import annotations

import copy
import io
import json
import pickle
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hardwire.errors import HardwireError, MissingToolError, ModelError, UnsupportedError
from hardwire.frontends import _archive, load
from hardwire.network.graph import Network
from hardwire.network.reference import forward

torch = pytest.importorskip("torch")
nn = torch.nn
F = torch.nn.functional


def batches(*shapes: tuple[int, ...], seed: int = 0, n: int = 6) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    return tuple(rng.normal(0, 2, (n, *shape)).astype(np.float32) for shape in shapes)


def randomise(module: Any, seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in [*module.named_parameters(), *module.named_buffers()]:
            if value.is_floating_point():
                value.copy_(torch.randn(value.shape, generator=generator))
                if name.endswith("running_var"):
                    value.abs_().add_(0.1)
    return module


def agree(network: Network, module: Any, inputs: tuple[np.ndarray, ...]) -> None:
    module = copy.deepcopy(module).eval()
    with torch.no_grad():
        expected = module(*(torch.as_tensor(x) for x in inputs))
    expected = expected if isinstance(expected, tuple) else (expected,)
    found = forward(network, [x.astype(np.float64) for x in inputs])
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == tuple(theirs.shape)
        np.testing.assert_allclose(ours, theirs.double().numpy(), rtol=1e-4, atol=1e-5)


def check(module: Any, *shapes: tuple[int, ...]) -> Network:
    inputs = batches(*shapes)
    network = load(module, example=tuple(x[:1] for x in inputs))
    agree(network, module, inputs)
    return network


class Lambda(nn.Module):
    """A function as a module, with constants as buffers."""

    def __init__(self, function: Any, **buffers: Any) -> None:
        super().__init__()
        self.function = function
        for name, value in buffers.items():
            self.register_buffer(name, value)

    def forward(self, *inputs: Any) -> Any:
        return self.function(self, *inputs)


# Layer stacks.


KINDS = "linear norm flatten unflatten prelu leaky clip elu celu soft softmax drop".split()  # noqa: SIM905


@st.composite
def stacks(draw: st.DrawFn) -> tuple[Any, tuple[int, ...]]:
    shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    now, layers = shape, []
    small = st.floats(0.0625, 2.0, width=32)
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(KINDS))
        if kind == "linear":
            units = draw(st.integers(1, 5))
            layers.append(nn.Linear(now[-1], units, bias=draw(st.booleans())))
            now = (*now[:-1], units)
        elif kind == "norm":
            if len(now) > 2:
                continue
            layers.append(nn.BatchNorm1d(now[0], eps=draw(st.sampled_from([1e-5, 1e-2])), affine=draw(st.booleans())))
        elif kind == "flatten":
            start = draw(st.integers(1, len(now)))
            end = draw(st.integers(start, len(now)))
            layers.append(nn.Flatten(start, end - draw(st.sampled_from([0, len(now) + 1]))))
            now = (*now[: start - 1], int(np.prod(now[start - 1 : end])), *now[end:])
        elif kind == "unflatten":
            axis = draw(st.integers(1, len(now)))
            layers.append(nn.Unflatten(axis, (-1, now[axis - 1])))
            now = (*now[: axis - 1], 1, now[axis - 1], *now[axis:])
            if len(now) > 3:
                layers.append(nn.Flatten(1))
                now = (int(np.prod(now)),)
        elif kind == "prelu":
            layers.append(nn.PReLU(draw(st.sampled_from([1, now[0]]))))
        elif kind == "leaky":
            layers.append(nn.LeakyReLU(draw(st.floats(-1, 1, width=32))))
        elif kind == "clip":
            layers.append(draw(st.sampled_from([nn.ReLU(), nn.ReLU(inplace=True), nn.ReLU6(), nn.Hardtanh(-0.5, 2.0)])))
        elif kind == "elu":
            layers.append(nn.ELU(draw(small)))
        elif kind == "celu":
            layers.append(nn.CELU(draw(small)))
        elif kind == "soft":
            layers.append(nn.Softplus(draw(small)))
        elif kind == "softmax":
            layers.append(nn.Softmax(draw(st.sampled_from([*range(1, len(now) + 1), -1]))))
        else:
            layers.append(nn.Dropout(0.5))
    return nn.Sequential(*layers), shape


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(stacks(), st.integers(0, 1000))
def test_drawn_stacks_mean_what_torch_means(stack: tuple[Any, tuple[int, ...]], seed: int) -> None:
    module, shape = stack
    check(randomise(module, seed), shape)


# fmt: off
FUNCTIONS = [
    F.relu, F.relu6, F.hardtanh, F.leaky_relu, F.elu, F.celu, F.selu, F.gelu, F.silu, F.mish, F.softplus,
    F.hardsigmoid, F.hardswish, F.logsigmoid, F.tanhshrink, F.softshrink, F.hardshrink, torch.sigmoid, torch.tanh,
    torch.exp, torch.sin, torch.cos, torch.erf, torch.abs, torch.sign, torch.square, torch.floor, torch.ceil,
    torch.round, torch.neg, torch.atan, lambda x: F.gelu(x, approximate='tanh'), lambda x: F.elu(x, 0.5),
    lambda x: F.softplus(x, 2.0), lambda x: x.clamp(-1, 2), lambda x: x.clamp(min=0.5), lambda x: x.clamp_max(1.5),
    lambda x: x.clamp_min(-1.5), lambda x: F.threshold(x, 0.5, -2.0), lambda x: F.rrelu(x, 0.1, 0.4),
    lambda x: x ** 2, lambda x: (x.abs() + 1) ** 0.5, lambda x: (x.abs() + 1).log(), lambda x: (x.abs() + 1).sqrt(),
    lambda x: (x.abs() + 1).rsqrt(), lambda x: 1 / (x.abs() + 1), lambda x: x / 3, lambda x: 3 - x, lambda x: x - 3,
    lambda x: 0.1 * x + 1, lambda x: torch.add(x, 1.5, alpha=2), lambda x: -x, lambda x: torch.sub(x, 3.0, alpha=0.5),
    lambda x: x.double().float(), lambda x: x.clone().detach().contiguous(), lambda x: torch.softmax(x, -1),
    lambda x: F.softmax(x, 1), lambda x: F.hardtanh(x, 0, 4), lambda x: x * x - x,
]
# fmt: on


def test_every_function_of_one_tensor() -> None:
    module = Lambda(lambda self, x: tuple(function(x) for function in FUNCTIONS))
    network = check(module, (3, 4))
    assert len(network.outputs) == len(FUNCTIONS)


def test_arithmetic_with_constants_on_either_side_and_shapes() -> None:
    def function(self: Any, x: Any, y: Any) -> tuple[Any, ...]:
        c = torch.tensor([1.0, -2.0, 3.0, 0.5])
        return (
            x + y, x - y, x * y, x + self.c, self.c - x, x - self.c, self.c * x, x / self.c, self.c / (x.abs() + 1),
            x + c, x @ self.w, torch.matmul(self.left, x), x @ self.v, torch.cat([x, y], 1), torch.cat((x, y, x), -1),
            torch.stack([x, y], 2), x.transpose(1, 2), x.permute(0, 2, 1), x.unsqueeze(1).squeeze(1), x.flatten(1),
            x.reshape(x.shape[0], -1), x.view(-1, 2, 2, x.shape[2]), x.argmax(-1), x.argmax(1, keepdim=True).float(),
            x + torch.zeros(4), x + self.w.t().reshape(2, 4)[0], x * self.lead, x.mT, torch.rsub(x, y),
        )  # fmt: skip

    generator = torch.Generator().manual_seed(1)
    module = Lambda(
        function,
        c=torch.tensor([0.5, -1.5, 2.0, 3.0]),
        w=torch.randn(4, 2, generator=generator),
        v=torch.randn(4, generator=generator),
        left=torch.randn(3, 4, generator=generator),
        lead=torch.randn(1, 4, 1, generator=generator),
    )
    check(module, (4, 4), (4, 4))


def test_matrix_products_as_addmm_and_mm() -> None:
    w, b = torch.randn(5, 3), torch.randn(3)
    check(Lambda(lambda self, x: (torch.addmm(self.b, x, self.w), torch.mm(x, self.w)), w=w, b=b), (5,))


class Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(16, 8)
        self.block = nn.Sequential(nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5))
        self.shared = nn.Linear(8, 8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Any) -> Any:
        x = self.block(self.fc1(x))
        return self.head(self.shared(self.shared(x)) + x)


def test_nodes_are_named_after_modules_and_the_module_is_left_as_it_was() -> None:
    module = randomise(Tagger()).train()
    module.block[2].eval()
    network = check(module, (16,))
    assert [(node.name, node.kind) for node in network] == [
        ("fc1", "dense"),
        ("block.0", "batch_norm"),
        ("block.1", "relu"),
        ("shared", "dense"),
        ("shared_2", "dense"),
        ("add", "add"),
        ("head", "dense"),
    ]
    assert network.inputs == ("x",)
    assert network.source["format"] == "torch.export"
    assert module.training
    assert module.fc1.training
    assert not module.block[2].training


def test_a_live_model_has_one_hash_whatever_the_example() -> None:
    module = randomise(Tagger())
    first = load(module, example=np.zeros((1, 16), np.float32))
    second = load(module, example=torch.ones(7, 16))
    assert first.source == second.source
    with torch.no_grad():
        module.head.bias[0] += 1
    assert load(module, example=np.zeros((1, 16))).source["sha256"] != first.source["sha256"]


@pytest.mark.parametrize("dtype", ["float64", "bfloat16", "float16"])
def test_weights_of_other_float_types_are_exact(dtype: str) -> None:
    module = nn.Linear(4, 3).to(getattr(torch, dtype))
    network = load(module, example=np.zeros((1, 4)))
    np.testing.assert_array_equal(network.nodes[0].params["kernel"].T, module.weight.detach().double().numpy())


def test_programs_decomposed_to_core_operators() -> None:
    module = randomise(
        nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 3), nn.Softmax(-1))
    ).eval()
    batch = torch.export.Dim("batch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(module, (torch.zeros(2, 6),), dynamic_shapes=({0: batch},)).run_decompositions()
    assert any("native_batch_norm" in str(node.target) for node in program.graph.nodes)
    agree(load(program), module, batches((6,)))


def test_a_model_that_fixes_its_batch() -> None:
    module = randomise(nn.Sequential(nn.Linear(4, 6), nn.Unflatten(1, (2, 3))))
    x = torch.randn(3, 4)
    program = torch.export.export(Lambda(lambda self, x: x.view(3, 2, 2).flatten(1) + x.reshape(-1, 4)), (x,))
    network = load(program)
    np.testing.assert_allclose(forward(network, [x.double().numpy()])[0], 2 * x.numpy(), rtol=1e-6)
    check(module, (4,))


# Files.


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    module = randomise(Tagger()).eval()
    batch = torch.export.Dim("batch")
    program = torch.export.export(module, (torch.zeros(2, 16),), dynamic_shapes=({0: batch},))
    path = tmp_path_factory.mktemp("pt2") / "tagger.pt2"
    torch.export.save(program, path)
    return path, module


def rewritten(path: Path, target: Path, change: dict[str, Any], *, compression: int = zipfile.ZIP_STORED) -> Path:
    """Copy an archive; `change` maps member suffixes to new bytes, a function of the old ones, or None (left out)."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", compression) as new:
        for name in old.namelist():
            data: Any = old.read(name)
            for suffix, value in change.items():
                if name.endswith(suffix):
                    data = value(data) if callable(value) else value
            if data is not None:
                new.writestr(name, data)
    return target


def edited(edit: Any) -> Any:
    def change(data: bytes) -> bytes:
        value = json.loads(data)
        edit(value)
        return json.dumps(value).encode()

    return change


def test_a_file_is_read_without_torch(saved: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    path, module = saved
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "torch", None)
        network = load(path)
    agree(network, module, batches((16,)))
    assert network.source["format"] == "torch.export"
    assert len(network.source["sha256"]) == 64
    assert network.name == "tagger"


@pytest.mark.parametrize("part", [0.02, 0.3, 0.7, 0.99])
def test_truncated(saved: tuple[Path, Any], tmp_path: Path, part: float) -> None:
    data = saved[0].read_bytes()
    path = tmp_path / "cut.pt2"
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(ModelError, match=r"model '.*cut\.pt2': the file is truncated or corrupted"):
        load(path)


def test_not_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "noise.pt2"
    path.write_bytes(b"hello there")
    with pytest.raises(ModelError, match=r"noise\.pt2.*does not begin like a \.pt2 archive"):
        load(path)


@pytest.mark.parametrize(
    ("suffix", "change", "message"),
    [
        ("models/tagger.json", b"{", "is not JSON"),
        ("model.json", b'{"graph_module": ' + b"[" * 100_000, "nested deeper than"),
        ("model.json", b"[" * 300 + b"]" * 300, "nested deeper than"),
        ("model.json", b"{}", "no graph and signature"),
        ("model.json", edited(lambda j: j["graph_module"]["graph"].pop("nodes")), "not as PyTorch writes it"),
        ("model.json", edited(lambda j: j["graph_module"]["graph"]["nodes"][0].pop("inputs")), "not as PyTorch writes"),
        ("data/weights/weight_0", None, "weight_0' is missing"),
        ("data/weights/weight_0", b"abcd", "'fc1.weight' of shape .8, 16. needs 128 elements, found 1"),
        ("weights_config.json", edited(lambda j: j["config"].pop("fc1.weight")), "parameter 'fc1.weight' is missing"),
        ("weights_config.json", edited(lambda j: j["config"]["fc1.weight"].pop("tensor_meta")), "weight' is incom"),
        ("weights_config.json", edited(lambda j: j["config"]["fc1.bias"].update(use_pickle=True)), "bias' is pickl"),
        (
            "weights_config.json",
            edited(lambda j: j["config"]["fc1.bias"]["tensor_meta"].update(storage_offset={"as_int": -1})),
            "'fc1.bias' has sizes",
        ),
        ("byteorder", b"big", "big-endian"),
        (
            "model.json",
            edited(lambda j: j["graph_module"]["graph"]["nodes"][0].update(target="torch.ops.evil.run.default")),
            "layer 'fc1': the PyTorch operator 'evil.run.default' is not supported",
        ),
        (
            "model.json",
            edited(
                lambda j: j["graph_module"]["graph"]["nodes"][0]["inputs"].append(
                    {"name": "sparsity", "arg": {"as_int": 3}, "kind": 1}
                )
            ),
            r"layer 'fc1' \(aten.linear.default\): attribute 'sparsity' = 3 is not understood",
        ),
    ],
)
def test_damaged_parts(saved: tuple[Path, Any], tmp_path: Path, suffix: str, change: Any, message: str) -> None:
    suffix = suffix.replace("models/tagger.json", "models/model.json")
    path = rewritten(saved[0], tmp_path / "bad.pt2", {suffix: change})
    with pytest.raises(ModelError, match=message) as caught:
        load(path)
    assert "bad.pt2" in str(caught.value) or "layer 'fc1'" in str(caught.value)


def test_zip_bomb(saved: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_archive, "MAX_JSON_BYTES", 1 << 20)
    bomb = {"model.json": b" " * (8 << 20)}
    path = rewritten(saved[0], tmp_path / "bomb.pt2", bomb, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelError, match=r"bomb\.pt2.*models/model\.json' in the archive unpacks to 8388608 bytes"):
        load(path)


def test_a_flipped_byte_of_the_weights_is_found_by_the_checksum(saved: tuple[Path, Any], tmp_path: Path) -> None:
    data = bytearray(saved[0].read_bytes())
    with zipfile.ZipFile(saved[0]) as archive:
        raw = archive.read(next(n for n in archive.namelist() if n.endswith("weight_0")))
    data[data.index(raw) + 5] ^= 0x10
    path = tmp_path / "flip.pt2"
    path.write_bytes(bytes(data))
    with pytest.raises(ModelError, match=r"weight_0'.*CRC"):
        load(path)


class Bomb:
    """Runs when unpickled: the test fails if that ever happens."""

    def __reduce__(self) -> Any:
        return (exec, ("raise SystemError('the file was executed')",))


def test_pickles_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({"w": torch.ones(2)}, path)
    with pytest.raises(ModelError, match=r"model\.pt'.*pickle of torch.save.*\n.*torch\.export\.save"):
        load(path)
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelError, match="the file is a pickle, which may run code"):
        load(path)


def old_format(saved: Path, target: Path, state: bytes) -> Path:
    """The same program as PyTorch 2.6 and 2.7 archived it."""
    with zipfile.ZipFile(saved) as archive, zipfile.ZipFile(target, "w") as new:
        name = next(n for n in archive.namelist() if n.endswith("models/model.json"))
        new.writestr("serialized_exported_program.json", archive.read(name))
        new.writestr("serialized_state_dict.pt", state)
        new.writestr("serialized_constants.pt", b"")
        new.writestr("version", "8.8")
    return target


def test_files_of_torch_2_6(saved: tuple[Path, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    torch.save(saved[1].state_dict(), buffer)
    path = old_format(saved[0], tmp_path / "old.pt2", buffer.getvalue())
    agree(load(path), saved[1], batches((16,)))
    buffer = io.BytesIO()
    torch.save({"fc1.weight": Bomb()}, buffer)
    evil = old_format(saved[0], tmp_path / "evil.pt2", buffer.getvalue())
    with pytest.raises(ModelError, match=r"evil\.pt2': serialized_state_dict\.pt is damaged or not safe to read"):
        load(evil)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingToolError, match=r"old\.pt2'.*\n.*pip install 'hardwire\[train\]'"):
        load(path)


def test_changed_graphs_never_escape_as_other_errors(saved: tuple[Path, Any], tmp_path: Path) -> None:
    """Every value of the first nodes replaced by each of some others: a network or one of our errors."""
    with zipfile.ZipFile(saved[0]) as archive:
        name = next(n for n in archive.namelist() if n.endswith("models/model.json"))
        program = json.loads(archive.read(name))
    places: list[tuple[Any, Any]] = []

    def collect(value: Any) -> None:
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if key != "metadata":
                places.append((value, key))
                if isinstance(item, dict | list):
                    collect(item)

    collect(program["graph_module"]["graph"]["nodes"][:3])
    collect(program["graph_module"]["signature"]["input_specs"][-1])
    refused = 0
    for holder, key in places:
        for other in (None, -3, "x", [], {}, [[1]], 1e300):
            kept, holder[key] = holder[key], other
            path = rewritten(saved[0], tmp_path / "changed.pt2", {"model.json": json.dumps(program).encode()})
            holder[key] = kept
            try:
                load(path)
            except HardwireError:
                refused += 1
    assert refused > len(places)


# What is not supported says so.


def test_a_module_needs_an_example() -> None:
    with pytest.raises(ModelError, match=r"model Linear: .*does not say the shapes of its inputs\n.*example=x\[:1\]"):
        load(nn.Linear(2, 2))


def test_an_example_of_the_wrong_shape() -> None:
    with pytest.raises(ModelError, match=r"model Linear: torch.export failed: .*\n.*example has the inputs' shapes"):
        load(nn.Linear(2, 2), example=np.zeros((1, 3)))
    with pytest.raises(ModelError, match=r"holds no example; axis 0 is the batch"):
        load(nn.Linear(2, 2), example=np.zeros((0, 2)))


def test_nan_weights_name_layer_and_parameter() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with torch.no_grad():
        module[1].weight[1, 0] = float("nan")
    with pytest.raises(ModelError, match=r"layer '1': parameter 'weight' holds nan at \[1, 0\]"):
        load(module, example=np.zeros((1, 2)))


def test_a_program_in_training_mode_is_refused() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5)).train()
    program = torch.export.export(module, (torch.zeros(4, 3),))
    with pytest.raises(UnsupportedError, match=r"layer '1' \(aten.dropout.default\): attribute 'train' = True.*eval"):
        load(program)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda s, x: x.transpose(0, 1), r"has the batch on axis 1"),
        (lambda s, x: x.flatten(0), "has the batch on axis 0, merged with others"),
        (lambda s, x: x.view(-1, 3), "has the batch on axis 0, merged with others"),
        (lambda s, x: torch.softmax(x, 0), "'dim' = 0: it is the batch axis"),
        (lambda s, x: torch.cat([x, x], 0), "'dim' = 0: it is the batch axis"),
        (lambda s, x: x.argmax(), "'dim' = None: an axis"),
        (lambda s, x: x.unsqueeze(0), "'dim' = 0: it is the batch axis"),
        (lambda s, x: x.permute(1, 0, 2), "has the batch on axis 1"),
        (lambda s, x: x.to(torch.uint8), "a cast from float32 may wrap"),
        (lambda s, x: torch.atan2(x, x), "operator 'aten.atan2.default' is not supported"),
        (lambda s, x: s.w @ s.w, "does not depend on the inputs"),
        (lambda s, x: x + torch.erfinv(s.w), "layer 'erfinv': the operator 'aten.erfinv.default' on constants"),
        (lambda s, x: x + torch.arange(x.shape[0]).view(-1, 1, 1), "depends on the batch|differs by example|'end'"),
    ],
)
def test_what_is_refused_names_the_layer_and_the_reason(function: Any, message: str) -> None:
    module = Lambda(function, w=torch.eye(3))
    with pytest.raises(UnsupportedError if "depends on the batch" not in message else ModelError, match=message):
        load(module, example=np.ones((2, 3, 3)))


def test_operands_of_different_rank_would_mix_examples() -> None:
    program = torch.export.export(Lambda(lambda self, x: x + x.argmax(-1)), (torch.zeros(3, 3, 3),))
    with pytest.raises(UnsupportedError, match=r"layer 'add' .*\(3, 3\) and \(3,\).*differ in rank"):
        load(program)


def test_weights_are_for_keras(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="weights= is for Keras"):
        load(nn.Linear(2, 2), example=np.zeros((1, 2)), weights=tmp_path)
