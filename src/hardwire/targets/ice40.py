"""Lattice iCE40, the small parts of hobby boards: placed and routed by open tools.

Resources from the family data sheets (FPGA-DS-02029 for HX and LP, FPGA-DS-02008 for UltraPlus). An UltraPlus part has
8 multipliers, which hardwire leaves alone: products of two computed values are made of LUTs. Timing fitted to nextpnr's
results.
"""

from __future__ import annotations

from hardwire.targets._base import Costs, Delays, Resources, Target

_COSTS = Costs(
    adder_overhead=1.0,
    dsp_bits=(16, 16),
    dsp_least=64,
    free_mux_inputs=0,
    lookup_luts=(0.0, 0.0, 1.0, 1.0, 1.0, 3.2, 7.5, 15.0),
    small_adders=(0.0, 1.0, 2.0),
    product_luts=2.4,
    lone_ff=True,
)
_HX = Delays(
    overhead=1.6,
    lut=0.81,
    carry_in=1.05,
    carry_bit=0.105,
    mux=0.81,
    dsp=0.0,
    fanout=0.05,
    growth=0.1,
    reference_lut=1000.0,
)
_UP = Delays(
    overhead=4.65,
    lut=2.1,
    carry_in=2.7,
    carry_bit=0.26,
    mux=2.1,
    dsp=0.0,
    fanout=0.05,
    growth=0.1,
    reference_lut=1000.0,
)
_LP = Delays(
    overhead=2.2,
    lut=1.24,
    carry_in=1.62,
    carry_bit=0.16,
    mux=1.24,
    dsp=0.0,
    fanout=0.05,
    growth=0.1,
    reference_lut=1000.0,
)


def _part(name: str, title: str, speed: str, delays: Delays, resources: Resources, package: str, mhz: float) -> Target:
    return Target(
        name=f"ice40-{name}",
        family="ice40",
        title=f"Lattice iCE40 {title}",
        lut_size=4,
        resources=resources,
        clock_mhz=mhz,
        costs=_COSTS,
        delays=delays,
        timing="calibrated",
        synthesis={"family": f"ice40-{speed}"},
        place={"tool": "nextpnr_ice40", "device": name, "package": package},
    )


TARGETS = (
    _part("hx1k", "HX1K", "hx", _HX, Resources(lut=1_280, ff=1_280, dsp=0, bram=16), "tq144", 100.0),
    _part("hx8k", "HX8K", "hx", _HX, Resources(lut=7_680, ff=7_680, dsp=0, bram=32), "ct256", 100.0),
    _part("lp8k", "LP8K", "lp", _LP, Resources(lut=7_680, ff=7_680, dsp=0, bram=32), "cm81", 70.0),
    _part("up5k", "UltraPlus UP5K", "u", _UP, Resources(lut=5_280, ff=5_280, dsp=0, bram=30), "sg48", 30.0),
)
