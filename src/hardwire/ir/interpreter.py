"""The reference interpreter: the one executable meaning of a Program, in plain numpy.

Everything else (emulator, RTL, netlist) is checked against it, so it is written to be read, not to be fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hardwire.fixed import Ints, Rounding, round_shift, wrap_codes
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel, Op, Program

_BLOCK = 4096
"""Events that are run at a time, at most."""
_MOST_ELEMENTS = 1 << 24
"""Elements of all arrays and events that are in memory at a time; one event at least."""
_MOST_VALUES = 1 << 20
"""Values of a kernel at some positions that are in memory at a time."""


def run_kernel(kernel: Kernel, inputs: Ints) -> Ints:
    """Apply a kernel to int64 `inputs` (N, n_inputs); returns int64 (N, outputs)."""
    return values_of(kernel, inputs)[kernel.outputs].T.copy()


def values_of(kernel: Kernel, inputs: Ints) -> Ints:
    """Every value of the kernel, int64 (values, N), for int64 `inputs` (N, n_inputs)."""
    values = np.zeros((len(kernel), len(inputs)), np.int64)
    for op in kernel:
        if op.code is OpCode.INPUT:
            values[op.id] = inputs[:, op.p]
        elif op.code is OpCode.TABLE:
            values[op.id] = kernel.tables[op.p][values[op.args[0]] - op.q]
        else:
            values[op.id] = _meaning(op, values)
    return values


def _meaning(op: Op, values: Ints) -> Any:
    """The value of one op from all values before it; each line is one op's definition."""
    x, y, z = (values[op.args[k]] if k < len(op.args) else values[0] for k in range(3))
    match op.code:
        case OpCode.CONST:
            return op.p
        case OpCode.LINEAR:
            return sum((coef * values[arg] for coef, arg in zip(op.coefs, op.args, strict=True)), np.int64(op.p))
        case OpCode.ADD:
            return (x << op.p) + (y << op.q)
        case OpCode.SUB:
            return (x << op.p) - (y << op.q)
        case OpCode.MUL:
            return x * y
        case OpCode.SHL:
            return x << op.p
        case OpCode.ROUND:
            return round_shift(x, op.p, Rounding(op.q))
        case OpCode.WRAP:
            return wrap_codes(x, op.p, bool(op.q))
        case OpCode.CLAMP:
            return np.minimum(np.maximum(x, op.p), op.q)
        case OpCode.MIN:
            return np.minimum(x, y)
        case OpCode.MAX:
            return np.maximum(x, y)
        case OpCode.LESS:
            return (x < y).astype(np.int64)
        case OpCode.EQUAL:
            return (x == y).astype(np.int64)
        case OpCode.SELECT:
            return np.where(x != 0, y, z)
        case OpCode.AND:
            return x & y
        case OpCode.OR:
            return x | y
        case OpCode.XOR:
            return x ^ y
    raise ValueError(f"{op.code.name} has no meaning here")


def run(program: Program, inputs: Sequence[Ints]) -> list[Ints]:
    """Run a Program on integer codes.

    `inputs`: one int64 array (N, elements) per input port; returns one (N, elements) per output port.
    """
    n = len(inputs[0])
    elements = sum(array.size for array in program.arrays.values())
    block = max(1, min(_BLOCK, _MOST_ELEMENTS // max(1, elements)))
    blocks = [_run_block(program, [x[i : i + block] for x in inputs]) for i in range(0, n, block)]
    if not blocks:
        return [np.zeros((0, len(port.index)), np.int64) for port in program.outputs]
    return [np.concatenate(parts) for parts in zip(*blocks, strict=True)]


def trace(program: Program, inputs: Sequence[Ints]) -> dict[str, Ints]:
    """Contents of every array, int64 (N, size), for one block of inputs as in `run`."""
    n = len(inputs[0])
    store = {name: np.zeros((n, array.size), np.int64) for name, array in program.arrays.items()}
    for port, codes in zip(program.inputs, inputs, strict=True):
        store[port.array][:, port.index] = codes
    for step in program.steps:
        kernel = program.kernels[step.kernel]
        some = max(1, _MOST_VALUES // (len(kernel) * max(1, n)))
        for start in range(0, step.positions, some):
            places = slice(start, start + some)
            count = len(step.write.base[places])
            # A kernel that makes constants reads nothing.
            parts = [store[read.array][:, read.base[places, None] + read.offsets] for read in step.reads]
            gathered = np.concatenate([np.zeros((n, count, 0), np.int64), *parts], axis=2)
            result = run_kernel(kernel, gathered.reshape(n * count, kernel.n_inputs))
            target = step.write.base[places, None] + step.write.offsets
            store[step.write.array][:, target] = result.reshape(n, count, -1)
    return store


def _run_block(program: Program, inputs: Sequence[Ints]) -> list[Ints]:
    store = trace(program, inputs)
    return [store[port.array][:, port.index] for port in program.outputs]
