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
