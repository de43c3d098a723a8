"""What the import rules of hls4ml's functions share: typed tensors, casts, and the arithmetic of typed expressions.

Every tensor is flat, as hls4ml's arrays are. A `Term` is a value of an expression with the type that C++ gives it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import UnsupportedError
from hardwire.fixed import Floats, Overflow, Rounding
from hardwire.layers._hls4ml_types import INT, Fixed
from hardwire.network.graph import NetworkBuilder, Shape
from hardwire.network.records import Record
from hardwire.quantiser import Quantiser

_COSTS = (
    "io_type",
    "reuse_factor",
    "store_weights_in_bram",
    "n_zeros",
    "n_nonzeros",
    "multiplier_limit",
    "mult_limit",
    "index_t",
    "parallelization_factor",
    "parallelisation_factor",
    "n_partitions",
    "n_pixels",
    "min_width",
    "min_height",
    "pixels",
    "weights_bram",
    "bram_factor",
    "trace",
    "resource",
)
"""Members of configs that change what hardware hls4ml makes, not what it computes."""


@dataclass(frozen=True)
class Output:
    """A variable that a call writes: its element type, shape (None for a stream) and elements a packet."""

    name: str
    type: Fixed
    shape: Shape | None
    lanes: int


@dataclass(frozen=True)
class Term:
    """A tensor of the Network that holds values of a type."""

    tensor: str
    type: Fixed


class Layer:
    """One call while its rule runs: typed inputs and outputs, and operations that add nodes named after the layer."""

    def __init__(self, record: Record, net: NetworkBuilder) -> None:
        self.record = record
        self.net = net
        self.name = record.name
        types: Sequence[Fixed] = record.versions["types"]
        self.inputs = [Term(tensor, kind) for tensor, kind in zip(record.inputs, types, strict=True)]
        self.outputs: Sequence[Output] = record.versions["outputs"]
        self.stream: bool = record.versions["stream"]
        self.release: tuple[int, int] = record.versions["release"]
        record.ignore(*_COSTS)

    @property
    def x(self) -> Term:
        """The only input."""
        if len(self.inputs) != 1:
            raise UnsupportedError(f"layer {self.name!r} ({self.record.kind}): {len(self.inputs)} inputs, expected 1")
        return self.inputs[0]

    @property
    def result(self) -> Fixed:
        """Type of the only output."""
        if len(self.outputs) != 1:
            raise UnsupportedError(f"layer {self.name!r} ({self.record.kind}): {len(self.outputs)} outputs, expected 1")
        return self.outputs[0].type

    # --- what the config says

    def integer(self, key: str, default: int | None = None) -> int:
        """Take an integer member of the config."""
        value = self.record.take(key) if default is None else self.record.take(key, default)
        if not isinstance(value, int):
            raise self.record.unsupported(key, value, "expected an integer")
        return value

    def type(self, key: str, default: Fixed | None = None) -> Fixed:
        """Take a type of the config."""
        value = self.record.take(key) if default is None else self.record.take(key, default)
        if not isinstance(value, Fixed):
            raise self.record.unsupported(key, value, "expected an ap_fixed, ap_int, ac_fixed or ac_int type")
        return value

    def word(self, key: str, default: str, *allowed: str) -> str:
        """Take a name of the config, which must be one of `allowed` (any, where none is given)."""
        value = str(self.record.take(key, default)).partition("<")[0].rpartition("::")[2].strip()
        if allowed and value not in allowed:
            raise self.record.unsupported(key, value, f"only {', '.join(allowed)} are supported")
        return value

    def array(self, place: int) -> NDArray[Any]:
        """Take the weights that are the call's `place`-th weight argument."""
        return self.record.array(str(place))

    def weight_type(self, place: int) -> Fixed:
        """Element type of a weight argument."""
        kind = self.record.versions["weight_types"][place]
        if not isinstance(kind, Fixed):
            raise UnsupportedError(f"layer {self.name!r} ({self.record.kind}): weights of the type {kind!r}")
        return kind

    # --- values

    def node(self, kind: str, part: str, inputs: Sequence[str], attrs: Any = None, params: Any = None) -> str:
        """Add a node named after the layer and a part of it."""
        return self.net.add(kind, f"{self.name}_{part}" if part else self.name, list(inputs), attrs or {}, params or {})

    def shape(self, x: Term) -> Shape:
        """Shape of a term."""
        return self.net.shape(x.tensor)

    def view(self, x: Term, shape: Sequence[int]) -> Term:
        """Reshape."""
        return Term(self.node("reshape", "view", [x.tensor], {"shape": tuple(shape)}), x.type)

    def turned(self, x: Term, perm: Sequence[int]) -> Term:
        """Transpose."""
        return Term(self.node("transpose", "turned", [x.tensor], {"perm": tuple(perm)}), x.type)

    def taken(self, x: Term, axis: int, indices: Sequence[int]) -> Term:
        """Elements along an axis."""
        attrs = {"axis": axis, "indices": tuple(int(i) for i in indices)}
        return Term(self.node("take", "part", [x.tensor], attrs), x.type)

    def cast(self, x: Term, kind: Fixed, part: str = "cast") -> Term:
        """Assign to a variable of a type; no node where the type holds every value."""
        if kind.holds(x.type):
            return Term(x.tensor, kind)
        return Term(self.node("quantise", part, [x.tensor], {"quantiser": kind.quantiser()}), kind)

    def integral(self, x: Term) -> Term:
        """Convert to `int`: toward zero, low 32 bits."""
        return self.cast(x, INT, "int")

    def add(self, a: Term, b: Term) -> Term:
        """Return `a + b`."""
        return Term(self.node("add", "sum", [a.tensor, b.tensor]), a.type.plus(b.type))

    def sub(self, a: Term, b: Term) -> Term:
        """Return `a - b`."""
        return Term(self.node("sub", "difference", [a.tensor, b.tensor]), a.type.minus(b.type))

    def mul(self, a: Term, b: Term) -> Term:
        """Return `a * b`."""
        return Term(self.node("mul", "product", [a.tensor, b.tensor]), a.type.times(b.type))

    def scaled(self, x: Term, factor: Floats | float, kind: Fixed) -> Term:
        """Return the product with constants of a type (already cast to it)."""
        params = {"constant": np.asarray(factor, np.float64)}
        return Term(self.node("mul", "scaled", [x.tensor], {}, params), x.type.times(kind))

    def shifted(self, x: Term, addend: Floats | float, kind: Fixed) -> Term:
        """Return the sum with constants of a type."""
        params = {"constant": np.asarray(addend, np.float64)}
        return Term(self.node("add", "shifted", [x.tensor], {}, params), x.type.plus(kind))

    def clip(self, x: Term, lo: float | None, hi: float | None) -> Term:
        """Return the value kept between bounds."""
        return Term(self.node("clip", "bounded", [x.tensor], {"lo": lo, "hi": hi}), x.type)

    def compared(self, x: Term, relation: str, bound: Floats | float) -> str:
        """Return the tensor of 0 and 1 of a comparison with constants."""
        params = {"constant": np.asarray(bound, np.float64)}
        return self.node("compare", "compared", [x.tensor], {"relation": relation}, params)

    def where(self, condition: str, yes: Term, no: Term) -> Term:
        """Choose by a tensor of 0 and 1."""
        return Term(self.node("where", "chosen", [condition, yes.tensor, no.tensor]), yes.type.either(no.type))

    def lookup(self, index: str, table: Floats, kind: Fixed, first: int = 0, part: str = "table") -> Term:
        """Return the entries of a table at integers from `first` on."""
        params = {"table": np.asarray(table, np.float64)}
        return Term(self.node("lookup", part, [index], {"first": first, "step": 1.0}, params), kind)

    def bounded_index(self, x: Term, times: int, over: int, lo: int, hi: int) -> str:
        """Return `int(x * times / over)` (toward zero), kept in `[lo, hi]`, as integers; `over` is a power of two.

        The conversion to a C `int` keeps 32 bits before.
        """
        scaled = self.node("mul", "index_scaled", [x.tensor], {}, {"constant": np.float64(times)})
        step = np.asarray(float(over))
        if times.bit_length() + x.type.integer > over.bit_length() + 30:
            wide = np.asarray(1 << 31, np.int64)
            wrap = Quantiser(step, -wide, wide - 1, Rounding.TRN_ZERO, Overflow.WRAP)
            scaled = self.node("quantise", "int", [scaled], {"quantiser": wrap})
        rule = Quantiser(step, np.asarray(lo, np.int64), np.asarray(hi, np.int64), Rounding.TRN_ZERO, Overflow.SAT)
        index = self.node("quantise", "index", [scaled], {"quantiser": rule})
        return self.node("mul", "index_code", [index], {}, {"constant": 1.0 / step})

    def assign(self, x: Term, part: str = "result") -> str:
        """Assign to the output variable and return the tensor of the call."""
        return self.cast(x, self.result, part).tensor
