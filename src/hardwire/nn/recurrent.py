"""Recurrent layers with quantised state, gates and sums: the compiler's own cells (`hardwire.layers.recurrent`).

In training a loop over time steps; in the compiled design the cell stands once and is applied at every step. Tensors
inside a cell have types by their names there: `sums` before the gates' functions, `gates` behind them, `carry`
and `squashed` before and behind the output's function, `inner`, `total` and `candidate` of a GRU, and `state`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from hardwire.errors import ModelError
from hardwire.layers import layer_of
from hardwire.layers.torch_train import recurrent_node
from hardwire.network.graph import Node
from hardwire.nn import exact
from hardwire.nn._curves import curve
from hardwire.nn._layer import Layer, bits_of, cast, fractional_bits, quantised
from hardwire.nn.quantisers._base import Quantiser
from hardwire.nn.scheme import LEARNED, Scheme
from hardwire.nn.work import Lookups, Multiplications, Products, Work


class Cell(Layer):
    """One direction of one recurrent layer: (batch, time, inputs) to states (batch, time, units), in order of time.

    weight (gates · units, inputs + units): what reads the input before what reads the state, gates in the compiler's
    order. With a carry the result is (batch, time, 2 · units), the carry behind the state.
    """

    kind: ClassVar[str]
    gates: ClassVar[int] = 1
    carries: ClassVar[bool] = False
    sizes: ClassVar[dict[str, int]]
    """Types inside, in units."""

    def __init__(
        self, inputs: int, units: int, bias: bool = True, *, backwards: bool = False, scheme: Scheme = LEARNED
    ) -> None:
        super().__init__()
        if scheme.input is None or scheme.weight is None or scheme.bias is None:
            raise ModelError(f"{type(self).__name__}: its state needs types; the scheme leaves some open (None)")
        self.inputs, self.units, self.backwards = inputs, units, backwards
        shape = (self.gates * units, inputs + units)
        bound = 1.0 / math.sqrt(units)
        self.weight = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(shape[:1]).uniform_(-bound, bound)) if bias else None
        self.input_quantiser = scheme.input((inputs,))
        self.weight_quantiser = scheme.weight(shape)
        self.bias_quantiser = scheme.bias(shape[:1]) if bias else None
        self.types = nn.ModuleDict({name: scheme.input((size * units,)) for name, size in self.sizes.items()})
        self.time = 1
        """Steps of the last forward pass."""

    def constants(self) -> dict[str, Tensor]:
        """`kernel` (inputs + units, gates · units) as the compiler has it, and `bias`."""
        found = {"kernel": quantised(self.weight_quantiser, self.weight).T}
        if self.bias is not None:
            found["bias"] = quantised(self.bias_quantiser, self.bias)
        return found

    @abstractmethod
    def step(self, sums: Tensor, h: Tensor, c: Tensor, inner: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """New state and carry from the sums over the input, the state and carry before, and the sums over a state."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the states of `x` (batch, time, inputs), from a state of 0 on."""
        x = quantised(self.input_quantiser, x)
        now = self.parameters_now()
        if torch.compiler.is_exporting():
            return self._exported(x, now)
        self.time = x.shape[1]
        kernel, bias = now["kernel"], now.get("bias")
        if not self.training:
            self._check(kernel, bias)
            x, kernel, bias = x.double(), kernel.double(), None if bias is None else bias.double()
        x = x.to(kernel.dtype)
        own, back = kernel[: self.inputs].T, kernel[self.inputs :].T
        sums = functional.linear(x, own, bias)
        h = c = x.new_zeros(len(x), self.units)
        extra = now.get("recurrent_bias")
        states: list[Tensor] = []

        def inner(state: Tensor) -> Tensor:
            y = functional.linear(state, back)
            return y if extra is None else y + functional.pad(extra.to(y.dtype), (2 * self.units, 0))

        for t in range(x.shape[1])[:: -1 if self.backwards else 1]:
            h, c = self.step(sums[:, t], h, c, inner)
            states.append(torch.cat([h, c], -1) if self.carries else h)
        y = torch.stack(states[:: -1 if self.backwards else 1], 1)
        return y if self.training else self._narrowed(y)

    def _narrowed(self, y: Tensor) -> Tensor:
        grids = [self.quantiser(name).grid() for name in (("state", "carry") if self.carries else ("state",))]
        fits = all(bool((torch.maximum(-grid.lo, grid.hi) <= 2.0**exact.FLOAT32_BITS).all()) for grid in grids)
        return y.float() if fits else y

    def _check(self, kernel: Tensor, bias: Tensor | None) -> None:
        """Raise `RangeError` where a sum has more bits than float64."""
        grids = [self.input_quantiser.grid(), self.quantiser("state").grid()]
        sizes = (self.inputs, self.units)
        most = torch.cat([exact.most(grid).expand(n) for grid, n in zip(grids, sizes, strict=True)])
        unit = torch.cat([grid.scale.expand(n) for grid, n in zip(grids, sizes, strict=True)])
        offset = None
        if bias is not None and self.bias_quantiser is not None:
            size = bias.double().abs()
            offset = size, torch.where(size > 0, self.bias_quantiser.grid().scale.double(), torch.inf)
        name = type(self).__name__
        exact.chosen(name, exact.bits(kernel.T, self.weight_quantiser.grid().scale, most, unit, offset))
        for left, right in self.products():
            exact.products(name, 2, self.quantiser(left), self.quantiser(right))

    @abstractmethod
    def products(self) -> Sequence[tuple[str, str]]:
        """Names of the types of what a step multiplies, a unit each."""

    def quantiser(self, name: str) -> Quantiser:
        """Type of a tensor inside."""
        found = self.types[name]
        assert isinstance(found, Quantiser)
        return found

    def typed(self, name: str, x: Tensor) -> Tensor:
        """A tensor inside in its type, in the float type of the step."""
        kind = self.weight.dtype if self.training else torch.float64
        return self.quantiser(name)(x).to(kind)

    def _exported(self, x: Tensor, now: dict[str, Tensor]) -> Tensor:
        grids, modes = [], []
        for name in self.types:
            quantiser = self.quantiser(name)
            grid = quantiser._kept_grid()
            grids += [grid.scale, grid.lo, grid.hi]
            modes.append(f"{name}:{grid.rounding.name}:{grid.overflow.name}")
        given = [now.get("bias"), now.get("recurrent_bias")]
        found: Tensor = torch.ops.hardwire.recurrent(
            x, now["kernel"], *given, self.node_kind(), self.backwards, ",".join(modes), grids
        )
        return found

    def node_kind(self) -> str:
        """Kind of the compiler's node, and the name of its function where it has a choice."""
        return self.kind

    def work(self) -> Iterator[Work]:
        """Yield what a step costs, times the steps."""
        name, like = type(self).__name__, torch.ones(1)
        weight = quantised(self.weight_quantiser, self.weight)
        sizes = ((self.input_quantiser, self.inputs), (self.quantiser("state"), self.units))
        yield Products(
            name,
            weight,
            bits_of(self.weight_quantiser, weight),
            fractional_bits(self.weight_quantiser, weight),
            torch.cat([bits_of(quantiser, like).expand(n) for quantiser, n in sizes]),
            self.time,
        )
        for before, after in self.tables():
            address, output = torch.broadcast_tensors(self.quantiser(before).bits(), self.quantiser(after).bits())
            count = self.sizes[before] * self.units
            yield Lookups(name, address.expand(count)[:, None], output.expand(count)[:, None], self.time)
        for left, right in self.products():
            yield Multiplications(
                name, self.quantiser(left).bits(), self.quantiser(right).bits(), self.units, self.time
            )
        yield from cast(name, self.input_quantiser, self.inputs, self.time)
        for tensor in self.types:
            yield from cast(name, self.quantiser(tensor), self.sizes[tensor] * self.units, self.time)

    @abstractmethod
    def tables(self) -> Sequence[tuple[str, str]]:
        """Names of the types before and behind each function."""

    def extra_repr(self) -> str:
        """Sizes."""
        return f"{self.inputs}, {self.units}, bias={self.bias is not None}, backwards={self.backwards}"


class SimpleRnnCell(Cell):
    """`h' = f(x · W + h · U + b)`, f the hyperbolic tangent or ReLU (`nonlinearity`)."""

    kind = "rnn"
    sizes: ClassVar[dict[str, int]] = {"sums": 1, "state": 1}

    def __init__(
        self,
        inputs: int,
        units: int,
        bias: bool = True,
        *,
        nonlinearity: str = "tanh",
        backwards: bool = False,
        scheme: Scheme = LEARNED,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ModelError(f"SimpleRNN: nonlinearity={nonlinearity!r}; it is 'tanh' or 'relu'")
        super().__init__(inputs, units, bias, backwards=backwards, scheme=scheme)
        self.nonlinearity = nonlinearity
        if nonlinearity == "relu":
            del self.types["sums"]

    def step(self, sums: Tensor, h: Tensor, c: Tensor, inner: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """One time step."""
        total = sums + inner(h)
        if self.nonlinearity == "relu":
            return self.typed("state", total.relu()), c
        return self.typed("state", curve("tanh", self.typed("sums", total))), c

    def node_kind(self) -> str:
        """The kind and the function."""
        return f"rnn:{self.nonlinearity}"

    def products(self) -> Sequence[tuple[str, str]]:
        """None."""
        return ()

    def tables(self) -> Sequence[tuple[str, str]]:
        """The function, where it is no ReLU."""
        return (("sums", "state"),) if self.nonlinearity == "tanh" else ()


class LstmCell(Cell):
    """Long short-term memory; gates in the order i, f, c, o."""

    kind = "lstm"
    gates = 4
    carries = True
    sizes: ClassVar[dict[str, int]] = {"sums": 4, "gates": 4, "carry": 1, "squashed": 1, "state": 1}

    def step(self, sums: Tensor, h: Tensor, c: Tensor, inner: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """One time step."""
        u = self.units
        total = self.typed("sums", sums + inner(h))
        bent = [curve("sigmoid", total[:, : 2 * u]), curve("tanh", total[:, 2 * u : 3 * u])]
        gates = self.typed("gates", torch.cat([*bent, curve("sigmoid", total[:, 3 * u :])], -1))
        i, f, g, o = gates.split(u, -1)
        c = self.typed("carry", f * c + i * g)
        return self.typed("state", o * self.typed("squashed", curve("tanh", c))), c

    def products(self) -> Sequence[tuple[str, str]]:
        """Forgetting, writing, showing."""
        return (("gates", "carry"), ("gates", "gates"), ("gates", "squashed"))

    def tables(self) -> Sequence[tuple[str, str]]:
        """The gates, and the carry's function."""
        return (("sums", "gates"), ("carry", "squashed"))


class GruCell(Cell):
    """Gated recurrent unit, reset after the product with the state; gates in the order z, r, h."""

    kind = "gru"
    gates = 3
    sizes: ClassVar[dict[str, int]] = {"sums": 2, "gates": 2, "inner": 1, "total": 1, "candidate": 1, "state": 1}

    def __init__(
        self, inputs: int, units: int, bias: bool = True, *, backwards: bool = False, scheme: Scheme = LEARNED
    ) -> None:
        super().__init__(inputs, units, bias, backwards=backwards, scheme=scheme)
        assert scheme.bias is not None
        self.recurrent_bias = nn.Parameter(torch.empty(units).uniform_(-1, 1) / math.sqrt(units)) if bias else None
        self.recurrent_quantiser = scheme.bias((units,)) if bias else None

    def constants(self) -> dict[str, Tensor]:
        """The bias of the state's product too."""
        found = super().constants()
        if self.recurrent_bias is not None:
            found["recurrent_bias"] = quantised(self.recurrent_quantiser, self.recurrent_bias)
        return found

    def step(self, sums: Tensor, h: Tensor, c: Tensor, inner: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """One time step."""
        u, back = self.units, inner(h)
        gates = self.typed("gates", curve("sigmoid", self.typed("sums", sums[:, : 2 * u] + back[:, : 2 * u])))
        z, r = gates.split(u, -1)
        total = self.typed("total", sums[:, 2 * u :] + r * self.typed("inner", back[:, 2 * u :]))
        n = self.typed("candidate", curve("tanh", total))
        return self.typed("state", n + z * (h - n)), c

    def products(self) -> Sequence[tuple[str, str]]:
        """Resetting, and keeping; the state's bits stand for those of its difference to the candidate."""
        return (("gates", "inner"), ("gates", "state"), ("gates", "candidate"))

    def tables(self) -> Sequence[tuple[str, str]]:
        """The gates, and the candidate's function."""
        return (("sums", "gates"), ("total", "candidate"))


class _Recurrent(nn.Module):
    """Layers of cells behind each other, in one direction or both; arguments and results are those of `torch.nn`'s.

    Returns the sequence (batch, time, units · directions) and the last states (layers · directions, batch, units).
    Time and batch change places where `batch_first` is false.
    """

    cell: ClassVar[type[Cell]]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = True,
        bidirectional: bool = False,
        *,
        scheme: Scheme = LEARNED,
        **options: str,
    ) -> None:
        super().__init__()
        self.batch_first, self.sides = batch_first, 1 + bidirectional
        widths = [input_size] + [hidden_size * self.sides] * (num_layers - 1)
        make: Callable[..., Cell] = self.cell
        self.cells = nn.ModuleList(
            make(width, hidden_size, bias, backwards=bool(side), scheme=scheme, **options)
            for width in widths
            for side in range(self.sides)
        )

    def states(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The sequence, and the last states with the last carries behind them, if there are some."""
        x = x if self.batch_first else x.transpose(0, 1)
        last: list[Tensor] = []
        for k in range(0, len(self.cells), self.sides):
            sequences = []
            for cell in self.cells[k : k + self.sides]:
                y = cell(x)
                last.append(y[:, 0 if cell.backwards else -1])
                sequences.append(y[..., : cell.units] if cell.carries else y)
            x = sequences[0] if len(sequences) == 1 else torch.cat(sequences, -1)
        return (x if self.batch_first else x.transpose(0, 1)), torch.stack(last, 1).transpose(0, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | tuple[Tensor, Tensor]]:
        """Return the sequence and the last states."""
        return self.states(x)


class SimpleRNN(_Recurrent):
    """Elman's recurrence; `nonlinearity` is 'tanh' or 'relu'."""

    cell = SimpleRnnCell


class GRU(_Recurrent):
    """Gated recurrent units."""

    cell = GruCell


class LSTM(_Recurrent):
    """Long short-term memory; the last states are a pair (state, carry)."""

    cell = LstmCell

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | tuple[Tensor, Tensor]]:
        """Return the sequence and the last states and carries."""
        y, ends = self.states(x)
        h, c = ends.chunk(2, -1)
        return y, (h, c)


@torch.library.custom_op("hardwire::recurrent", mutates_args=())
def _recurrent(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None,
    recurrent_bias: Tensor | None,
    kind: str,
    backwards: bool,
    modes: str,
    grids: list[Tensor],
) -> Tensor:
    params = {"kernel": kernel, "bias": bias, "recurrent_bias": recurrent_bias}
    arrays = {name: part.double().cpu().numpy() for name, part in params.items() if part is not None}
    own, attrs = recurrent_node(kind, backwards, modes, [part.double().cpu().numpy() for part in grids])
    node = Node(own, own, ("x",), ("y",), attrs, arrays)
    return torch.from_numpy(layer_of(node).reference(node, [x.double().cpu().numpy()])).to(x)


@_recurrent.register_fake
def _(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None,
    recurrent_bias: Tensor | None,
    kind: str,
    backwards: bool,
    modes: str,
    grids: list[Tensor],
) -> Tensor:
    gates = {"rnn": 1, "lstm": 4, "gru": 3}[kind.partition(":")[0]]
    units = kernel.shape[1] // gates
    return x.new_empty((x.shape[0], x.shape[1], units * (2 if kind == "lstm" else 1)))
