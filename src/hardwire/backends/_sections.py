"""What a module consists of, in order and in no language's syntax: sections of named values, with their registers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from hardwire.backends._bits import Bits
from hardwire.backends._expressions import Expressions
from hardwire.backends._names import comment
from hardwire.ir.ops import OpCode
from hardwire.schedule.circuit import Bus, Circuit


@dataclass(frozen=True, slots=True)
class Value:
    """One named signal: a wire, or a register behind a port; `copies` more registers named `_r1`, `_r2`, … follow."""

    name: str
    width: int
    text: str
    registered: bool
    copies: int = 0
    product: bool = False
    helpers: tuple[tuple[str, int, str], ...] = ()
    """Wires that `text` reads: (name, width, expression)."""

    @property
    def registers(self) -> list[str]:
        """Names of the registers behind the value."""
        return [f"{self.name}_r{k}" for k in range(1, self.copies + 1)]

    @property
    def clocked(self) -> list[tuple[str, str]]:
        """What each register takes over at a clock edge: (register, text)."""
        chain = [self.name, *self.registers]
        own = [(self.name, self.text)] if self.registered else []
        return [*own, *zip(chain[1:], chain[:-1], strict=True)]


@dataclass(frozen=True, slots=True)
class Section:
    """An input bus, a layer or an output bus: values in an order in which each stands before its readers."""

    title: str
    values: list[Value] = field(default_factory=list)
    wired: list[tuple[Bus, int, int, str]] = field(default_factory=list)
    """Parts of an output bus: (bus, offset, width, text)."""

    @property
    def clocked(self) -> list[tuple[str, str]]:
        """What the section's registers take over at a clock edge."""
        return [pair for value in self.values for pair in value.clocked]


def sections(circuit: Circuit, bits: Bits, expressions: Expressions) -> Iterator[Section]:
    """Inputs, layers, outputs."""
    kernel = circuit.kernel
    is_constant = circuit.constant.tolist()
    copies: list[int] = circuit.copies.tolist()
    op: list[int] = kernel.op.tolist()
    for bus in circuit.inputs:
        section = Section(f"Input {bus.name}: {comment(bus.port.name)}")
        seen: set[int] = set()
        for element in bus.elements:
            v = element.value
            if v < 0 or v in seen or is_constant[v]:
                continue
            seen.add(v)
            text = _input(bus, element.offset, element.width, bits, v)
            section.values.append(Value(bits.names[v], bits.width[v], text, True, copies[v]))
        yield section
    for origin, members in _groups(circuit):
        members = [i for i in members if not (is_constant[i] or op[i] == OpCode.INPUT or bits.root[i] != i)]
        if not members:
            continue
        section = Section(f"Layer {comment(kernel.origins[origin]) or '(none)'}")
        for i in members:
            text = expressions(i)
            helpers = tuple(expressions.helpers)
            product = op[i] == OpCode.MUL
            section.values.append(Value(bits.names[i], bits.width[i], text, False, copies[i], product, helpers))
        yield section
    for bus in circuit.outputs:
        yield _output(bus, bits, circuit.depth)


def _output(bus: Bus, bits: Bits, depth: int) -> Section:
    section = Section(f"Output {bus.name}: {comment(bus.port.name)}")
    register: dict[int, str] = {}
    for k, element in enumerate(bus.elements):
        text = bits.of(element.value, depth, 0, element.width)
        if element.lo != element.hi:
            if element.value not in register:
                register[element.value] = f"{bus.name}_{k}"
                section.values.append(Value(f"{bus.name}_{k}", element.width, text, True))
            text = register[element.value]
        section.wired.append((bus, element.offset, element.width, text))
    if not bus.elements:
        section.wired.append((bus, 0, 1, bits.language.literal(0, 1)))
    return section


def _input(bus: Bus, offset: int, width: int, bits: Bits, v: int) -> str:
    """An input element, brought to the width of the kernel's value (equal unless the kernel serves wider inputs)."""
    language, wanted = bits.language, bits.width[v]
    if wanted <= width:
        return language.port(bus.name, offset, wanted)
    sign = language.port(bus.name, offset + width - 1, 1) if bits.signed(v) and width else language.literal(0, 1)
    low = [language.port(bus.name, offset, width)] if width else []
    return language.concat([language.repeat(sign, wanted - width), *low])


def _groups(circuit: Circuit) -> list[tuple[int, list[int]]]:
    """Values by layer where that keeps every value before its readers; otherwise runs of equal layers."""
    kernel = circuit.kernel
    origin = kernel.origin.tolist()
    order = {o: k for k, o in enumerate(dict.fromkeys(origin))}
    rank = np.array([order[o] for o in origin], np.int64)
    args = circuit.args
    in_order = all(bool(np.all((args[:, k] < 0) | (rank[args[:, k]] <= rank))) for k in range(3))
    groups: list[tuple[int, list[int]]] = []
    for i in np.argsort(rank, kind="stable").tolist() if in_order else range(len(origin)):
        if groups and groups[-1][0] == origin[i]:
            groups[-1][1].append(i)
        else:
            groups.append((origin[i], [i]))
    return groups
