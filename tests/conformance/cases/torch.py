"""PyTorch modules, live, against their own forward."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from conformance_case import Built, Case, grid


def built(make: Callable[[], Any], *shapes: tuple[int, ...], **options: Any) -> Callable[[Path], Built]:
    """Build a module on the grid: every parameter gets few bits, inputs are s5.2."""

    def build(folder: Path) -> Built:
        import torch

        module = make().eval()
        with torch.no_grad():
            for k, parameter in enumerate(module.parameters()):
                parameter.copy_(torch.from_numpy(grid(*parameter.shape, seed=k, bits=4, frac=1)))
            xs = [grid(20, *shape, seed=100 + k) for k, shape in enumerate(shapes)]
            out = module(*map(torch.from_numpy, xs))
        outs = out if isinstance(out, tuple) else (out,)
        example = tuple(x[:1] for x in xs) if len(xs) > 1 else xs[0][:1]
        return Built(
            module, xs, [o.numpy() for o in outs], **{"input_type": "s5.2", **options}, load={"example": example}
        )

    return build


def cases() -> Iterator[Case]:
    from torch import nn

    yield Case("dense", "Linear", built(lambda: nn.Linear(4, 3), (4,)))
    yield Case("dense", "Linear over rows", built(lambda: nn.Linear(4, 2, bias=False), (2, 4)))
    yield Case("conv 1d", "Conv1d stride 2", built(lambda: nn.Conv1d(2, 3, 3, stride=2, padding=1), (2, 6)))
    yield Case("conv 2d", "Conv2d groups", built(lambda: nn.Conv2d(2, 2, (2, 1), groups=2), (2, 3, 3)))
    yield Case("relu", "ReLU", built(nn.ReLU, (3,)))
    yield from _spatial(nn)
    yield from _tensors()


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
