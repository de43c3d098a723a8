"""Softmax as the compiler computes it: integer tables of an exponential and a reciprocal, and a product.

The tables follow from the types of input and output (`hardwire.layers.softmax.default_tables`); the forward pass is
`fixed_codes`, the gradient that of the softmax itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple
from fractions import Fraction
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from hardwire.errors import ModelError, RangeError
from hardwire.layers.softmax import SoftmaxTables, default_tables, fixed_codes
from hardwire.nn import exact
from hardwire.nn._curves import standing
from hardwire.nn._layer import Layer, cast, quantised
from hardwire.nn.scheme import LEARNED, Scheme
from hardwire.nn.work import Lookups, Multiplications, Work
from hardwire.quantiser import Quantiser as Frozen

_FAR = -1e4


@lru_cache(maxsize=256)
def _tables(scale: float, spread: int, n: int, output: float) -> SoftmaxTables:
    one = np.zeros((), np.int64)
    tables = default_tables(Fraction(scale), max(spread, 1), n, Frozen(np.array(output), one, one + 1))
    tables.check("Softmax", n)
    if tables.frac(n) >= exact.FLOAT64_BITS:
        raise RangeError(
            f"Softmax: over {n} elements to a step of {output:g} it needs {tables.frac(n) + 1} bits; "
            f"float64 holds {exact.FLOAT64_BITS}",
            hint="fewer fractional bits of its output",
        )
    return tables


class Softmax(Layer):
    """Softmax of `factor · x` along `dim`, with one type for all of its input and one for all of its output.

    Raises `ModelError` for a scheme without input quantisers, or a factor that is not above 0.
    """

    def __init__(self, dim: int = -1, factor: float = 1.0, *, scheme: Scheme = LEARNED) -> None:
        super().__init__()
        if scheme.input is None:
            raise ModelError("Softmax: its tables need quantised inputs, and the scheme has input=None")
        if not 0 < factor < float("inf"):
            raise ModelError(f"Softmax: factor={factor}; it must be above 0")
        self.dim, self.factor = dim, factor
        self.input_quantiser = scheme.input((1,))
        self.output_quantiser = scheme.input((1,))
        self.rows, self.size = 1, 1
        """Softmaxes of an event and elements of each, in the last forward pass."""

    def constants(self) -> dict[str, Tensor]:
        """None: the tables follow from the types."""
        return {}

    def train(self, mode: bool = True) -> Softmax:
        """Switch to training, or freeze the types that the tables follow from."""
        super().train(mode)
        if not mode:
            self._kept = self._types()
        return self

    def _types(self) -> tuple[float, int, float]:
        """Scale of the input, distance of its codes at most, and scale of the output."""
        with torch.no_grad():
            grid, out = self.input_quantiser.grid(), self.output_quantiser.grid()
        return float(grid.scale), int(grid.hi) - int(grid.lo), float(out.scale)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the shape of `x`; `mask` (bool, or 0 and 1, broadcasts to `x`) leaves elements out where it is 0.

        Where it leaves out all, each has the same share.
        """
        x = quantised(self.input_quantiser, x)
        if torch.compiler.is_exporting():
            scale, spread, output = self._kept
            fields = [int(field) for field in astuple(_tables(scale * self.factor, spread, x.shape[self.dim], output))]
            y = torch.ops.hardwire.softmax(x, mask, self.dim, self.factor, scale, fields)
            return quantised(self.output_quantiser, y)
        self.size = x.shape[self.dim]
        self.rows = x[0].numel() // self.size
        scale, spread, output = self._types()
        kept = None if mask is None else (mask != 0)
        tables = _tables(scale * self.factor, spread, self.size, output)
        y = standing(self._soft(x, kept), _fixed(x.detach(), kept, self.dim, self.factor, scale, tables))
        y = quantised(self.output_quantiser, y)
        return y.to(x.dtype) if self.training else exact.narrowed(y, self.output_quantiser)

    def _soft(self, x: Tensor, kept: Tensor | None) -> Tensor:
        if not torch.is_grad_enabled():
            return x
        scores = x * self.factor
        return torch.softmax(scores if kept is None else scores.masked_fill(~kept, _FAR), self.dim)

    def work(self) -> Iterator[Work]:
        """Yield a table an element, the reciprocal's, and the products."""
        name = type(self).__name__
        address, output = self.input_quantiser.bits(), self.output_quantiser.bits()
        exponential = output + float(np.log2(2.0 * self.size))
        yield Lookups(name, address.reshape(1, 1), exponential.reshape(1, 1), self.rows * self.size)
        yield Lookups(name, (output + 1.0).reshape(1, 1), (output + 2.0).reshape(1, 1), self.rows)
        yield Multiplications(name, exponential, output + 2.0, self.size, self.rows)
        yield from cast(name, self.input_quantiser, self.size, self.rows)

    def extra_repr(self) -> str:
        """Axis and factor."""
        return f"dim={self.dim}, factor={self.factor:.6g}"


def _fixed(x: Tensor, kept: Tensor | None, dim: int, factor: float, scale: float, tables: SoftmaxTables) -> Tensor:
    """The compiler's definition on values of a grid of `scale`, float64."""
    codes = np.rint(x.double().cpu().numpy() / scale).astype(np.int64)
    mask = None
    if kept is not None:
        mask = np.broadcast_to(kept.cpu().numpy(), codes.shape)
        mask = np.moveaxis(mask | ~np.any(mask, axis=dim, keepdims=True), dim, -1)
        codes = np.where(np.any(kept.cpu().numpy() & np.ones(codes.shape, bool), axis=dim, keepdims=True), codes, 0)
    found = fixed_codes(np.moveaxis(codes, dim, -1), Fraction(scale) * Fraction(factor), tables, mask)
    y = np.ascontiguousarray(np.moveaxis(found, -1, dim)) * 2.0 ** -tables.frac(codes.shape[dim])
    return torch.from_numpy(y).to(x.device)


@torch.library.custom_op("hardwire::softmax", mutates_args=())
def _softmax(x: Tensor, mask: Tensor | None, dim: int, factor: float, unit: float, tables: list[int]) -> Tensor:
    kept = None if mask is None else mask != 0
    return _fixed(x, kept, dim, factor, unit, SoftmaxTables.of(tables)).to(x.dtype)


@_softmax.register_fake
def _(x: Tensor, mask: Tensor | None, dim: int, factor: float, unit: float, tables: list[int]) -> Tensor:
    return torch.empty_like(x)
