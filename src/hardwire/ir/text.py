"""Programs as text: a printer for people and a parser for golden files.

One line a value: `%7 = add %3 << 2, %5 : s9 [-200, 180] ; fc1`. `parse_kernel(format_kernel(k))` gives `k` back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from hardwire.errors import ModelError
from hardwire.fixed import Ints, Rounding, width_of
from hardwire.ir.ops import ARITY, OpCode
from hardwire.ir.program import Ids, Kernel, Op, Program


def _runs(index: Ids) -> str:
    """Element indices in short: `0…15` for a run, else the list."""
    values = index.tolist()
    if len(values) > 2 and values == list(range(values[0], values[0] + len(values))):
        return f"{values[0]}…{values[-1]}"
    shown = ", ".join(map(str, values[:8]))
    return shown if len(values) <= 8 else f"{shown}, … ({len(values)})"


def format_op(op: Op) -> str:
    """Return one value as one line."""
    name = op.code.name.lower()
    args = [f"%{arg}" for arg in op.args]
    match op.code:
        case OpCode.INPUT | OpCode.CONST:
            body = f"{name} {op.p}"
        case OpCode.LINEAR:
            terms = [f"{coef}·{arg}" for coef, arg in zip(op.coefs, args, strict=True)]
            body = f"{name} {' + '.join([*terms, str(op.p)])}"
        case OpCode.ADD | OpCode.SUB:
            body = f"{name} {args[0]} << {op.p}, {args[1]} << {op.q}"
        case OpCode.SHL:
            body = f"{name} {args[0]} << {op.p}"
        case OpCode.ROUND:
            body = f"{name} {args[0]} >> {op.p} {Rounding(op.q).name}"
        case OpCode.WRAP:
            body = f"{name} {args[0]} {'s' if op.q else 'u'}{op.p}"
        case OpCode.CLAMP:
            body = f"{name} {args[0]} [{op.p}, {op.q}]"
        case OpCode.TABLE:
            body = f"{name} {args[0]} @{op.p} from {op.q}"
        case _:
            body = f"{name} {', '.join(args)}"
    kind = f"{'s' if op.signed else 'u'}{width_of(op.lo, op.hi)}"
    return f"%{op.id} = {body} : {kind} [{op.lo}, {op.hi}]" + (f" ; {op.origin}" if op.origin else "")


def kernel_lines(kernel: Kernel) -> Iterator[str]:
    """Lines of a kernel's text."""
    yield f"kernel {kernel.name} ({kernel.n_inputs} inputs, {len(kernel.outputs)} outputs)"
    for t, table in enumerate(kernel.tables):
        yield f"  table @{t} = {' '.join(map(str, table.tolist()))}"
    for op in kernel:
        yield f"  {format_op(op)}"
    yield f"  return {', '.join(f'%{value}' for value in kernel.outputs.tolist())}"


def format_kernel(kernel: Kernel) -> str:
    """Return a kernel as text that `parse_kernel` reads."""
    return "\n".join(kernel_lines(kernel)) + "\n"


def format_program(program: Program) -> str:
    """Return a Program as text for people: ports, arrays, steps and kernels."""
    lines = [f"program {program.name}"]
    for port in program.inputs:
        quantiser = f" as {port.quantiser.describe()}" if port.quantiser else ""
        lines.append(f"  input {port.name} {list(port.shape)} = {port.array}{quantiser}")
    for array in program.arrays.values():
        lines.append(f"  array {array.name} [{array.size}] in [{array.lo.min()}, {array.hi.max()}]")
    for step in program.steps:
        reads = ", ".join(f"{r.array}[{_runs(r.index()[0])}]" for r in step.reads)
        times = f" × {step.positions}" if step.positions > 1 else ""
        write = f"{step.write.array}[{_runs(step.write.index()[0])}]"
        lines.append(f"  step {step.name}: {write} = {step.kernel}({reads}){times}")
    for port in program.outputs:
        lines.append(f"  output {port.name} {list(port.shape)} = {port.array}[{_runs(port.index)}]")
    for kernel in program.kernels.values():
        lines.extend(kernel_lines(kernel))
    return "\n".join(lines) + "\n"


_HEAD = re.compile(r"kernel (\S+) \((\d+) inputs, \d+ outputs\)")
_VALUE = re.compile(r"%(\d+) = (\w+) (.*) : [su]\d+ \[(-?\d+), (-?\d+)\](?: ; (.*))?")
_IMMEDIATES = {
    OpCode.ADD: re.compile(r"%\d+ << (\d+), %\d+ << (\d+)"),
    OpCode.SUB: re.compile(r"%\d+ << (\d+), %\d+ << (\d+)"),
    OpCode.SHL: re.compile(r"%\d+ << (\d+)"),
    OpCode.CLAMP: re.compile(r"%\d+ \[(-?\d+), (-?\d+)\]"),
    OpCode.TABLE: re.compile(r"%\d+ @(\d+) from (-?\d+)"),
}


def parse_kernel(text: str) -> Kernel:
    """Read a kernel from its text; raises `ModelError` with the line that it does not understand."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    head = _HEAD.fullmatch(lines[0])
    if head is None:
        raise ModelError(f"kernel text: {lines[0]!r} is not `kernel NAME (N inputs, M outputs)`")
    rows: list[tuple[int, ...]] = []
    terms: list[tuple[int, int]] = []
    tables: list[Ints] = []
    origins: dict[str, int] = {}
    outputs: list[int] = []
    for line in lines[1:]:
        if line.startswith("table "):
            tables.append(np.array(line.split(" = ", 1)[1].split(), np.int64))
        elif line.startswith("return"):
            outputs = [int(word) for word in re.findall(r"%(\d+)", line)]
        else:
            match = _VALUE.fullmatch(line)
            if match is None or match[2].upper() not in OpCode.__members__ or int(match[1]) != len(rows):
                raise ModelError(f"kernel text: cannot read {line!r}")
            code = OpCode[match[2].upper()]
            a, b, c, p, q = _fields(code, match[3], terms)
            origin = origins.setdefault(match[6] or "", len(origins))
            rows.append((int(code), a, b, c, p, q, int(match[4]), int(match[5]), origin))
    columns = np.array(rows, np.int64).reshape(-1, 9).T
    pool = np.array(terms, np.int64).reshape(-1, 2)
    op, a_, b_, c_, p_, q_, lo, hi, origin_ = columns
    return Kernel(
        name=head[1],
        op=op.astype(np.uint8),
        a=a_.astype(np.int32),
        b=b_.astype(np.int32),
        c=c_.astype(np.int32),
        p=p_.copy(),
        q=q_.copy(),
        lo=lo.copy(),
        hi=hi.copy(),
        origin=origin_.astype(np.int32),
        term_arg=pool[:, 0].astype(np.int32),
        term_coef=pool[:, 1].copy(),
        outputs=np.array(outputs, np.int32),
        n_inputs=int(head[2]),
        tables=tuple(tables),
        origins=tuple(origins) or ("",),
    )


def _fields(code: OpCode, body: str, terms: list[tuple[int, int]]) -> tuple[int, int, int, int, int]:
    if code is OpCode.LINEAR:
        found = [(int(arg), int(coef)) for coef, arg in re.findall(r"(-?\d+)·%(\d+)", body)]
        terms.extend(found)
        return len(terms) - len(found), len(found), -1, int(body.rsplit("+", 1)[1]), 0
    args = [int(word) for word in re.findall(r"%(\d+)", body)]
    a, b, c = (*args, -1, -1, -1)[:3] if len(args) == ARITY[code] else (-2, -2, -2)
    p = q = 0
    match code:
        case OpCode.INPUT | OpCode.CONST:
            p = int(body)
        case OpCode.ROUND:
            shift, mode = body.split(">> ")[1].split()
            p, q = int(shift), int(Rounding[mode])
        case OpCode.WRAP:
            kind = body.split()[1]
            p, q = int(kind[1:]), int(kind[0] == "s")
        case _ if code in _IMMEDIATES:
            found_ = _IMMEDIATES[code].fullmatch(body)
            if found_ is None:
                raise ModelError(f"kernel text: cannot read {body!r}")
            p, q = ([int(group) for group in found_.groups()] + [0])[:2]
    if a == -2:
        raise ModelError(f"kernel text: {code.name.lower()} takes {ARITY[code]} operands, found {body!r}")
    return a, b, c, p, q
