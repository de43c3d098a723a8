"""Arithmetic of recurrent cells: a cell is written once and computed in float64 or built into a kernel.

A cell's step is a function of an `Arithmetic`, so that its float meaning and its lowering cannot differ. Inside a
kernel a number is exact: an integer value times a `Fraction`. Tensors within the cell are named; where the node's
attr `types` holds a `Quantiser` of that name, it is applied.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Generic, TypeVar

import numpy as np

from hardwire.errors import ModelError, RangeError
from hardwire.fixed import MAX_BITS, Floats, Ints
from hardwire.ir.builder import KernelBuilder
from hardwire.layers import layer_of
from hardwire.layers._requantise import overflow, round_scaled
from hardwire.layers._scales import column_codes, common_scale
from hardwire.network.graph import Node
from hardwire.quantiser import Quantiser

Chain = tuple[tuple[str, Mapping[str, Any]], ...]
"""A function of one number as the kinds and attributes of element-wise nodes in order; `()` is the identity."""

CHAIN_KINDS = ("activation", "relu", "clip", "leaky_relu", "quantise")
"""Kinds that a chain may hold: functions of one number without params."""

MAX_ENTRIES = 1 << 16
"""Most entries of one table."""

_EXACT = ("relu", "clip", "quantise")
"""Kinds of a chain that are computed; all others are tables."""

V = TypeVar("V")
"""What an arithmetic computes with: a vector of numbers."""


def is_exact(chain: Chain) -> bool:
    """Whether a chain needs no table, and so no narrow input."""
    return all(kind in _EXACT for kind, _ in chain)


def evaluate(node: Node, chain: Chain, x: Floats) -> Floats:
    """Float64 value of a chain; infinities and NaN come without a warning."""
    with np.errstate(all="ignore"):
        for kind, attrs in chain:
            inner = Node(kind, node.name, ("x",), ("y",), attrs)
            x = layer_of(inner).reference(inner, [x])
    return x


class Arithmetic(ABC, Generic[V]):
    """What a cell may do with vectors; `node` gives the weights, the functions and the types."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.types: Mapping[str, Quantiser] = node.attrs.get("types") or {}
        self.maps: Mapping[str, tuple[float, float]] = node.attrs.get("maps") or {}
        """Factor and shift behind the type of a tensor, by its name."""

    @abstractmethod
    def affine(self, parts: Sequence[tuple[V, slice]], columns: slice, bias: str = "bias") -> V:
        """Sum of `part · kernel[rows, columns]`, plus the columns of param `bias` where there is one."""

    @abstractmethod
    def add(self, a: V, b: V, sign: int = 1) -> V:
        """Return `a + b`, or `a - b` with sign -1."""

    @abstractmethod
    def mul(self, a: V, b: V) -> V:
        """Return the element-wise product."""

    @abstractmethod
    def part(self, a: V, start: int, stop: int) -> V:
        """Return some elements."""

    @abstractmethod
    def chosen(self, flag: V, a: V, b: V) -> V:
        """Return `a` where the one element of `flag` is not 0, else `b`."""

    @abstractmethod
    def typed(self, name: str, a: V, offset: int = 0) -> V:
        """Apply the type of the tensor `name`, whose elements from `offset` on these are."""

    @abstractmethod
    def curve(self, function: str, a: V, before: str, after: str, offset: int = 0) -> V:
        """Apply the chain of attr `function`; its input has the type `before`, its result `after`."""

    def chain(self, function: str) -> Chain:
        """Return the chain of an attribute."""
        chain: Chain = self.node.attrs[function]
        return chain


class FloatArithmetic(Arithmetic[Floats]):
    """Vectors are float64 (N, n); `seen` keeps what each named tensor was before its type, by name and offset."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.seen: dict[str, dict[int, list[Floats]]] = {}
        self.narrow: set[str] = set()
        """Names of tensors that are the input of a table."""

    def affine(self, parts: Sequence[tuple[Floats, slice]], columns: slice, bias: str = "bias") -> Floats:
        """Float64 matrix product."""
        kernel = self.node.params["kernel"]
        y = np.concatenate([part for part, _ in parts], axis=-1) @ np.concatenate(
            [kernel[r, columns] for _, r in parts]
        )
        if bias in self.node.params:
            y = y + self.node.params[bias][columns if bias == "bias" else slice(None)]
        return np.asarray(y, np.float64)

    def add(self, a: Floats, b: Floats, sign: int = 1) -> Floats:
        """Float64 sum or difference."""
        return a + b if sign > 0 else a - b

    def mul(self, a: Floats, b: Floats) -> Floats:
        """Float64 product."""
        return a * b

    def part(self, a: Floats, start: int, stop: int) -> Floats:
        """Return a slice of the last axis."""
        return a[..., start:stop]

    def chosen(self, flag: Floats, a: Floats, b: Floats) -> Floats:
        """Return rows of the one or of the other."""
        return np.where(flag != 0, a, b)

    def typed(self, name: str, a: Floats, offset: int = 0) -> Floats:
        """Note and quantise."""
        self.seen.setdefault(name, {}).setdefault(offset, []).append(a)
        quantiser = self.types.get(name)
        if quantiser is not None:
            a = _sliced(quantiser, slice(offset, offset + a.shape[-1]))(a)
        factor, shift = self.maps.get(name, (1.0, 0.0))
        return a * factor + shift

    def started(self, name: str, a: Floats) -> Floats:
        """Quantise an initial state to the type that later ones have."""
        self.seen.setdefault(name, {}).setdefault(0, []).append(a)
        quantiser = self.types.get(name)
        return a if quantiser is None else quantiser(a)

    def curve(self, function: str, a: Floats, before: str, after: str, offset: int = 0) -> Floats:
        """Quantise, apply, quantise."""
        chain = self.chain(function)
        if not is_exact(chain):
            self.narrow.add(before)
            a = self.typed(before, a, offset)
        elif before in self.types:
            a = self.typed(before, a, offset)
        return self.typed(after, evaluate(self.node, chain, a), offset)


@dataclass(frozen=True)
class Real:
    """A number inside a kernel: value `id` times `scale`."""

    id: int
    scale: Fraction


class KernelArithmetic(Arithmetic[list[Real]]):
    """Vectors are lists of exact numbers in the kernel that `builder` builds."""

    def __init__(self, node: Node, builder: KernelBuilder) -> None:
        super().__init__(node)
        self.b = builder
        self._tables: dict[tuple[object, ...], Ints] = {}

    def affine(self, parts: Sequence[tuple[list[Real], slice]], columns: slice, bias: str = "bias") -> list[Real]:
        """One LINEAR a column."""
        args = [real for part, _ in parts for real in part]
        codes, units = column_codes(np.concatenate([self.node.params["kernel"][rows, columns] for _, rows in parts]))
        unit = common_scale(real.scale for real in args)
        factors = [(real.scale / unit).numerator for real in args]
        offsets = np.zeros(len(units))
        if bias in self.node.params:
            offsets = self.node.params[bias][columns if bias == "bias" else slice(None)]
        out = []
        for j, own in enumerate(units):
            offset = Fraction(float(offsets[j]))
            scale = own * unit
            finest = common_scale([scale, offset])
            ratio = (scale / finest).numerator
            column = [int(code) * factor * ratio for code, factor in zip(codes[:, j], factors, strict=True)]
            whole = (offset / finest).numerator
            if max((abs(c) for c in [*column, whole]), default=0) >= 1 << MAX_BITS:
                raise RangeError(
                    f"layer {self.node.name!r}: the weights and bias of column {j} span more than {MAX_BITS} bits",
                    hint="calibrate the model (calibrate=x) so that its weights get fixed-point types",
                )
            out.append(Real(self.b.linear([real.id for real in args], column, whole), finest))
        return out

    def add(self, a: list[Real], b: list[Real], sign: int = 1) -> list[Real]:
        """One LINEAR an element, on the common scale."""
        return [self._sum(x, y, sign) for x, y in zip(a, b, strict=True)]

    def _sum(self, a: Real, b: Real, sign: int) -> Real:
        scale = common_scale([a.scale, b.scale])
        left, right = (a.scale / scale).numerator, (b.scale / scale).numerator
        return Real(self.b.linear([a.id, b.id], [left, sign * right]), scale)

    def mul(self, a: list[Real], b: list[Real]) -> list[Real]:
        """One MUL an element."""
        return [Real(self.b.mul(x.id, y.id), x.scale * y.scale) for x, y in zip(a, b, strict=True)]

    def part(self, a: list[Real], start: int, stop: int) -> list[Real]:
        """Return some of the list."""
        return a[start:stop]

    def chosen(self, flag: list[Real], a: list[Real], b: list[Real]) -> list[Real]:
        """One SELECT an element, on the common scale."""
        pairs = []
        for x, y in zip(a, b, strict=True):
            scale = common_scale([x.scale, y.scale])
            left, right = (self.b.linear([real.id], [(real.scale / scale).numerator]) for real in (x, y))
            pairs.append(Real(self.b.select(flag[0].id, left, right), scale))
        return pairs

    def typed(self, name: str, a: list[Real], offset: int = 0) -> list[Real]:
        """Round and overflow each element; free where the value is on the grid and in range already."""
        quantiser = self.types.get(name)
        if quantiser is not None:
            a = [self._quantised(real, _sliced(quantiser, offset + i)) for i, real in enumerate(a)]
        return [self._mapped(name, real) for real in a]

    def _mapped(self, name: str, a: Real) -> Real:
        factor, shift = (Fraction(part) for part in self.maps.get(name, (1.0, 0.0)))
        if factor == 1 and shift == 0:
            return a
        scale = common_scale([a.scale * abs(factor), shift])
        ratio = (a.scale * factor / scale).numerator
        return Real(self.b.linear([a.id], [ratio], (shift / scale).numerator), scale)

    def curve(self, function: str, a: list[Real], before: str, after: str, offset: int = 0) -> list[Real]:
        """One TABLE an element, or comparisons where the chain is exact."""
        chain, last = self.chain(function), self.types.get(after)
        inputs = self.typed(before, a, offset)
        results = [
            self._chain(function, real, chain, None if last is None else _sliced(last, offset + i))
            for i, real in enumerate(inputs)
        ]
        return [self._mapped(after, real) for real in results]

    def _chain(self, function: str, a: Real, chain: Chain, last: Quantiser | None) -> Real:
        steps: list[tuple[str, Mapping[str, Any]]] = list(chain)
        if last is not None:
            steps.append(("quantise", {"quantiser": last}))
        while steps:
            kind, attrs = steps.pop(0)
            if kind == "quantise":
                a = self._quantised(a, attrs["quantiser"])
            elif kind == "relu":
                a = Real(self.b.clamp(a.id, 0, max(0, self.b.range(a.id)[1])), a.scale)
            elif kind == "clip":
                a = self._clipped(a, attrs.get("lo"), attrs.get("hi"))
            else:
                parts = [(kind, attrs)]
                quantiser = attrs.get("output")
                while quantiser is None and steps:
                    kind, attrs = steps.pop(0)
                    parts.append((kind, attrs))
                    quantiser = attrs.get("quantiser") if kind == "quantise" else attrs.get("output")
                if quantiser is None:
                    raise ModelError(
                        f"layer {self.node.name!r}: its {function} has no exact fixed-point result and no type",
                        hint="calibrate the model (calibrate=x), or use a quantised recurrent layer",
                    )
                a = self._table(function, a, tuple(parts), quantiser)
        return a

    def _clipped(self, a: Real, lo: float | None, hi: float | None) -> Real:
        bounds = [Fraction(bound) for bound in (lo, hi) if bound is not None]
        scale = common_scale([a.scale, *bounds])
        value = self.b.linear([a.id], [(a.scale / scale).numerator])
        low, high = self.b.range(value)
        least = low if lo is None else (Fraction(lo) / scale).numerator
        most = high if hi is None else (Fraction(hi) / scale).numerator
        return Real(self.b.clamp(value, least, max(least, most)), scale)

    def _quantised(self, a: Real, quantiser: Quantiser) -> Real:
        scale, zero = Fraction(float(quantiser.scale)), int(quantiser.zero)
        before = zero if quantiser.zero_first else 0
        # A rounding that looks at the sign or at even codes shifts with a zero point that is added before it.
        scaled = round_scaled(self.b, a.id, a.scale / scale, quantiser.rounding, before)
        rounded = self.b.linear([scaled], [1], -before)
        lo, hi = int(quantiser.lo) - zero, int(quantiser.hi) - zero
        return Real(overflow(self.b, rounded, lo, hi, quantiser.overflow), scale)

    def _table(self, function: str, a: Real, chain: Chain, quantiser: Quantiser) -> Real:
        lo, hi = self.b.range(a.id)
        if hi - lo >= MAX_ENTRIES:
            raise RangeError(
                f"layer {self.node.name!r}: a table of its {function} would have {hi - lo + 1} entries (codes {lo} to "
                f"{hi}); the limit is {MAX_ENTRIES}",
                hint="calibrate the model (calibrate=x), or quantise what the function reads to at most 16 bits",
            )
        scale = Fraction(float(quantiser.scale))
        key = (lo, hi, a.scale, function, scale, int(quantiser.lo), int(quantiser.hi), int(quantiser.zero))
        if key not in self._tables:
            x = np.array([float(code * a.scale) for code in range(lo, hi + 1)])
            y = evaluate(self.node, chain, x)
            if not np.all(np.isfinite(y)):
                at = int(np.flatnonzero(~np.isfinite(y))[0])
                raise ModelError(
                    f"layer {self.node.name!r}: its {function} is {y[at]} at {x[at]:.9g}, which its input can reach",
                    hint="another activation, or a type that leaves such values out",
                )
            self._tables[key] = quantiser.codes(y)
        return Real(self.b.table(a.id, self._tables[key]), scale)


def _sliced(quantiser: Quantiser, at: slice | int) -> Quantiser:
    """Return the quantiser of some elements of a vector; without axes where `at` is one of them."""

    def field(part: Any) -> Any:
        array = np.asarray(part)
        return array.reshape(()) if array.size == 1 else array[at]

    q = quantiser
    return replace(q, scale=field(q.scale), lo=field(q.lo), hi=field(q.hi), zero=field(q.zero))
