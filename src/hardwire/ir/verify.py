"""The verifier of Programs: run between passes, it names the pass that broke an invariant."""

from __future__ import annotations

import numpy as np

from hardwire.errors import InternalError
from hardwire.fixed import MAX_BITS
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel, Program
from hardwire.ir.ranges import range_of


def verify_kernel(kernel: Kernel, after: str = "construction", *, ranges: bool = True) -> None:
    """Check order, pools, tables, and (with `ranges`) that each range contains what its rule can prove.

    A value's range may be tighter than its rule gives (another proof found it), but it must overlap it and never be
    empty. Raises `InternalError` naming the value and `after`, the pass that ran last.
    """

    def fail(i: int, why: str) -> None:
        raise InternalError(f"kernel {kernel.name!r} after {after}: %{i} {why}")

    n = len(kernel)
    if not np.array_equal(kernel.op[: kernel.n_inputs], np.zeros(kernel.n_inputs, np.uint8)):
        fail(0, "the first values must be the inputs")
    if np.any(kernel.op[kernel.n_inputs :] == OpCode.INPUT):
        fail(kernel.n_inputs, "an input after the inputs")
    if np.any(kernel.outputs < 0) or np.any(kernel.outputs >= n):
        fail(n, "output id out of range")
    empty = np.flatnonzero(kernel.lo > kernel.hi)
    if len(empty):
        fail(int(empty[0]), "has an empty range")
    wide = np.flatnonzero(kernel.widths > MAX_BITS)
    if len(wide):
        fail(int(wide[0]), f"is wider than {MAX_BITS} bits")
    for op in kernel:
        if any(arg < 0 or arg >= op.id for arg in op.args):
            fail(op.id, f"uses a value that does not precede it: {op.args}")
        if op.code in (OpCode.ADD, OpCode.SUB) and (op.p < 0 or op.q < 0):
            fail(op.id, "has a negative shift")
        if op.code is OpCode.INPUT:
            if op.p != op.id:
                fail(op.id, "input out of order")
            continue
        table: list[int] = []
        args = [(int(kernel.lo[arg]), int(kernel.hi[arg])) for arg in op.args]
        if op.code is OpCode.TABLE:
            table = kernel.tables[op.p].tolist()
            if args[0][0] < op.q or args[0][1] - op.q >= len(table):
                fail(op.id, f"reads its table outside: {args[0]} of {len(table)} from {op.q}")
        if ranges:
            lo, hi = range_of(op.code, args, op.p, op.q, coefs=op.coefs, table=table)
            if op.lo > hi or op.hi < lo:
                fail(op.id, f"claims [{op.lo}, {op.hi}] where its rule gives [{lo}, {hi}]")


def verify_program(program: Program, after: str = "construction", *, ranges: bool = True) -> None:
    """Check every kernel, and that steps read what was written and that ranges flow through the arrays."""
    for kernel in program.kernels.values():
        verify_kernel(kernel, after, ranges=ranges)
    written = {name: np.zeros(array.size, bool) for name, array in program.arrays.items()}
    touched = [(port.name, port.array, port.index) for port in (*program.inputs, *program.outputs)]
    touched += [
        (step.name, access.array, access.index()) for step in program.steps for access in (*step.reads, step.write)
    ]
    for name, array_name, index in touched:
        if index.min(initial=0) < 0 or index.max(initial=-1) >= len(written[array_name]):
            raise InternalError(f"{name!r} after {after}: an element of {array_name!r} that it does not have")
    for port in program.inputs:
        written[port.array][port.index] = True
    for step in program.steps:
        kernel = program.kernels[step.kernel]
        k = 0
        for access in step.reads:
            array, index = program.arrays[access.array], access.index()
            if not written[access.array][index].all():
                raise InternalError(f"step {step.name!r} after {after} reads unwritten elements of {access.array!r}")
            width = index.shape[1]
            if np.any(array.lo[index] < kernel.lo[k : k + width]) or np.any(array.hi[index] > kernel.hi[k : k + width]):
                raise InternalError(f"step {step.name!r} after {after}: {access.array!r} exceeds its kernel's inputs")
            k += width
        if k != kernel.n_inputs:
            raise InternalError(f"step {step.name!r} after {after} gives {k} of {kernel.n_inputs} inputs")
        target, index = program.arrays[step.write.array], step.write.index()
        if np.any(written[step.write.array][index]) or len(np.unique(index)) != index.size:
            raise InternalError(f"step {step.name!r} after {after} writes an element twice")
        out = kernel.outputs
        if np.any(kernel.lo[out] < target.lo[index]) or np.any(kernel.hi[out] > target.hi[index]):
            raise InternalError(f"step {step.name!r} after {after} exceeds the range of {target.name!r}")
        written[step.write.array][index] = True
    for port in program.outputs:
        if not written[port.array][port.index].all():
            raise InternalError(f"output {port.name!r} after {after} is not written")
