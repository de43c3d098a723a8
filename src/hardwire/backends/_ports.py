"""What every description of a circuit in a hardware language brings: where numbers lie on its buses, its clock."""

from __future__ import annotations

import json

from hardwire.ir.program import Program, fraction_bits
from hardwire.schedule.circuit import Bus, Circuit


def port_files(circuit: Circuit, program: Program, name: str) -> dict[str, str]:
    """File name → text of the port layout and of the clock's constraints."""
    period = 1000.0 / circuit.clock_mhz
    clock = f"create_clock -name clk -period {period:.3f} [get_ports clk]\n"
    return {
        "ports.json": json.dumps(port_layout(circuit, program, name), indent=1) + "\n",
        f"{name}.lpf": f'FREQUENCY PORT "clk" {circuit.clock_mhz:g} MHZ;\n',
        f"{name}.xdc": clock,
        f"{name}.sdc": clock,
    }


def port_layout(circuit: Circuit, program: Program, name: str) -> dict[str, object]:
    """Where each number lies on its bus: `ports.json`.

    `value = code × scale`; `scale` is `[numerator, denominator]`, `frac` the fractional bits of a power of two.
    """

    def bus_layout(bus: Bus) -> dict[str, object]:
        scales = program.port_scale(bus.port)
        elements = []
        for element, scale in zip(bus.elements, scales, strict=True):
            elements.append(
                {
                    "offset": element.offset,
                    "width": element.width,
                    "signed": element.signed,
                    "lo": element.lo,
                    "hi": element.hi,
                    "frac": fraction_bits(scale),
                    "scale": [scale.numerator, scale.denominator],
                }
            )
        return {
            "bus": bus.name,
            "port": bus.port.name,
            "shape": list(bus.port.shape),
            "width": bus.width,
            "elements": elements,
        }

    return {
        "module": name,
        "clock": "clk",
        "reset": "rst, synchronous, active high; clears the valid chain",
        "latency_cycles": circuit.latency,
        "initiation_interval": circuit.initiation_interval,
        "clock_mhz": circuit.clock_mhz,
        "layout": "element 0 in the lowest bits; two's complement where signed; a constant input takes no bits",
        "inputs": [bus_layout(bus) for bus in circuit.inputs],
        "outputs": [bus_layout(bus) for bus in circuit.outputs],
    }
