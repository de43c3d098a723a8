"""Parameters side by side in one tensor, so that an optimiser's step is one kernel and not one a parameter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


class Flat:
    """A context: the parameters of an optimiser's groups as views of one long parameter each, their gradients likewise.

    `groups` are the optimiser's groups over the long parameters: one a type and device in each group. Values are read
    and written through either, and a parameter's tensor must not be replaced before it ends.
    """

    def __init__(self, groups: Iterable[dict[str, Any]]) -> None:
        self.groups: list[dict[str, Any]] = []
        self.flats: list[nn.Parameter] = []
        self.parts: list[list[nn.Parameter]] = []
        """The parameters of each of `flats`, in order."""
        for group in groups:
            kinds: dict[Any, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                kinds.setdefault((parameter.dtype, parameter.device), []).append(parameter)
            flats = [_joined(parts) for parts in kinds.values()]
            self.groups.append({**group, "params": flats})
            self.flats += flats
            self.parts += kinds.values()

    def join(self, gradients: Iterable[Tensor | None]) -> list[Tensor | None]:
        """Gradients of all parameters, in the order of `parts`, as those of `flats`; None where there is none."""
        found: list[Tensor | None] = []
        rest = iter(gradients)
        for parts in self.parts:
            given = [next(rest) for _ in parts]
            if all(one is None for one in given):
                found.append(None)
                continue
            each = (torch.zeros_like(part) if one is None else one for part, one in zip(parts, given, strict=True))
            found.append(torch.cat([one.reshape(-1) for one in each]))
        return found

    def clear(self) -> None:
        """Zero the gradients."""
        for flat in self.flats:
            assert flat.grad is not None
            flat.grad.zero_()

    def sum(self, terms: Iterable[tuple[float, Iterable[Tensor | None]]]) -> None:
        """Make the gradients the sum of weights times what `join` gave."""
        self.clear()
        for weight, gradients in terms:
            for flat, gradient in zip(self.flats, gradients, strict=True):
                if weight and gradient is not None:
                    assert flat.grad is not None
                    flat.grad.add_(gradient, alpha=weight)

    def __enter__(self) -> Flat:
        return self

    def __exit__(self, *error: object) -> None:
        """Give the parameters tensors of their own again, without gradients."""
        for parameter in (parameter for parts in self.parts for parameter in parts):
            parameter.data, parameter.grad = parameter.data.clone(), None


def _joined(parts: list[nn.Parameter]) -> nn.Parameter:
    flat = nn.Parameter(torch.cat([part.detach().reshape(-1) for part in parts]))
    flat.grad = torch.zeros_like(flat)
    sizes = [part.numel() for part in parts]
    for part, value, gradient in zip(parts, flat.data.split(sizes), flat.grad.split(sizes), strict=True):
        part.data, part.grad = value.view(part.shape), gradient.view(part.shape)
    return flat
