"""PyTorch modules, live, against their own forward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from conformance_case import Built, Case, grid

ROUNDED = "types chosen by calibration round"


def built(
    make: Callable[[], Any], *shapes: tuple[int, ...], rows: int = 20, frac: int = 1, **options: Any
) -> Callable[[Path], Built]:
    """Build a module on the grid: every parameter gets few bits, inputs are s5.2."""

    def build(folder: Path) -> Built:
        import torch

        module = make().eval()
        with torch.no_grad():
            for k, parameter in enumerate(module.parameters()):
                parameter.copy_(torch.from_numpy(grid(*parameter.shape, seed=k, bits=4, frac=frac)))
            for name, buffer in module.named_buffers():
                if name.endswith("running_var"):
                    buffer.fill_(0.75)  # with the epsilon 0.25, its root is 1
            xs = [grid(rows, *shape, seed=100 + k) for k, shape in enumerate(shapes)]
            out = module(*map(torch.from_numpy, xs))
        outs = [part.numpy() for part in (out if isinstance(out, tuple) else (out,))]
        example = tuple(x[:1] for x in xs) if len(xs) > 1 else xs[0][:1]
        settings = {"input_type": "s5.2", **options}
        if settings.get("calibrated"):
            span = max(float(np.ptp(part)) for part in outs)
            settings |= {"input_type": None, "tolerance": 0.08 * span, "why": ROUNDED}
        return Built(module, xs, outs, **settings, load={"example": example})

    return build


def rounding(make: Callable[[], Any], *shapes: tuple[int, ...]) -> Callable[[Path], Built]:
    """Build a module with a function that is not exact, so that types are chosen from data."""
    return built(make, *shapes, rows=200, frac=3, calibrated=True)


def cases() -> Iterator[Case]:
    from torch import nn

    yield Case("dense", "Linear", built(lambda: nn.Linear(4, 3), (4,)))
    yield Case("dense", "Linear over rows", built(lambda: nn.Linear(4, 2, bias=False), (2, 4)))
    yield Case("conv 1d", "Conv1d stride 2", built(lambda: nn.Conv1d(2, 3, 3, stride=2, padding=1), (2, 6)))
    yield Case("conv 2d", "Conv2d groups", built(lambda: nn.Conv2d(2, 2, (2, 1), groups=2), (2, 3, 3)))
    yield Case("relu", "ReLU", built(nn.ReLU, (3,)))
    yield from _spatial(nn)
    yield from _tensors()
    yield from _layers(nn)
    yield from _inexact(nn)


def _layers(nn: Any) -> Iterator[Case]:
    """Further layers whose arithmetic is exact."""
    separable = lambda: nn.Sequential(nn.Conv1d(2, 2, 2, groups=2), nn.Conv1d(2, 1, 1))  # noqa: E731
    normed = lambda: nn.BatchNorm1d(3, eps=0.25)  # noqa: E731
    yield Case("einsum dense", "einsum", built(lambda: _weighted("bnc,cd->bdn", 3, 2), (2, 3)))
    yield Case(
        "embedding", "Embedding", built(lambda: _after(lambda x: x.clamp(0, 3).long(), nn.Embedding(4, 3)), (2,))
    )
    yield Case("conv 3d", "Conv3d", built(lambda: nn.Conv3d(1, 1, 2), (1, 2, 2, 3)))
    yield Case("separable conv", "Conv1d depthwise, then pointwise", built(separable, (2, 4)))
    yield Case("cropping", "pad by less than nothing", built(lambda: _module(_cropped), (1, 5)))
    yield Case("batch norm", "BatchNorm1d", built(normed, (3,)))
    yield Case(
        "average", "mean of a stack", built(lambda: _module(lambda x, y: _torch().stack([x, y], 1).mean(1)), (3,), (3,))
    )
    yield Case("dot", "sum of products", built(lambda: _module(lambda x, y: (x * y).sum(1)), (3,), (3,)))
    yield Case("prelu", "PReLU", built(lambda: nn.PReLU(3), (3,)))
    yield Case("binary and ternary", "sign", built(lambda: _module(lambda x: x.sign()), (4,)))
    yield Case("quantisers", "fake quantisation", built(lambda: _module(_fake_quantised), (4,), input_type=None))
    yield Case("nested model", "Sequential in Sequential", built(lambda: _nested(nn), (3,)))
    yield Case("shared layer", "Linear twice", built(lambda: _twice(nn.Linear(3, 3)), (3,)))
    yield Case("several inputs", "two branches", built(lambda: _branches(nn), (4,), (3,)))
    yield Case(
        "several outputs", "two heads", built(lambda: _after(lambda x: (x, x.relu()), nn.Linear(4, 2), late=True), (4,))
    )


def _inexact(nn: Any) -> Iterator[Case]:
    """Layers with functions that are tables."""
    for kind, row in (("RNN", "simple RNN"), ("LSTM", "LSTM"), ("GRU", "GRU")):
        make = lambda kind=kind: _first(getattr(nn, kind)(2, 2, batch_first=True))  # noqa: E731
        yield Case(row, kind, rounding(make, (3, 2)))
    both = lambda: _first(nn.GRU(2, 1, batch_first=True, bidirectional=True))  # noqa: E731
    heads = lambda: _itself(nn.MultiheadAttention(4, 2, batch_first=True))  # noqa: E731
    yield Case("bidirectional", "GRU both ways", rounding(both, (3, 2)))
    yield Case("multi-head attention", "MultiheadAttention", rounding(heads, (3, 4)))
    yield Case(
        "multi-head attention", "scaled_dot_product_attention", rounding(lambda: _module(_causal), (3, 2), (3, 2))
    )
    yield Case("Linformer attention", "Linformer of Linear", rounding(lambda: _linformer(nn), (4, 2)))
    yield Case("layer norm", "LayerNorm", rounding(lambda: nn.LayerNorm(4), (4,)))
    yield Case("other norms", "GroupNorm", rounding(lambda: nn.GroupNorm(2, 4), (4, 2)))
    for row, kind in (
        ("sigmoid", "Sigmoid"), ("tanh", "Tanh"), ("gelu", "GELU"), ("silu", "SiLU"), ("mish", "Mish"),
        ("hard sigmoid", "Hardsigmoid"), ("hard swish", "Hardswish"), ("softplus", "Softplus"),
        ("softsign", "Softsign"), ("selu", "SELU"), ("elu", "ELU"), ("other activations", "LogSigmoid"),
    ):  # fmt: skip
        yield Case(row, kind, rounding(getattr(nn, kind), (4,)))
    yield Case("thresholds", "Threshold", rounding(lambda: nn.Threshold(0.5, -1.0), (3,)))
    yield Case("softmax", "Softmax", rounding(lambda: nn.Softmax(1), (4,)))


def _spatial(nn: Any) -> Iterator[Case]:
    transposed = built(lambda: nn.ConvTranspose1d(2, 1, 2, stride=2), (2, 3))
    yield Case("depthwise conv", "Conv1d depthwise", built(lambda: nn.Conv1d(2, 2, 2, groups=2), (2, 3)))
    yield Case(
        "conv 1d", "Conv1d circular", built(lambda: nn.Conv1d(1, 2, 3, padding=1, padding_mode="circular"), (1, 4))
    )
    yield Case("transposed conv", "ConvTranspose1d", transposed)
    yield Case("max pooling", "MaxPool1d", built(lambda: nn.MaxPool1d(2, ceil_mode=True), (1, 5)))
    yield Case("average pooling", "AvgPool2d", built(lambda: nn.AvgPool2d(2), (1, 2, 4)))
    yield Case("global pooling", "AdaptiveMaxPool1d", built(lambda: nn.AdaptiveMaxPool1d(1), (2, 3)))
    yield Case("zero padding", "ZeroPad1d", built(lambda: nn.ZeroPad1d((1, 2)), (1, 2)))
    yield Case("up-sampling", "Upsample nearest", built(lambda: nn.Upsample(scale_factor=2), (1, 2, 2)))
    yield Case("flatten", "Flatten", built(nn.Flatten, (2, 2)))
    yield Case("leaky relu", "LeakyReLU", built(lambda: nn.LeakyReLU(0.25), (3,)))
    yield Case("clip", "ReLU6", built(nn.ReLU6, (3,)))
    yield Case("hard tanh", "Hardtanh", built(nn.Hardtanh, (3,)))
    yield Case("other", "PixelShuffle", built(lambda: nn.PixelShuffle(2), (4, 1, 1)))


_TENSORS: dict[str, tuple[str, Callable[..., Any], tuple[tuple[int, ...], ...]]] = {
    "sum of tensors": ("add", lambda x, y: x + y, ((3,), (3,))),
    "difference with a factor": ("subtract", lambda x, y: x.sub(y, alpha=2), ((3,), (3,))),
    "product": ("multiply", lambda x, y: x * y, ((2,), (2,))),
    "minimum": ("minimum", lambda x, y: x.minimum(y), ((3,), (3,))),
    "clamped by a tensor": ("maximum", lambda x, y: x.clamp(min=y), ((3,), (3,))),
    "cat with zeros": ("concatenate", lambda x: _torch().cat([x, _torch().zeros_like(x[:, :1]), x.neg()], 1), ((2,),)),
    "matmul of tensors": ("matmul", lambda x, y: x @ y, ((1, 2), (2, 2))),
    "indices": ("slice", lambda x: x[:, [2, 0]], ((3,),)),
    "assigned": ("slice", lambda x: _assigned(x), ((3,),)),
    "tensor_split": ("split", lambda x: x.tensor_split(2, 1), ((3,),)),
    "view": ("reshape", lambda x: x.view(-1, 3, 2) * 2, ((2, 3),)),
    "transpose": ("transpose", lambda x: x.transpose(1, 2) * 2, ((2, 3),)),
    "running sum": ("sum", lambda x: x.cumsum(1), ((4,),)),
    "mean": ("mean", lambda x: x.mean(1), ((4, 2),)),
    "max and its place": ("max over axes", lambda x: tuple(x.max(1)), ((4,),)),
    "argmin": ("argmax", lambda x: x.argmin(1), ((4,),)),
    "topk": ("other", lambda x: x.topk(2, 1)[0], ((4,),)),
    "where": ("other", lambda x: _torch().where(x > 0.5, x, -1.0), ((3,),)),
    "logic": ("other", lambda x, y: ((x > 0) & ~(y < 1)).float(), ((3,), (3,))),
}


def _tensors() -> Iterator[Case]:
    for name, (row, function, shapes) in _TENSORS.items():
        yield Case(row, name, built(lambda function=function: _module(function), *shapes))


def _torch() -> Any:
    import torch

    return torch


def _assigned(x: Any) -> Any:
    y = x.clone()
    y[:, 0] = 1.5
    y[:, 2] = x[:, 1]
    return y


def _module(function: Callable[..., Any]) -> Any:
    class Function(_torch().nn.Module):  # type: ignore[misc]
        def forward(self, *inputs: Any) -> Any:
            return function(*inputs)

    return Function()


def _after(function: Callable[..., Any], layer: Any, *, late: bool = False) -> Any:
    """A function of the input, then a layer; `late`: the other way round."""

    class Chain(_torch().nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, *inputs: Any) -> Any:
            return function(self.layer(*inputs)) if late else self.layer(function(*inputs))

    return Chain()


def _first(layer: Any) -> Any:
    return _after(lambda found: found[0], layer, late=True)


def _itself(layer: Any) -> Any:
    class Attention(_torch().nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Any) -> Any:
            return self.layer(x, x, x, need_weights=False)[0]

    return Attention()


def _twice(layer: Any) -> Any:
    class Twice(_torch().nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, x: Any) -> Any:
            return self.layer(self.layer(x).relu())

    return Twice()


def _nested(nn: Any) -> Any:
    return nn.Sequential(nn.Sequential(nn.Linear(3, 3), nn.ReLU()), nn.Sequential(nn.Linear(3, 2)))


def _branches(nn: Any) -> Any:
    class Branches(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 2), nn.Linear(3, 2)

        def forward(self, x: Any, y: Any) -> Any:
            return self.a(x) + self.b(y)

    return Branches()


def _weighted(equation: str, *shape: int) -> Any:
    class Weighted(_torch().nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.weight = _torch().nn.Parameter(_torch().zeros(shape))

        def forward(self, x: Any) -> Any:
            return _torch().einsum(equation, x, self.weight)

    return Weighted()


def _linformer(nn: Any) -> Any:
    """Keys and values projected along the sequence (Wang et al., 2020)."""

    class Linformer(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value = (nn.Linear(2, 2, bias=False) for _ in range(3))
            self.short = nn.Linear(4, 2, bias=False)

        def forward(self, x: Any) -> Any:
            key, value = (self.short(part(x).transpose(1, 2)).transpose(1, 2) for part in (self.key, self.value))
            return nn.functional.scaled_dot_product_attention(self.query(x), key, value)

    return Linformer()


def _causal(x: Any, y: Any) -> Any:
    return _torch().nn.functional.scaled_dot_product_attention(x / 4, y / 4, y / 4, is_causal=True)


def _cropped(x: Any) -> Any:
    return _torch().nn.functional.pad(x, (-1, -2))


def _fake_quantised(x: Any) -> Any:
    return _torch().fake_quantize_per_tensor_affine(x, 0.5, 0, -4, 3)
