"""AMD (Xilinx) 7 series: counts by Yosys, timing by estimate; no place & route of it is used here.

Resources from the product table DS180. Delays are typical figures of speed grades -1 (Artix-7 and Zynq-7000, DS181) and
-2 (Kintex-7 and Virtex-7, DS182): a LUT6 takes about 0.12 or 0.05 ns, a carry bit 0.03 or 0.015 ns, routes 0.3 to 0.7.
"""

from __future__ import annotations

from hardwire.targets._base import Costs, Delays, Resources, Target

_COSTS = Costs(
    adder_overhead=0.0,
    dsp_bits=(25, 18),
    dsp_least=4,
    free_mux_inputs=2,
    lookup_luts=(0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 3.0),
    # A LUT in front of a chain holds an operand's logic too: small adders between tables come nearly free.
    small_adders=(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    carry_passes=True,
    taken_in=5,
)
_SPEED_1 = Delays(
    overhead=1.2,
    lut=0.7,
    carry_in=1.0,
    carry_bit=0.03,
    mux=0.25,
    dsp=3.9,
    fanout=0.03,
    growth=0.06,
    reference_lut=10_000.0,
)
_SPEED_2 = Delays(
    overhead=0.9,
    lut=0.5,
    carry_in=0.75,
    carry_bit=0.015,
    mux=0.15,
    dsp=2.9,
    fanout=0.025,
    growth=0.06,
    reference_lut=10_000.0,
)


def _part(name: str, title: str, speed: int, clock_mhz: float, resources: Resources) -> Target:
    return Target(
        name=f"xc7-{name}",
        family="xc7",
        title=f"AMD {title}, speed -{speed}",
        lut_size=6,
        resources=resources,
        clock_mhz=clock_mhz,
        costs=_COSTS,
        delays=_SPEED_1 if speed == 1 else _SPEED_2,
        timing="estimate",
        synthesis={"family": "xc7"},
    )


TARGETS = (
    _part("a35t", "Artix-7 XC7A35T", 1, 200.0, Resources(20_800, 41_600, 90, 50)),
    _part("a100t", "Artix-7 XC7A100T", 1, 200.0, Resources(63_400, 126_800, 240, 135)),
    _part("a200t", "Artix-7 XC7A200T", 1, 200.0, Resources(134_600, 269_200, 740, 365)),
    _part("z020", "Zynq-7000 XC7Z020", 1, 200.0, Resources(53_200, 106_400, 220, 140)),
    _part("k325t", "Kintex-7 XC7K325T", 2, 280.0, Resources(203_800, 407_600, 840, 445)),
    _part("vx690t", "Virtex-7 XC7VX690T", 2, 280.0, Resources(433_200, 866_400, 3_600, 1_470)),
)
