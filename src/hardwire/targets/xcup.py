"""AMD (Xilinx) UltraScale+: estimates; no open place & route exists, so its timing is never checked here.

Resources from the product tables DS890 (Virtex) and DS891 (Zynq). Delays are typical figures of speed grade -2 (DS923):
a LUT6 about 0.1 ns, a carry bit about 0.015 ns, routes 0.3 to 0.5 ns.
"""

from __future__ import annotations

from hardwire.targets._base import Costs, Delays, Resources, Target

_COSTS = Costs(
    adder_overhead=0.0,
    dsp_bits=(27, 18),
    dsp_least=4,
    free_mux_inputs=3,
    lookup_luts=(0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 3.0),
    # A LUT in front of a chain holds an operand's logic too: small adders between tables come nearly free.
    small_adders=(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    carry_passes=True,
    taken_in=5,
)
_DELAYS = Delays(
    overhead=0.75,
    lut=0.45,
    carry_in=0.6,
    carry_bit=0.013,
    mux=0.08,
    dsp=2.2,
    fanout=0.02,
    growth=0.05,
    reference_lut=10_000.0,
)


def _part(name: str, title: str, resources: Resources) -> Target:
    return Target(
        name=name,
        family="xcup",
        title=title,
        lut_size=6,
        resources=resources,
        clock_mhz=360.0,
        costs=_COSTS,
        delays=_DELAYS,
        timing="estimate",
        synthesis={"family": "xcup"},
    )


TARGETS = (
    _part("xcup-vu13p", "AMD Virtex UltraScale+ VU13P, speed -2", Resources(1_728_000, 3_456_000, 12_288, 2_688)),
    _part("xcup-vu9p", "AMD Virtex UltraScale+ VU9P, speed -2", Resources(1_182_240, 2_364_480, 6_840, 2_160)),
    _part("xcup-zu9eg", "AMD Zynq UltraScale+ ZU9EG, speed -2", Resources(274_080, 548_160, 2_520, 912)),
)
