"""A Program as C++: one function a layer, and a function that calls them in order.

Kernels stay loops: a step that applies its kernel at many positions is a loop nest, found in the positions themselves.
Consecutive steps of one layer that apply the same kernel (a recurrent layer's) become one loop around it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from hardwire.backends._hls_dialect import Dialect
from hardwire.backends._hls_index import Index, affine, nest
from hardwire.backends._hls_kernel import AUTO, MOST_REGISTERS, Constants, KernelWriter, View
from hardwire.backends._hls_ops import helpers
from hardwire.backends._hls_text import WIDTH, Lines, Names, constant_array, size_of
from hardwire.backends._names import comment
from hardwire.fixed import FixedType, Ints, Overflow
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Ids, Kernel, Port, Program, Step, fraction_bits
from hardwire.schedule.circuit import bus_names

PARALLEL_OPERATIONS = 30_000
"""Operations of a frame up to which a network is unrolled as a whole; a larger one keeps its layers as loops."""

STACK_ELEMENTS = 1 << 16
"""Elements of all arrays from which on they are static: simulators have small stacks."""

SHARED = 8
"""Operations from which on a kernel that several steps apply is a function of its own."""


@dataclass(frozen=True, eq=False)
class PortText:
    """A port in C++: its name there, the type of its codes, and how many there are."""

    port: Port
    name: str
    bits: int
    signed: bool
    size: int
    frac: int | None
    """Fractional bits of all elements; None where they differ or a scale is no power of two."""
    scales: list[Fraction]
    """Of each element."""
    whole: bool
    """Whether each element uses all codes that the type has and the overflow mode gives."""


@dataclass(frozen=True, eq=False)
class _Layer:
    """Consecutive steps of one kernel at the same offsets: its positions, in order."""

    name: str
    kernel: str
    reads: tuple[tuple[str, Ids], ...]
    write: tuple[str, Ids]
    bases: Ints
    """First elements, (positions of all steps, reads + 1), the written array's last."""
    steps: int

    @property
    def counts(self) -> list[int]:
        """Elements that one application reads of each array."""
        return [len(offsets) for _, offsets in self.reads]


@dataclass(eq=False)
class Network:
    """The text of a Program's layers. `parallel`: everything unrolled, a frame each clock cycle."""

    program: Program
    name: str
    dialect: Dialect
    weights: str = AUTO
    parallel: bool = True
    inputs: list[PortText] = field(default_factory=list)
    outputs: list[PortText] = field(default_factory=list)
    operations: int = 0
    elements: int = 0
    """Of all arrays."""
    large: bool = False
    """Whether the arrays are static variables."""

    def __post_init__(self) -> None:
        program = self.program
        self.inputs = [
            self._port(p, n) for p, n in zip(program.inputs, bus_names("x", len(program.inputs)), strict=True)
        ]
        self.outputs = [
            self._port(p, n) for p, n in zip(program.outputs, bus_names("y", len(program.outputs)), strict=True)
        ]
        ports = [port.name for port in (*self.inputs, *self.outputs)]
        self._arrays = Names(ports)
        self.array_names = {name: self._arrays(f"{name}_out") for name in program.arrays}
        self._names = Names([*ports, self.name, *self.array_names.values()])
        self.entry = self._names(f"{self.name}_network")
        self.constants = Constants(self._names)
        self.used: set[str] = set()
        self.layers = _merged(program.steps)
        self.operations = sum(_work(program.kernels[layer.kernel]) * len(layer.bases) for layer in self.layers)
        self.parallel = self.operations <= PARALLEL_OPERATIONS
        self.elements = sum(array.size for array in program.arrays.values())
        self.large = self.elements > STACK_ELEMENTS and self.dialect.statics
        self._alias_ports()

    def _port(self, port: Port, name: str) -> PortText:
        lo, hi = self.program.port_range(port)
        bits, signed = size_of(int(lo.min(initial=0)), int(hi.max(initial=0)))
        scales = self.program.port_scale(port).tolist()
        scale = _common(scales)
        frac = None if scale is None else fraction_bits(scale)
        kind = FixedType(signed, bits, 0)
        symmetric = port.quantiser is not None and port.quantiser.overflow is Overflow.SAT_SYM
        whole = bool(np.all(lo == (-kind.hi if signed and symmetric else kind.lo)) and np.all(hi == kind.hi))
        return PortText(port, name, bits, signed, len(port.index), frac, scales, whole)

    def _alias_ports(self) -> None:
        """Let a port's argument be the array itself where both have the same elements."""
        program = self.program
        written = {layer.write[0] for layer in self.layers}
        read = {array for layer in self.layers for array, _ in layer.reads}
        count: dict[str, int] = {}
        for port in (*program.inputs, *program.outputs):
            count[port.array] = count.get(port.array, 0) + 1
        self._aliased: set[str] = set()
        for text, ours in [*((t, True) for t in self.inputs), *((t, False) for t in self.outputs)]:
            array = program.arrays[text.port.array]
            whole = np.array_equal(text.port.index, np.arange(array.size))
            other = written if ours else read
            if whole and count[array.name] == 1 and array.name not in other:
                self.array_names[array.name] = text.name
                self._aliased.add(array.name)

    # ---- Files

    def layers_text(self) -> list[str]:
        """Lines of the layers' functions and of the function that calls them."""
        shared = self._shared()
        functions: list[str] = []
        kernel_names: dict[str, str] = {}
        calls = [(self._names(layer.name), layer) for layer in self.layers]
        for name, layer in shared.items():
            kernel_names[name] = self._names(f"{name}_kernel")
            functions += ["", *self._kernel_function(name, kernel_names[name], layer)]
        for called, layer in calls:
            functions += ["", *self._layer_function(layer, called, kernel_names.get(layer.kernel))]
        return [*functions, "", *self._network_function(calls)]

    def constants_text(self) -> list[str]:
        """Lines of all constant arrays."""
        lines: list[str] = []
        for name, (values, about) in self.constants.arrays.items():
            lines += ["", *([f"// {comment(about)}"] if about else [])]
            lines += constant_array(self.dialect.rom, name, values)
        return lines

    def helpers_text(self) -> list[str]:
        """Lines of the small functions that the layers call."""
        return helpers(self.used, self.dialect)

    # ---- Functions

    def _shared(self) -> dict[str, _Layer]:
        """Kernels that several layers apply, and one of these."""
        found: dict[str, list[_Layer]] = {}
        for layer in self.layers:
            found.setdefault(layer.kernel, []).append(layer)
        return {
            name: layers[0]
            for name, layers in found.items()
            if len(layers) > 1
            and _work(self.program.kernels[name]) >= SHARED
            and len({tuple(layer.counts) for layer in layers}) == 1
        }

    def _kernel_function(self, kernel_name: str, name: str, layer: _Layer) -> list[str]:
        kernel = self.program.kernels[kernel_name]
        views, output = _kernel_views(kernel, layer.counts)
        body = _Body(self, layer.name)
        body.kernel(kernel, views, layer.counts, output)
        parameters = [
            f"const {self.dialect.type(view.bits, view.signed)} {view.name}[{count}]"
            for view, count in zip(views, layer.counts, strict=True)
        ]
        parameters.append(f"{self.dialect.type(output.bits, output.signed)} {output.name}[{len(kernel.outputs)}]")
        return [f"// {comment(kernel_name)}: what several layers apply.", *body.function(name, parameters)]

    def _layer_function(self, layer: _Layer, name: str, shared: str | None) -> list[str]:
        kernel = self.program.kernels[layer.kernel]
        written, places = layer.write
        arrays = list(dict.fromkeys([*(array for array, _ in layer.reads), written]))
        parameters = []
        for array in arrays:
            constant = "const " if array != written else ""
            size = self.program.arrays[array].size
            parameters.append(f"{constant}{self.type_of(array)} {self.array_names[array]}[{size}]")
        body = _Body(self, name, [self.array_names[array] for array in arrays])
        with body.positions(layer.bases) as starts:
            if shared:
                views, output = _kernel_views(kernel, layer.counts, body.names)
                for view, (array, offsets), start in zip(views, layer.reads, starts, strict=False):
                    body.gather(view, self.view(array, start), offsets)
                body.declare(output, len(kernel.outputs))
                body.lines.add(f"{shared}({', '.join([*(view.name for view in views), output.name])});")
                body.scatter(self.view(written, starts[-1]), output, places)
            else:
                views = [
                    body.seen(self.view(array, start), offsets)
                    for (array, offsets), start in zip(layer.reads, starts, strict=False)
                ]
                target = self.view(written, starts[-1])
                direct = affine(places.tolist())
                if direct is not None:
                    output = target.stepped(*direct)
                else:
                    output = View(body.names("result"), Index(), 1, target.bits, target.signed)
                    body.declare(output, len(places))
                body.kernel(kernel, views, layer.counts, output)
                if direct is None:
                    body.scatter(target, output, places)
        return [*self._describe(layer, kernel), *body.function(name, parameters)]

    def _network_function(self, calls: list[tuple[str, _Layer]]) -> list[str]:
        program = self.program
        body = _Body(self, self.name, self.array_names.values())
        body.static = self.large
        for name, array in program.arrays.items():
            if name not in self._aliased:
                body.declare(self.view(name, Index()), array.size)
        for text in self.inputs:
            if text.port.array not in self._aliased:
                source = View(text.name, Index(), 1, text.bits, text.signed)
                body.scatter(self.view(text.port.array, Index()), source, text.port.index)
        for name, layer in calls:
            arrays = dict.fromkeys([*(array for array, _ in layer.reads), layer.write[0]])
            body.lines.add(f"{name}({', '.join(self.array_names[array] for array in arrays)});")
        for text in self.outputs:
            if text.port.array not in self._aliased:
                target = View(text.name, Index(), 1, text.bits, text.signed)
                body.copy(target, self.view(text.port.array, Index()), text.port.index)
        return [
            "// The whole network, on integer codes.",
            *body.function(self.entry, self.parameters()),
        ]

    def parameters(self) -> list[str]:
        """Parameters of the network's function: arrays of integer codes, inputs first."""
        return [
            *(f"const {self.dialect.type(t.bits, t.signed)} {t.name}[{t.size}]" for t in self.inputs),
            *(f"{self.dialect.type(t.bits, t.signed)} {t.name}[{t.size}]" for t in self.outputs),
        ]

    def view(self, array: str, start: Index) -> View:
        """Elements of an array from `start` on."""
        return View(self.array_names[array], start, 1, *self._size(array))

    def type_of(self, array: str) -> str:
        """Element type of an array."""
        return self.dialect.type(*self._size(array))

    def _size(self, name: str) -> tuple[int, bool]:
        array = self.program.arrays[name]
        return size_of(int(array.lo.min(initial=0)), int(array.hi.max(initial=0)))

    def _describe(self, layer: _Layer, kernel: Kernel) -> list[str]:
        """Comment above a layer's function."""
        positions = len(layer.bases) // layer.steps
        times = f", at {positions} positions" if positions > 1 else ""
        times += f", {layer.steps} times in turn" if layer.steps > 1 else ""
        reads = ", ".join(f"{len(offsets)} of {comment(array)} ({self._kind(array)})" for array, offsets in layer.reads)
        written = layer.write[0]
        return [
            f"// {comment(layer.name)}{times}.",
            f"// Reads {reads or 'nothing'}.",
            f"// Writes {len(kernel.outputs)} of {comment(written)} ({self._kind(written)}).",
        ]

    def _kind(self, name: str) -> str:
        """Type of an array's numbers for people."""
        array = self.program.arrays[name]
        bits, signed = self._size(name)
        scale = _common(array.scale.tolist())
        if scale is None:
            return f"{'s' if signed else 'u'}{bits}, a scale each"
        frac = fraction_bits(scale)
        sign = "s" if signed else "u"
        return f"{sign}{bits}.{frac}" if frac is not None else f"{sign}{bits} times {scale}"


class _Body:
    """Statements of one function under construction."""

    def __init__(self, network: Network, label: str, taken: Iterable[str] = ()) -> None:
        self.network = network
        self.label = label
        self.lines = Lines()
        self.lines.depth = 1
        self.names = Names(taken)
        self.pragmas: list[str] = []
        self.static = False

    def function(self, name: str, parameters: list[str]) -> list[str]:
        """Lines of the whole function."""
        dialect = self.network.dialect
        head = f"static void {name}({', '.join(parameters)}) {{"
        if len(head) <= WIDTH:
            heads = [head]
        else:
            heads = [f"static void {name}(", *(f"    {p}," for p in parameters[:-1]), f"    {parameters[-1]}) {{"]
        words = set(re.findall(r"\w+", "\n".join(self.lines.lines)))
        arrays = [parameter.rsplit(" ", 1)[1].split("[")[0] for parameter in parameters]
        unused = [f"    (void){array};  // Nothing depends on it." for array in arrays if array not in words]
        return [*heads, *dialect.function(), *dict.fromkeys(self.pragmas), *unused, *self.lines.lines, "}"]

    def kernel(self, kernel: Kernel, views: list[View], counts: list[int], output: View) -> None:
        """The kernel's statements here."""
        network = self.network
        # Within a pipelined loop everything is unrolled, too.
        unrolled = network.parallel or bool(self.lines.loops)
        writer = KernelWriter(
            kernel,
            self.label,
            views,
            counts,
            output,
            self.lines,
            dialect=network.dialect,
            constants=network.constants,
            used=network.used,
            parallel=network.parallel,
            weights=network.weights,
            taken=list(self.names.taken),
        )
        writer.write()
        for name in writer.fixed:
            dimensions = network.constants.arrays[name][0].ndim
            self.pragmas += network.dialect.weights(name, dimensions, parallel=unrolled)
        for name in writer.looked_up:
            self.pragmas += network.dialect.table(name)

    @contextmanager
    def positions(self, bases: Ints) -> Iterator[list[Index]]:
        """Loops through the positions; gives where each array begins in the innermost one."""
        found = nest(bases)
        starts = [Index(first) for first in found.first]
        counts = [level.count for level in found.levels]
        with ExitStack() as stack:
            if found.table is not None:
                variable = stack.enter_context(self.lines.loop(len(found.table), self._loop(not counts)))
                starts = [self._listed(column, variable) for column in found.table.T]
            for n, level in enumerate(found.levels):
                innermost = n + 1 == len(counts)
                variable = stack.enter_context(self.lines.loop(level.count, self._loop(innermost)))
                starts = [
                    start + Index.of(variable).scaled(step) for start, step in zip(starts, level.steps, strict=True)
                ]
            yield starts

    def _listed(self, values: Ints, variable: str) -> Index:
        """One of several numbers: by a formula, or from a constant array."""
        regular = affine(values.tolist())
        if regular is not None:
            return Index.of(variable).scaled(regular[0]) + regular[1]
        network = self.network
        name = network.constants(f"{self.label}_starts", values, "")
        self.pragmas += network.dialect.weights(name, 1, parallel=network.parallel)
        return Index.of(f"{name}[{variable}]")

    def _loop(self, innermost: bool) -> tuple[list[str], list[str]]:
        network = self.network
        if network.parallel or (self.lines.loops and not innermost):
            return network.dialect.unrolled() if network.parallel else ([], [])
        return network.dialect.pipelined() if innermost else ([], [])

    def seen(self, array: View, offsets: Ids) -> View:
        """Elements `offsets` of an array: in their place if they are regular, else copied into a window."""
        regular = affine(offsets.tolist()) if len(offsets) else (1, 0)
        if regular is not None:
            return array.stepped(*regular)
        window = View(self.names("window"), Index(), 1, array.bits, array.signed)
        self.gather(window, array, offsets)
        return window

    def declare(self, view: View, count: int) -> None:
        """Declare an array."""
        network, lines = self.network, self.lines
        kind = network.dialect.type(view.bits, view.signed)
        registers = network.parallel or count <= MOST_REGISTERS
        prefix = "static " if self.static else network.dialect.array_prefix(registers=registers)
        lines.add(f"{prefix}{kind} {view.name}[{count}];")
        lines.add(*network.dialect.array(view.name, registers=registers))

    def gather(self, target: View, source: View, offsets: Ids) -> None:
        """Declare `target` and fill it with elements `offsets` of `source`."""
        self.declare(target, len(offsets))
        self.copy(target, source, offsets)

    def copy(self, target: View, source: View, offsets: Ids) -> None:
        """`target[k] = source[offsets[k]]` for every k."""
        self._move(offsets, lambda k, place: f"{target.element(k)} = {source.element(place)};")

    def scatter(self, target: View, source: View, offsets: Ids) -> None:
        """`target[offsets[k]] = source[k]` for every k."""
        self._move(offsets, lambda k, place: f"{target.element(place)} = {source.element(k)};")

    def _move(self, offsets: Ids, statement: Callable[[Index, Index], str]) -> None:
        if not len(offsets):
            return
        rows = np.stack([np.arange(len(offsets)), offsets], axis=1)
        found = nest(rows)
        starts = [Index(first) for first in found.first]
        pragmas = self.network.dialect.unrolled() if self.network.parallel or self.lines.loops else ([], [])
        with ExitStack() as stack:
            if found.table is not None:
                variable = stack.enter_context(self.lines.loop(len(found.table), pragmas))
                starts = [self._listed(column, variable) for column in found.table.T]
            for level in found.levels:
                variable = stack.enter_context(self.lines.loop(level.count, pragmas))
                starts = [
                    start + Index.of(variable).scaled(step) for start, step in zip(starts, level.steps, strict=True)
                ]
            self.lines.add(statement(starts[0], starts[1]))


def _common(scales: list[Fraction]) -> Fraction | None:
    """The scale of all elements, None where they differ (or there are none)."""
    first = next(iter(scales), None)
    return first if all(scale is first or scale == first for scale in scales) else None


def _work(kernel: Kernel) -> int:
    """Operations of one application of a kernel."""
    plain = len(kernel) - kernel.count(OpCode.INPUT, OpCode.CONST, OpCode.LINEAR)
    return plain + len(kernel.term_arg)


def _kernel_views(kernel: Kernel, counts: list[int], names: Names | None = None) -> tuple[list[View], View]:
    """Arrays of a kernel's own inputs and outputs."""
    names = names or Names()
    views, start = [], 0
    for count in counts:
        part = slice(start, start + count)
        size = size_of(int(kernel.lo[part].min(initial=0)), int(kernel.hi[part].max(initial=0)))
        views.append(View(names("in"), Index(), 1, *size))
        start += count
    out = kernel.outputs
    return views, View(names("out"), Index(), 1, *size_of(int(kernel.lo[out].min()), int(kernel.hi[out].max())))


def _merged(steps: tuple[Step, ...]) -> list[_Layer]:
    """Steps as layers: neighbours of the same name that apply one kernel in the same way become one."""
    found: list[_Layer] = []
    for step in steps:
        accesses = (*step.reads, step.write)
        # The first offset is always 0, so that steps which differ in it alone are alike.
        shifts = [int(access.offsets[0]) if len(access.offsets) else 0 for access in accesses]
        bases = [access.base.astype(np.int64) + shift for access, shift in zip(accesses, shifts, strict=True)]
        seen = [(access.array, access.offsets - shift) for access, shift in zip(accesses, shifts, strict=True)]
        layer = _Layer(step.name, step.kernel, tuple(seen[:-1]), seen[-1], np.stack(bases, axis=1), 1)
        if found and _alike(found[-1], layer):
            last = found[-1]
            layer = replace(last, bases=np.concatenate([last.bases, layer.bases]), steps=last.steps + 1)
            found.pop()
        found.append(layer)
    return found


def _alike(a: _Layer, b: _Layer) -> bool:
    ours, theirs = [*a.reads, a.write], [*b.reads, b.write]
    return (
        a.name == b.name
        and a.kernel == b.kernel
        and len(a.bases) == a.steps * len(b.bases)
        and len(ours) == len(theirs)
        and all(x[0] == y[0] and np.array_equal(x[1], y[1]) for x, y in zip(ours, theirs, strict=True))
    )
