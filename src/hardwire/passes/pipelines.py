"""The order of passes: the only place that knows it.

Kernels are simplified, the Program is unrolled and simplified as a whole, its LINEAR values are solved (applications of
a kernel that are still alike once), and the whole is cleaned up. The verifier runs after every pass when
`HARDWIRE_VERIFY=1` (the tests set it) and at the end always.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from hardwire.fixed import Rounding
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel, Program
from hardwire.ir.relaxation import relaxed_ranges
from hardwire.ir.verify import verify_kernel, verify_program
from hardwire.passes.absorb_rounding import absorb_but_ties, absorb_rounding
from hardwire.passes.compose import compose
from hardwire.passes.cse import cse
from hardwire.passes.dce import dce
from hardwire.passes.narrow import narrow
from hardwire.passes.offset_sums import offset_sums
from hardwire.passes.round_first import round_first
from hardwire.passes.shift_add import Solve
from hardwire.passes.solve_linears import applications, solve_linears
from hardwire.passes.tables import TableFabric, combine_tables
from hardwire.passes.unroll import flat_program, unroll

KernelPass = Callable[[Kernel], Kernel]

CLEANUP: Sequence[KernelPass] = (narrow, cse, dce)
BEFORE_SOLVING: Sequence[KernelPass] = (
    narrow,
    cse,
    dce,
    round_first,
    narrow,
    dce,
    absorb_rounding,
    compose,
    narrow,
    cse,
    dce,
)
"""What the whole network says of each neuron, for the solver."""
WITH_TIES = tuple(absorb_but_ties if step is absorb_rounding else step for step in BEFORE_SOLVING)
"""The same with roundings to even as they are."""


def relax(kernel: Kernel) -> Kernel:
    """Tighten ranges by what linear relaxation proves of the whole network."""
    lo, hi = relaxed_ranges(kernel)
    return kernel.with_(lo=np.maximum(lo, kernel.lo), hi=np.minimum(hi, kernel.hi))


def run_passes(kernel: Kernel, passes: Sequence[KernelPass]) -> Kernel:
    """Apply kernel passes in order, verifying between them when asked to."""
    check = os.environ.get("HARDWIRE_VERIFY") == "1"
    for step in passes:
        kernel = step(kernel)
        if check:
            verify_kernel(kernel, after=step.__name__)
    return kernel


def simplify(program: Program) -> Program:
    """Clean each kernel of a looped Program on its own; loops and arrays stay as they are."""
    kernels = {name: run_passes(kernel, (narrow, cse, dce)) for name, kernel in program.kernels.items()}
    return replace(program, kernels=kernels)


def flatten(
    program: Program,
    solve: Solve,
    progress: Callable[[str], None] | None = None,
    fabric: TableFabric | None = None,
    proven: Callable[[Program, Kernel], bool] | None = None,
    *,
    unsigned: bool = False,
    levels: int = 0,
) -> Program:
    """Return the fully parallel form: constant multiplications solved, loops unrolled, the whole cleaned up.

    `progress` is told the name of each layer before it is solved. For a `fabric`, sums of tables become cheaper ones;
    they and respelt roundings to even are left alone where `proven`, of the looped Program and the flat kernel, cannot
    follow. `unsigned`: adder graphs without sign extensions, for targets whose `Costs.carry_passes`.
    `levels`: of adders that sums of tables may take, or the least that they need if that is more.
    """
    flat = dce(unroll(program, tell_instances=True).flat)
    relaxed = relax(flat)
    prepared = run_passes(relaxed, BEFORE_SOLVING)
    to_even = np.any((flat.op == OpCode.ROUND) & (flat.q == Rounding.RND_CONV))
    if to_even and proven is not None and not proven(program, prepared):
        prepared = run_passes(relaxed, WITH_TIES)
    if fabric is not None and np.any(prepared.op == OpCode.TABLE):
        combined = combine_tables(prepared, fabric, levels)
        if combined is not prepared:
            combined = run_passes(combined, CLEANUP)
            prepared = combined if proven is None or proven(program, combined) else prepared
    solved = solve_linears(prepared, applications(program), solve, progress)
    whole = run_passes(solved, (*CLEANUP, *CLEANUP))
    if unsigned:
        whole = run_passes(whole, (offset_sums, *CLEANUP))
    result = flat_program(program, whole)
    verify_program(result, after="flatten")
    return result
