"""The ports, parameters and streams of a wrapped module, written as `wrapper_ports.json` for people and packagers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hardwire.schedule.circuit import Circuit
from hardwire.wrappers._fields import Word

FILE = "wrapper_ports.json"


@dataclass(frozen=True)
class Parameter:
    """An integer parameter of the Verilog."""

    name: str
    default: int
    meaning: str
    minimum: int = 0
    expression: str | None = None
    """The default in terms of other parameters, where it depends on them."""


@dataclass(frozen=True)
class HdlPort:
    """A port of the wrapped module; `width` bits at the parameters' defaults, None for a scalar."""

    name: str
    direction: str
    """`in` or `out`."""
    width: int | None = None
    width_expression: str | None = None
    """The bits in terms of parameters, where they depend on them."""


@dataclass(frozen=True)
class Stream:
    """Ports that make one bus interface: `signals` maps the protocol's names to ports."""

    name: str
    role: str
    """`slave` (vectors come in) or `master` (answers go out)."""
    protocol: str
    """`axi4-stream`, `valid-ready` or `valid`."""
    signals: dict[str, str]


@dataclass(frozen=True)
class Interface:
    """All that a packager needs to know of a wrapped module."""

    module: str
    core: str
    wrapper: str
    clock: str
    clock_mhz: float
    reset: str
    reset_active_low: bool
    reset_asynchronous: bool
    latency_cycles: int
    parameters: tuple[Parameter, ...]
    ports: tuple[HdlPort, ...]
    streams: tuple[Stream, ...]


def core_interface(circuit: Circuit, module: str) -> Interface:
    """The interface of the core itself, for packagers that take it without a wrapper."""
    ports = [HdlPort("clk", "in"), HdlPort("rst", "in"), HdlPort("in_valid", "in")]
    ports += [HdlPort(bus.name, "in", bus.width) for bus in circuit.inputs]
    ports += [HdlPort("out_valid", "out"), *(HdlPort(bus.name, "out", bus.width) for bus in circuit.outputs)]
    return Interface(
        module=module,
        core=module,
        wrapper="none",
        clock="clk",
        clock_mhz=circuit.clock_mhz,
        reset="rst",
        reset_active_low=False,
        reset_asynchronous=False,
        latency_cycles=circuit.latency,
        parameters=(),
        ports=tuple(ports),
        streams=(),
    )


def interface_json(
    interface: Interface, inputs: Sequence[tuple[str, Word]], outputs: Sequence[tuple[str, Word]]
) -> str:
    """Text of `wrapper_ports.json`; `inputs` and `outputs` say which port carries which word."""
    plain: dict[str, Any] = asdict(interface)
    plain["layout"] = (
        "offset and width place an element in the word, element 0 lowest, extended by its sign or by zeros; bus, "
        "bus_offset and bus_width are its place in the core (ports.json says what its codes mean)"
    )
    plain["inputs"] = [word.describe(port) for port, word in inputs]
    plain["outputs"] = [word.describe(port) for port, word in outputs]
    return json.dumps(plain, indent=1) + "\n"


def read_interface(text: str) -> Interface:
    """Read what `interface_json` wrote."""
    plain = json.loads(text)
    kept = {name: plain[name] for name in Interface.__dataclass_fields__}
    kept["parameters"] = tuple(Parameter(**entry) for entry in plain["parameters"])
    kept["ports"] = tuple(HdlPort(**entry) for entry in plain["ports"])
    kept["streams"] = tuple(Stream(**entry) for entry in plain["streams"])
    return Interface(**kept)
