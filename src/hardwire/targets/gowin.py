"""Gowin LittleBee (GW1N) and Arora (GW2A), the parts of small boards: placed and routed by open tools.

Of eight LUTs in a logic block six can be a bit of an adder and have a flip-flop behind them (UG288): these are what is
counted here. The parts have multipliers, which hardwire leaves alone: products of two computed values are made of LUTs.
Timing fitted to nextpnr's results.
"""

from __future__ import annotations

from hardwire.targets._base import Costs, Delays, Resources, Target

_COSTS = Costs(
    adder_overhead=1.5,
    dsp_bits=(18, 18),
    dsp_least=64,
    free_mux_inputs=0,
    lookup_luts=(0.0, 0.0, 1.0, 1.0, 1.0, 3.2, 7.5, 15.0),
    small_adders=(0.0, 1.0, 2.0),
    product_luts=2.4,
    lone_ff=True,
)
_GW2A = Delays(
    overhead=0.7,
    lut=0.85,
    carry_in=1.5,
    carry_bit=0.027,
    mux=0.85,
    dsp=0.0,
    fanout=0.05,
    growth=0.1,
    reference_lut=1000.0,
)
_GW1N = Delays(
    overhead=3.0,
    lut=1.25,
    carry_in=2.3,
    carry_bit=0.045,
    mux=1.25,
    dsp=0.0,
    fanout=0.05,
    growth=0.1,
    reference_lut=1000.0,
)


def _part(
    name: str,
    title: str,
    family: str,
    delays: Delays,
    resources: Resources,
    mhz: float,
    **place: str,
) -> Target:
    return Target(
        name=f"gowin-{name}",
        family="gowin",
        title=title,
        lut_size=4,
        resources=resources,
        clock_mhz=mhz,
        costs=_COSTS,
        delays=delays,
        timing="calibrated",
        synthesis={"family": family},
        place={"tool": "nextpnr_gowin", **place},
    )


TARGETS = (
    _part(
        "gw1nr9",
        "Gowin LittleBee GW1NR-9 C6/I5",
        "gw1n",
        _GW1N,
        Resources(lut=6_480, ff=6_480, dsp=0, bram=26),
        80.0,
        device="GW1NR-LV9QN88PC6/I5",
        chip="GW1N-9C",
        pins="52 3 4 10 11 13 14",
    ),
    _part(
        "gw2ar18",
        "Gowin Arora GW2AR-18 C8/I7",
        "gw2a",
        _GW2A,
        Resources(lut=15_552, ff=15_552, dsp=0, bram=46),
        150.0,
        device="GW2AR-LV18QN88C8/I7",
        chip="GW2A-18C",
        pins="4 15 16 17 18 19 20",
    ),
)
