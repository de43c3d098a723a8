"""The whole emulator as LLVM assembly: two modules of straight-line code, one of loops over rows.

The loops go through LLVM's vectoriser; the others are vector code already and only need registers and encodings.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import isfinite

import numpy as np

from hardwire.emulate._emit import ChunkEmitter, Frame, moving
from hardwire.emulate._forms import recover
from hardwire.emulate._globals import Globals, constants
from hardwire.emulate._host import Host
from hardwire.emulate._lanes import value_lanes
from hardwire.emulate._layout import LINE, Layout, lay_out, place_slots
from hardwire.emulate._plan import Budget, plan
from hardwire.emulate._ports import codes_in, collect, columns_of, floats_in, spread, values_out
from hardwire.ir.jobs import Job, jobs_of
from hardwire.ir.program import Port, Program

_WORK_BYTES = 1 << 19
"""Frames that are in use at a time stay within this, a share of a core's second-level cache."""

_MOST_FRAMES = 2
"""A second frame halves the cost of fetching long code; more only push rows and lanes out of the first-level cache
(16-16-16-5: 92 M events/s with two, 64 M with four; 16-64-32-32-5 pruned: 46 M and 39 M)."""

SIZES = (1, 2, 4, 8)
"""Bytes of an array's integers."""

_DECLARED = "".join(
    f"declare {line}\n"
    for line in (
        "void @compute(ptr, i64, ptr)",
        *(f"void @{turn}{size}(ptr, ptr, i64, i64, ptr)" for turn in ("spread", "collect") for size in SIZES),
        "i64 @llvm.smin.i64(i64, i64)",
        "i64 @llvm.smax.i64(i64, i64)",
        "void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)",
        *(f"double @llvm.{name}.f64(double)" for name in ("floor", "ceil", "trunc", "roundeven", "fabs")),
    )
)

_MOST_CALLS, _MOST_LINES = 512, 6
"""Where a block makes more calls than this, memory is not what it waits for; more lines at once hold up the calls."""

CODES, FLOATS = 0, 1
"""Modes of `run`: rows are int64 codes, or float64 values."""


@dataclass(frozen=True)
class Assembly:
    """LLVM assembly and what a caller of `run` must know.

    `kernels` is the Program's straight-line code, `turns` that of the ports, the same for every Program; `loops` goes
    over rows and has the entry point. `frames` frames of `frame_bytes`
    are processed at a time in `work_bytes` of memory (64-byte aligned); `lanes` events in each.
    """

    kernels: str
    turns: str
    loops: str
    frames: int
    work_bytes: int
    lanes: int


def float_scales(program: Program, port: Port) -> list[float] | None:
    """Scale of each element of a port where `float64(code) * scale` rounds at most once; None where it may not."""
    lo, hi = program.port_range(port)
    found: list[float] = []
    for scale, low, high in zip(program.port_scale(port), lo.tolist(), hi.tolist(), strict=True):
        exact = Fraction(scale)
        real = float(exact)
        power = exact.numerator & (exact.numerator - 1) == 0 and exact.denominator & (exact.denominator - 1) == 0
        small = max(abs(low), abs(high)) <= 1 << 53
        normal = isfinite(real) and abs(real) > 1e-250
        if Fraction(real) != exact or not normal or not (small or power):
            return None
        found.append(real)
    return found


def assemble(program: Program, host: Host) -> Assembly:
    """Write the emulator of a Program for a host."""
    jobs = [recover(job, host) for job in jobs_of(program)]
    shared = Globals()
    budget = Budget()
    plans = [plan(job, host, budget) for job in jobs]
    lanes = [value_lanes(planned) for planned in plans]
    placed = [place_slots(planned, bits, host.lanes) for planned, bits in zip(plans, lanes, strict=True)]
    layout = lay_out(program, jobs, max((size for _, size in placed), default=0), host.lanes)
    functions: list[str] = []
    calls: list[list[str]] = []
    for j, (planned, bits, (slots, _)) in enumerate(zip(plans, lanes, placed, strict=True)):
        frame = Frame(planned, bits, slots, layout, host)
        names = [f"@job{j}.{c}" for c in range(len(planned.chunks))]
        for c, chunk in enumerate(planned.chunks):
            functions.append(ChunkEmitter(frame, shared).function(names[c], chunk, first=c == 0))
        calls.append(names)
    count = max(1, min(_MOST_FRAMES, _WORK_BYTES // layout.frame))
    attributes = 'attributes #0 = { nounwind "prefer-vector-width"="512" }\n'
    ahead = _rows_ahead(program, layout, count * host.lanes)
    kernels = shared.text() + "".join(functions) + _compute(jobs, calls, layout, count, ahead) + attributes
    loops, work = _rows(program, layout, host, count)
    turns = "".join(spread(host.lanes, size) + collect(host.lanes, size) for size in SIZES) + attributes
    return Assembly(kernels, turns, loops + attributes, count, work, host.lanes)


def _rows_ahead(program: Program, layout: Layout, block: int) -> int:
    """Bytes of the first input's next block, which `compute` fetches."""
    ports = [port for port in program.inputs if len(port.index) and port.array in layout.arrays]
    return block * 8 * len(ports[0].index) if ports else 0


def _fetches(tag: str, number: str, lines: int) -> str:
    """Fetch `lines` cache lines of the next rows to the second-level cache; `number` calls have done so before.

    Behind the last row a fetch reads nothing and does no harm.
    """
    if not lines:
        return ""
    text = f"  %{tag}.o = mul i64 {number}, {lines * LINE}\n  %{tag}.p = getelementptr i8, ptr %ahead, i64 %{tag}.o\n"
    for k in range(lines):
        text += (
            f"  %{tag}.{k} = getelementptr i8, ptr %{tag}.p, i64 {k * LINE}\n"
            f"  call void @llvm.prefetch.p0(ptr %{tag}.{k}, i32 0, i32 2, i32 1)\n"
        )
    return text


def _compute(jobs: list[Job], calls: list[list[str]], layout: Layout, count: int, ahead: int) -> str:
    """`void compute(frames, n, rows)`: every job at every position, chunk by chunk, for n of up to `count` frames.

    Between the calls it fetches `ahead` bytes of the next rows, some lines at a time, since more would hold up the
    calls: the processor's own prefetcher stops where a block's rows end.
    """
    total = sum(job.positions * len(names) for job, names in zip(jobs, calls, strict=True)) * count
    share = -(-ahead // LINE // total) if 0 < total <= _MOST_CALLS else 0
    share = share if share <= _MOST_LINES else 0
    before_all = 0
    head: list[str] = []
    lines = ["entry:", "  br label %j0"]
    for j, (job, names) in enumerate(zip(jobs, calls, strict=True)):
        following = f"%j{j + 1}"
        loads, arguments = "", ""
        for k in moving(job, layout):
            store = layout.arrays[job.pointers[k].array]
            bases = job.pointers[k].base.astype(np.int64) * store.stride + store.offset
            head.append(constants(f"@base{j}.{k}", bases))
            loads += (
                f"  %b{j}.{k}.p = getelementptr i64, ptr @base{j}.{k}, i64 %pos{j}\n"
                f"  %b{j}.{k} = load i64, ptr %b{j}.{k}.p\n"
            )
            arguments += f", i64 %b{j}.{k}"
        inside = ""
        # Chunk by chunk over all frames: a chunk's code is fetched once for all of them.
        for c, name in enumerate(names):
            fetch = ""
            if job.positions == 1:
                fetch = f"  %n{j}.{c} = add i64 %i{j}.{c}, {before_all * count}\n"
                fetch += _fetches(f"a{j}.{c}", f"%n{j}.{c}", share)
                before_all += 1
            here, after = f"j{j}.c{c}", f"j{j}.c{c + 1}" if c + 1 < len(names) else f"j{j}.next"
            before = f"j{j}.c{c - 1}" if c else f"j{j}.pos"
            inside += f"""{here}:
  %i{j}.{c} = phi i64 [0, %{before}], [%i{j}.{c}.1, %{here}]
  %o{j}.{c} = mul i64 %i{j}.{c}, {layout.frame}
  %f{j}.{c} = getelementptr i8, ptr %frames, i64 %o{j}.{c}
{fetch}  call void {name}(ptr %f{j}.{c}{arguments})
  %i{j}.{c}.1 = add i64 %i{j}.{c}, 1
  %m{j}.{c} = icmp slt i64 %i{j}.{c}.1, %n
  br i1 %m{j}.{c}, label %{here}, label %{after}
"""
        lines.append(
            f"""j{j}:
  br label %j{j}.pos
j{j}.pos:
  %pos{j} = phi i64 [0, %j{j}], [%pos{j}.1, %j{j}.next]
{loads}  br label %j{j}.c0
{inside}j{j}.next:
  %pos{j}.1 = add i64 %pos{j}, 1
  %again{j} = icmp slt i64 %pos{j}.1, {job.positions}
  br i1 %again{j}, label %j{j}.pos, label {following}"""
        )
    lines += [f"j{len(jobs)}:", "  ret void"]
    declared = "declare void @llvm.prefetch.p0(ptr, i32, i32, i32)\n"
    return (
        declared
        + "".join(head)
        + "define void @compute(ptr %frames, i64 %n, ptr %ahead) #0 {\n"
        + "\n".join(lines)
        + "\n}\n"
    )


def _offsets(name: str, offsets: list[int]) -> str:
    return constants(f"@{name}", np.array(offsets, np.int64))


def _rows(program: Program, layout: Layout, host: Host, count: int) -> tuple[str, int]:
    """The module of loops: conversions, turns and `run`; and the bytes of working memory."""
    lanes = host.lanes
    block = count * lanes
    heads, functions, steps_in, steps_out, ahead = "", "", "", "", ""
    buffer_bytes = 0
    has_input = False
    for k, port in enumerate(program.inputs):
        elements = len(port.index)
        if elements == 0 or port.array not in layout.arrays:
            continue
        store = layout.arrays[port.array]
        side = columns_of(store.bytes)
        groups = -(-elements // side)
        row = elements * store.bytes
        offsets = [store.offset + int(i) * store.stride for i in port.index]
        heads += _offsets(f"in{k}", offsets + [layout.pad] * (groups * side - elements))
        buffer_bytes = max(buffer_bytes, block * row + 64)
        lo, hi = program.port_range(port)
        functions += codes_in(f"@codes_in{k}", lo.tolist(), hi.tolist(), store)
        if port.quantiser is not None:
            functions += floats_in(f"@floats_in{k}", port.quantiser, elements, port.shape, store)
            convert = f"@floats_in{k}"
        else:
            convert = f"@codes_in{k}"
        steps_in += _step_in(k, elements, groups, convert, layout.frame, store.bytes, lanes)
        has_input = True
        ahead = ahead or (
            f"  %next_row = add i64 %at, %n\n  %ahead.o = mul i64 %next_row, {elements * 8}\n"
            f"  %ahead = getelementptr i8, ptr %ir{k}, i64 %ahead.o\n"
        )
    last = "out.start"
    for k, port in enumerate(program.outputs):
        elements = len(port.index)
        if elements == 0:
            continue
        store = layout.arrays[port.array]
        side = columns_of(store.bytes)
        groups = -(-elements // side)
        offsets = [store.offset + int(i) * store.stride for i in port.index]
        heads += _offsets(f"out{k}", offsets + [layout.pad] * (groups * side - elements))
        buffer_bytes = max(buffer_bytes, block * elements * store.bytes + 64)
        scales = float_scales(program, port)
        functions += values_out(f"@codes_out{k}", store, elements, None)
        functions += values_out(f"@floats_out{k}", store, elements, scales or [1.0] * elements)
        steps_out += _step_out(k, elements, groups, layout.frame, store.bytes, lanes, last)
        last = f"out{k}.done"
    frames_bytes = count * layout.frame
    failed = "failed:\n  ret i64 1\n" if has_input else ""
    run = f"""define i64 @run(ptr %in, ptr %out, i64 %begin, i64 %end, ptr %work, i64 %from, i64 %to) #0 {{
entry:
  %buffer = getelementptr i8, ptr %work, i64 {frames_bytes}
  %some = icmp slt i64 %begin, %end
  br i1 %some, label %block, label %finish
block:
  %at = phi i64 [%begin, %entry], [%next_at, %out.end]
  %left = sub i64 %end, %at
  %n = call i64 @llvm.smin.i64(i64 %left, i64 {block})
  %n.up = add i64 %n, {lanes - 1}
  %frames = sdiv i64 %n.up, {lanes}
  %rows = mul i64 %frames, {lanes}
{steps_in}{ahead}  call void @compute(ptr %work, i64 %frames, ptr {"%ahead" if ahead else "null"})
  br label %out.start
out.start:
{steps_out}  br label %out.end
out.end:
  %next_at = add i64 %at, {block}
  %more = icmp slt i64 %next_at, %end
  br i1 %more, label %block, label %finish
{failed}finish:
  ret i64 0
}}
"""
    return _DECLARED + heads + functions + run, frames_bytes + buffer_bytes + LINE


def _step_in(k: int, elements: int, groups: int, convert: str, frame: int, size: int, lanes: int) -> str:
    """Convert port k's rows into the buffer, repeat the last row in lanes without an event, turn frame by frame.

    A repeated row keeps lanes without an event inside every range: no table is read outside.
    """
    row = elements * size
    return f"""  %ip{k} = getelementptr ptr, ptr %in, i64 {k}
  %ir{k} = load ptr, ptr %ip{k}
  %io{k} = mul i64 %at, {elements * 8}
  %ix{k} = getelementptr i8, ptr %ir{k}, i64 %io{k}
  %if{k} = icmp eq i64 %from, {FLOATS}
  br i1 %if{k}, label %in{k}.floats, label %in{k}.codes
in{k}.floats:
  %sf{k} = call i1 {convert}(ptr %ix{k}, i64 %n, ptr %buffer)
  br label %in{k}.made
in{k}.codes:
  %sc{k} = call i1 @codes_in{k}(ptr %ix{k}, i64 %n, ptr %buffer)
  br label %in{k}.made
in{k}.made:
  %st{k} = phi i1 [%sf{k}, %in{k}.floats], [%sc{k}, %in{k}.codes]
  br i1 %st{k}, label %failed, label %in{k}.check
in{k}.check:
  %full{k} = icmp sge i64 %n, %rows
  br i1 %full{k}, label %in{k}.turn, label %in{k}.pad
in{k}.pad:
  %pr{k} = phi i64 [%n, %in{k}.check], [%pr{k}.1, %in{k}.pad]
  %lr{k} = sub i64 %n, 1
  %lo{k} = mul i64 %lr{k}, {row}
  %lp{k} = getelementptr i8, ptr %buffer, i64 %lo{k}
  %po{k} = mul i64 %pr{k}, {row}
  %pp{k} = getelementptr i8, ptr %buffer, i64 %po{k}
  call void @llvm.memcpy.p0.p0.i64(ptr %pp{k}, ptr %lp{k}, i64 {row}, i1 false)
  %pr{k}.1 = add i64 %pr{k}, 1
  %pm{k} = icmp slt i64 %pr{k}.1, %rows
  br i1 %pm{k}, label %in{k}.pad, label %in{k}.turn
in{k}.turn:
  %tf{k} = phi i64 [0, %in{k}.check], [0, %in{k}.pad], [%tf{k}.1, %in{k}.turn]
  %to{k} = mul i64 %tf{k}, {frame}
  %tp{k} = getelementptr i8, ptr %work, i64 %to{k}
  %bo{k} = mul i64 %tf{k}, {lanes * row}
  %bp{k} = getelementptr i8, ptr %buffer, i64 %bo{k}
  call void @spread{size}(ptr %bp{k}, ptr %tp{k}, i64 {row}, i64 {groups}, ptr @in{k})
  %tf{k}.1 = add i64 %tf{k}, 1
  %tm{k} = icmp slt i64 %tf{k}.1, %frames
  br i1 %tm{k}, label %in{k}.turn, label %in{k}.done
in{k}.done:
"""


def _step_out(k: int, elements: int, groups: int, frame: int, size: int, lanes: int, before: str) -> str:
    return f"""  br label %out{k}.turn
out{k}.turn:
  %vf{k} = phi i64 [0, %{before}], [%vf{k}.1, %out{k}.turn]
  %vo{k} = mul i64 %vf{k}, {frame}
  %vp{k} = getelementptr i8, ptr %work, i64 %vo{k}
  %wo{k} = mul i64 %vf{k}, {lanes * elements * size}
  %wp{k} = getelementptr i8, ptr %buffer, i64 %wo{k}
  call void @collect{size}(ptr %wp{k}, ptr %vp{k}, i64 {elements * size}, i64 {groups}, ptr @out{k})
  %vf{k}.1 = add i64 %vf{k}, 1
  %vm{k} = icmp slt i64 %vf{k}.1, %frames
  br i1 %vm{k}, label %out{k}.turn, label %out{k}.write
out{k}.write:
  %xp{k} = getelementptr ptr, ptr %out, i64 {k}
  %xr{k} = load ptr, ptr %xp{k}
  %xo{k} = mul i64 %at, {elements * 8}
  %xx{k} = getelementptr i8, ptr %xr{k}, i64 %xo{k}
  %xf{k} = icmp eq i64 %to, {FLOATS}
  br i1 %xf{k}, label %out{k}.floats, label %out{k}.codes
out{k}.floats:
  %yf{k} = call i1 @floats_out{k}(ptr %buffer, i64 %n, ptr %xx{k})
  br label %out{k}.done
out{k}.codes:
  %yc{k} = call i1 @codes_out{k}(ptr %buffer, i64 %n, ptr %xx{k})
  br label %out{k}.done
out{k}.done:
"""
