"""PyTorch functions and tensor methods, one by one, against PyTorch; operators in place and their views."""

from __future__ import annotations

import copy
import importlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hardwire.errors import UnsupportedError
from hardwire.frontends import load
from hardwire.network.graph import Network
from hardwire.network.reference import forward

torch = pytest.importorskip("torch")
nn = torch.nn
F = torch.nn.functional

W = torch.tensor([0.5, -1.25, 2.0, -0.75])
M = torch.tensor([[1.0, -2.0, 0.5, 0.25], [0.0, 1.5, -1.0, 3.0], [2.0, 0.5, -0.5, 1.0]])
MASK = M > 0.3


class Unrolled(nn.Module):
    """A recurrent cell in a loop, from zeros or from nothing."""

    def __init__(self, cell: Any, *, start: bool) -> None:
        super().__init__()
        self.cell, self.start = cell, start

    def forward(self, x: Any) -> Any:
        zeros = torch.zeros(x.shape[0], self.cell.hidden_size)
        lstm = isinstance(self.cell, nn.LSTMCell)
        state: Any = ((zeros, zeros.clone()) if lstm else zeros) if self.start else None
        for step in range(x.shape[1]):
            state = self.cell(x[:, step], state)
        return state


class Function(nn.Module):
    """A function as a module; W, M and MASK are buffers."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function
        for name, value in (("w", W), ("m", M), ("mask", MASK)):
            self.register_buffer(name, value.clone())

    def forward(self, *inputs: Any) -> Any:
        return self.function(self, *inputs)


def check(module: Any, *shapes: tuple[int, ...], program: Callable[[Any], Any] | None = None) -> Network:
    """Import a module (or what `program` makes of its exported program) and compare with PyTorch."""
    rng = np.random.default_rng(5)
    inputs = [rng.normal(0, 1.5, (4, *shape)).astype(np.float32) for shape in shapes]
    module = module.eval()
    with torch.no_grad():
        expected = copy.deepcopy(module)(*(torch.tensor(x) for x in inputs))
    if program is None:
        network = load(module, example=tuple(x[:1] for x in inputs))
    else:
        dims = tuple({0: torch.export.Dim("batch", min=2, max=1 << 20)} for _ in inputs)
        examples = tuple(torch.tensor(np.repeat(x[:1], 13, 0)) for x in inputs)
        network = load(program(torch.export.export(module, examples, dynamic_shapes=dims)))
    found = forward(network, [x.astype(np.float64) for x in inputs])
    leaves = torch.utils._pytree.tree_leaves(expected)
    assert len(found) == len(leaves)
    for ours, theirs in zip(found, leaves, strict=True):
        assert ours.shape == tuple(theirs.shape)
        np.testing.assert_allclose(ours, theirs.double().numpy(), rtol=1e-4, atol=1e-4)
    return network


X, XY = ((3, 4),), ((3, 4), (3, 4))


def view_written(s: Any, x: Any) -> Any:
    y = x + 1
    y[:, 0].mul_(2)
    return y


def read_view_after(s: Any, x: Any) -> Any:
    y = x + 1
    v = y[:, 0]
    y.add_(1)
    return v


def assigned(s: Any, x: Any) -> Any:
    y = x.clone()
    y[:, 0] = 0
    y[:, 1:, ::2] = x[:, :-1, ::2] * 2
    return y


def shifted(s: Any, x: Any) -> Any:
    y = torch.zeros_like(x)
    y[:, :, 1:] = x[:, :, :-1]
    return y


def residual_in_place(s: Any, x: Any) -> Any:
    h = x + 1
    r = F.relu_(h)
    return h + r


CASES: dict[str, tuple[Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "sum with a factor": (lambda s, x, y: torch.add(x, y, alpha=2) - torch.sub(y, x, alpha=0.5), XY),
    "reversed difference": (lambda s, x: torch.rsub(x, 2, alpha=3), X),
    "quotient": (lambda s, x, y: x / (y.abs() + 1), XY),
    "rounded quotients": (lambda s, x: (x // 2) + torch.div(x, 0.5, rounding_mode="trunc"), X),
    "remainders": (lambda s, x: x % 2 + torch.fmod(x, 1.5), X),
    "power of a number": (lambda s, x: 2**x, X),
    "bounds that are tensors": (lambda s, x, y: torch.clamp(torch.clamp(x, -s.w.abs(), s.w.abs()), max=y), XY),
    "product": (lambda s, x: x.prod(-1), X),
    "running": (lambda s, x: x.cumsum(1) + x.cumsum(-1) + x.cumprod(-1) + x.cummax(-1)[0], X),
    "top": (lambda s, x: x.topk(2)[0], X),
    "places": (lambda s, x: x.topk(3, largest=False)[1], X),
    "sorted": (lambda s, x: x.sort(1, descending=True)[0] + x.argsort(1), X),
    "middle": (lambda s, x: x.median(-1)[0] + x.kthvalue(2, -1)[0], X),
    "largest and its place": (lambda s, x: tuple(x.max(-1)), X),
    "place of the smallest": (lambda s, x: x.min(1)[1], X),
    "casts": (lambda s, x: x.long() + (x > 0).int() + x.bool().float(), X),
    "other functions": (lambda s, x: torch.exp2(x) + torch.log2(x.abs() + 1) + torch.erfc(x) + torch.sinc(x), X),
    "decimals": (lambda s, x: torch.round(x, decimals=1), X),
    "argmin": (lambda s, x: x.argmin(1), X),
    "variances": (lambda s, x: x.var(-1) + x.std(-1) + x.var(-1, unbiased=False), X),
    "norms": (lambda s, x: x.norm(dim=-1) + x.norm(p=1, dim=-1) + torch.linalg.vector_norm(x, ord=3, dim=-1), X),
    "largest norm": (lambda s, x: torch.linalg.vector_norm(x, ord=float("inf"), dim=(1, 2)), X),
    "normalised": (lambda s, x: F.normalize(x, dim=-1), X),
    "any and all": (lambda s, x: (x > 1).any(-1) | (x > -3).all(-1), X),
    "log of sums": (lambda s, x: x.logsumexp(-1), X),
    "interpolated": (lambda s, x, y: torch.lerp(x, y, 0.3) + torch.addcmul(x, x, y, value=0.5), XY),
    "cosine": (lambda s, x, y: F.cosine_similarity(x, y, dim=2), XY),
    "distances": (lambda s, x, y: torch.cdist(x, y).sum(-1) + F.pairwise_distance(x, y), XY),
    "joined with constants": (lambda s, x: torch.cat([x, s.m.expand(x.shape[0], -1, -1), torch.zeros_like(x)], 1), X),
    "stacked": (lambda s, x, y: torch.stack([x, y, torch.ones_like(x)], 1), XY),
    "indices": (lambda s, x: x[:, [2, 0]] + x[:, torch.tensor([0, 1])], X),
    "pairs of indices": (lambda s, x: x[:, [0, 1], [1, 2]], X),
    "gathered": (lambda s, x: torch.gather(x, 2, torch.tensor([[[2, 0], [1, 1]]]).expand(x.shape[0], 2, 2)), X),
    "windows": (lambda s, x: x.unfold(-1, 2, 1), X),
    "diagonal": (lambda s, x: torch.diagonal(x, 1, 1, 2), X),
    "triangles": (lambda s, x: x.tril() - x.triu(1), X),
    "turned": (lambda s, x: torch.rot90(x, 1, (1, 2)).movedim(1, 2).tile((1, 2, 1)), X),
    "repeated": (lambda s, x: x.repeat_interleave(2, 1), X),
    "split unevenly": (lambda s, x: torch.tensor_split(x, 3, -1)[0], X),
    "choice with constants": (lambda s, x: torch.where(x > 0, s.m, x) + torch.where(x < 0, 0.5, x), X),
    "choice by a mask": (lambda s, x, y: torch.where(s.mask, x, y) + torch.where(s.mask, x, s.m), XY),
    "two numbers": (lambda s, x: torch.where(x > 0, 1.0, -1.0), X),
    "filled": (lambda s, x: x.masked_fill(x < 0, -3.0) + x.masked_fill(s.mask, 0.0), X),
    "logic": (lambda s, x: ((x > 0) & (x < 1)) | ~(x > -1), X),
    "more logic": (lambda s, x: torch.logical_xor(x > 0, torch.logical_not(x < 1)), X),
    "products with factors": (lambda s, x, y: torch.baddbmm(x @ s.m.T, x, y.mT, beta=0.5, alpha=2), XY),
    "matrices of their own": (lambda s, x: torch.matmul(x[:, :, None], s.m[:, :, None] * s.w), X),
    "gated": (lambda s, x: F.glu(x, -1) + F.glu(x, 2), X),
    "shuffled channels": (lambda s, x: F.channel_shuffle(x.flatten(1)[..., None], 3), X),
    "constants": (lambda s, x: x * torch.sigmoid(s.w) + F.softplus(s.w) * s.m.std() - F.pad(s.w[1:3], (1, 1)), X),
    "rounded weights": (lambda s, x: F.linear(x, torch.clamp(torch.round(s.m * 8), -8, 7) / 8), X),
    "scaled sign": (lambda s, x: F.linear(x, torch.sign(s.m) * s.m.abs().mean(dim=1, keepdim=True)), X),
    "fake-quantised weights": (
        lambda s, x: F.linear(x, torch.fake_quantize_per_tensor_affine(s.m, 0.3, 0, -4, 3)),
        X,
    ),
    "like": (lambda s, x: x + torch.full_like(x, 2.0) * x.new_ones(4), X),
    "in place": (lambda s, x: x.clone().add_(1).mul_(2).pow_(2).clamp_min_(1).masked_fill_(s.mask, 0.5), X),
    "view written": (view_written, X),
    "view read after": (read_view_after, X),
    "assigned": (assigned, X),
    "shifted": (shifted, X),
    "residual in place": (residual_in_place, X),
}


@pytest.mark.parametrize("name", CASES)
def test_functions(name: str) -> None:
    function, shapes = CASES[name]
    check(Function(function), *shapes)


MODULES: dict[str, tuple[Callable[[], Any], tuple[tuple[int, ...], ...]]] = {
    "bilinear": (lambda: nn.Bilinear(3, 4, 2), ((3,), (4,))),
    "unfold": (lambda: nn.Unfold(2, dilation=1, padding=1, stride=2), ((2, 4, 4),)),
    "local response": (lambda: nn.LocalResponseNorm(2), ((4, 3, 3),)),
    "weight norm": (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), ((4,),)),
    "RNN cell": (lambda: Unrolled(nn.RNNCell(4, 3, nonlinearity="relu"), start=False), X),
    "LSTM cell": (lambda: Unrolled(nn.LSTMCell(4, 3), start=True), X),
    "LSTM cell without bias": (lambda: Unrolled(nn.LSTMCell(4, 3, bias=False), start=False), X),
    "GRU cell": (lambda: Unrolled(nn.GRUCell(4, 3), start=True), X),
    "GRU cell without bias": (lambda: Unrolled(nn.GRUCell(4, 3, bias=False), start=False), X),
    "uneven averages": (lambda: nn.AdaptiveAvgPool2d((5, 2)), ((2, 7, 5),)),
    "uneven maxima": (lambda: nn.AdaptiveMaxPool1d(5), ((2, 7),)),
    "instance norm": (lambda: nn.InstanceNorm2d(2, affine=True), ((2, 3, 3),)),
    "instance norm of running statistics": (lambda: nn.InstanceNorm1d(3, affine=True, track_running_stats=True), X),
    "softplus with a step": (lambda: nn.Softplus(2, 3), X),
    "channel shuffle": (lambda: nn.ChannelShuffle(2), ((6, 2, 2),)),
}


@pytest.mark.parametrize("name", MODULES)
def test_modules(name: str) -> None:
    make, shapes = MODULES[name]
    check(make(), *shapes)


def test_quantisers() -> None:
    scales, zeros = torch.tensor([0.25, 0.5, 0.125]), torch.tensor([0, 3, -2], dtype=torch.int32)
    fake = torch.fake_quantize_per_channel_affine

    def function(s: Any, x: Any) -> Any:
        y = torch.fake_quantize_per_tensor_affine(x, 0.25, 2, -8, 7)
        return y + fake(x, s.scales, s.zeros, 1, -8, 7)

    module = Function(function)
    module.register_buffer("scales", scales)
    module.register_buffer("zeros", zeros)
    network = check(module, (3, 4))
    assert [node.kind for node in network.nodes].count("quantise") == 2


def test_pairs_of_pt2e_quantisation() -> None:
    importlib.import_module("torch.ao.quantization.fx._decomposed")
    pair = torch.ops.quantized_decomposed
    codes = torch.tensor([[3, -5, 7, 1], [0, 2, -8, 4]], dtype=torch.int8)

    def function(s: Any, x: Any) -> Any:
        q = pair.quantize_per_tensor(x, 0.125, 1, -128, 127, torch.int8)
        weight = pair.dequantize_per_tensor(s.codes, 0.5, 0, -128, 127, torch.int8)
        return F.linear(pair.dequantize_per_tensor(q, 0.125, 1, -128, 127, torch.int8), weight)

    module = Function(function)
    module.register_buffer("codes", codes)
    assert [node.kind for node in check(module, (3, 4)).nodes] == ["quantise", "dense"]


@pytest.mark.parametrize("name", ["view written", "view read after"])
def test_a_file_whose_views_change_is_refused(name: str, tmp_path: Any) -> None:
    """A file cannot be made functional without PyTorch: the stale view is named, with the call that helps."""
    program = torch.export.export(Function(CASES[name][0]), (torch.zeros(13, 3, 4),))
    torch.export.save(program, tmp_path / "model.pt2")
    with pytest.raises(UnsupportedError, match=r"has changed in place through a view\n.*run_decompositions"):
        load(tmp_path / "model.pt2")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's own
        torch.export.save(program.run_decompositions({}), tmp_path / "functional.pt2")
    load(tmp_path / "functional.pt2")
