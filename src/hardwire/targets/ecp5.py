"""Lattice ECP5 (LFE5U), the default family: placed and routed by open tools.

Resources from the ECP5 family data sheet (FPGA-DS-02012). Timing fitted to nextpnr's results at speed grade 8.
"""

from __future__ import annotations

from hardwire.targets._base import Costs, Delays, Resources, Target

_COSTS = Costs(
    adder_overhead=1.5,
    dsp_bits=(18, 18),
    dsp_least=2,
    free_mux_inputs=3,
    lookup_luts=(0.0, 0.0, 1.0, 1.0, 1.0, 2.0, 4.0, 8.0),
    small_adders=(0.0, 1.0, 2.0, 3.0, 7.0),
)
_DELAYS = Delays(
    overhead=1.2,
    lut=1.07,
    carry_in=1.17,
    carry_bit=0.03,
    mux=0.25,
    dsp=5.4,
    fanout=0.05,
    growth=0.135,
    reference_lut=4000.0,
)


def _part(size: str, resources: Resources, package: str) -> Target:
    return Target(
        name=f"ecp5-{size}",
        family="ecp5",
        title=f"Lattice ECP5 LFE5U-{size[:-1]}F, speed 8",
        lut_size=4,
        resources=resources,
        clock_mhz=150.0,
        costs=_COSTS,
        delays=_DELAYS,
        timing="calibrated",
        synthesis={"family": "ecp5"},
        place={"tool": "nextpnr", "device": size, "package": package, "speed": "8"},
    )


TARGETS = (
    _part("25k", Resources(lut=24_288, ff=24_288, dsp=28, bram=56), "CABGA381"),
    _part("45k", Resources(lut=43_848, ff=43_848, dsp=72, bram=108), "CABGA554"),
    _part("85k", Resources(lut=83_640, ff=83_640, dsp=156, bram=208), "CABGA756"),
)
