"""What a batch asks of the parameters: the gradient of the loss and of the callbacks' terms, eagerly or compiled.

The two differ by float rounding alone. A gradient is linear in the weights of its terms, which is why a compiled step
is one graph although callbacks weigh a price when they have seen it: the graph gives the gradient of the loss and that
of every price, and they are summed outside.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from hardwire.errors import MissingToolError
from hardwire.train.callbacks._base import Callback, Run
from hardwire.train.flat import Flat
from hardwire.train.losses import Loss

_ONE_GRAPH = "isolate_recompiles" in inspect.signature(torch.compile).parameters
"""Whether this PyTorch compiles gradients into a graph."""
_CODE = ("NOT_PRESENT_IN_GENERIC_DICT", "CLOSURE_MATCH", "BUILTIN_MATCH", "CLASS_MATCH", "MODULE_MATCH")
"""Kinds of PyTorch's guards on code."""


def _of_data(guards: Sequence[Any]) -> list[bool]:
    """Which guards are looked at before each step: not those on code, which no run changes; they are most of them."""
    return [guard.guard_type not in _CODE for guard in guards]


_OWN: dict[str, Any] = {"options": {"size_asserts": False}}
"""Compilation that what other runs have compiled has no part in."""
if _ONE_GRAPH:
    _OWN = {"options": {**_OWN["options"], "guard_filter_fn": _of_data}, "isolate_recompiles": True}


class Step:
    """Gives the parameters of a run their gradients for a batch."""

    def __init__(self, run: Run, loss: Loss, callbacks: Sequence[Callback], flat: Flat) -> None:
        self.run, self.loss, self.flat = run, loss, flat
        self.callbacks = [c for c in callbacks if c.priced is not None or type(c).loss is not Callback.loss]

    def ready(self) -> AbstractContextManager[Any]:
        """Return the context of calls."""
        return nullcontext()

    def __call__(self, x: Tensor, y: Tensor, rows: Tensor) -> Tensor:
        """Leave the gradients of what is minimised for batch `rows`, (`x`, `y`); return the loss proper, detached."""
        run = self.run
        run.rows = rows
        outputs, loss = self.forward(x, y)
        total = self._with(self.callbacks, outputs, loss, x, y)
        self.flat.clear()
        total.backward()
        return loss.detach()

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs and loss."""
        outputs = self.run.model(x)
        return outputs, self.loss(outputs, y)

    def _with(self, callbacks: Sequence[Callback], outputs: Tensor, loss: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """The loss's share, and the terms of callbacks."""
        total = loss if self.run.loss_share == 1.0 else self.run.loss_share * loss
        for callback in callbacks:
            term = callback.loss(self.run, outputs, x, y)
            if term is not None:
                total = total + term
        return total


class CompiledStep(Step):
    """The same in one compiled graph; where a model or a callback has no one graph, in compiled parts."""

    def __init__(self, run: Run, loss: Loss, callbacks: Sequence[Callback], flat: Flat) -> None:
        super().__init__(run, loss, callbacks, flat)
        self.priced = [callback for callback in self.callbacks if callback.priced is not None]
        self.traced = [callback for callback in self.callbacks if callback.traced]
        self.parameters = [parameter for parts in flat.parts for parameter in parts]
        self.whole: Any = None
        others = [type(c).__name__ for c in self.callbacks if c not in self.priced and c not in self.traced]
        if others or not _ONE_GRAPH:
            self._in_parts(
                f"no graph has the terms of {', '.join(others)}" if others else f"PyTorch {torch.__version__}"
            )
        else:
            self.whole = torch.compile(self._whole, fullgraph=True, dynamic=False, **_OWN)
        self.parts = torch.compile(super().forward, **_OWN)

    def ready(self) -> AbstractContextManager[Any]:
        """Let gradients be part of a graph."""
        return super().ready() if self.whole is None else torch._dynamo.config.patch(trace_autograd_ops=True)

    def __call__(self, x: Tensor, y: Tensor, rows: Tensor) -> Tensor:
        """As `Step`; the first call compiles."""
        with _compiler_told():
            if self.whole is None:
                return super().__call__(x, y, rows)
            try:
                loss, prices, gradients = self.whole(x, y, rows)
            except torch._dynamo.exc.TorchDynamoException as error:
                self._in_parts(str(error).strip().splitlines()[0])
                return super().__call__(x, y, rows)
        weights = (c.weigh(self.run, float(price)) for c, price in zip(self.priced, prices, strict=True))
        self.flat.sum(zip((1.0, *weights), gradients, strict=True))
        return loss

    def _in_parts(self, reason: str) -> None:
        self.whole = None
        self.run.say(f"forward pass and loss are compiled apart from the rest of a step: {reason}")

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs and loss, compiled by themselves."""
        found: tuple[Tensor, Tensor] = self.parts(x, y)
        return found

    def _whole(self, x: Tensor, y: Tensor, rows: Tensor) -> tuple[Tensor, list[Tensor], list[list[Tensor | None]]]:
        """Loss proper, prices, and the gradients of what is minimised without them and of each of them."""
        self.run.rows = rows
        outputs, loss = super().forward(x, y)
        total = self._with(self.traced, outputs, loss, x, y)
        prices = [c.priced(self.run.model) for c in self.priced if c.priced is not None]
        gradients = [
            self.flat.join(torch.autograd.grad(value, self.parameters, retain_graph=True, allow_unused=True))
            for value in (total, *prices)
        ]
        return loss.detach(), [price.detach() for price in prices], gradients


@contextmanager
def _compiler_told() -> Iterator[None]:
    """Say plainly that a compiler is missing."""
    try:
        yield
    except Exception as error:
        if "InvalidCxxCompiler" in f"{type(error).__name__} {error!r}":
            raise MissingToolError(
                "training option compile = True needs a C++ compiler, which is not installed",
                hint="g++ (Debian package g++; the variable CXX names another), or compile = False",
            ) from error
        raise
