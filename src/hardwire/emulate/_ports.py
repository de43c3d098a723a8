"""LLVM assembly of the ports: rows of float64 or int64 in and out, and the turn between rows and lanes.

A port is converted row by row into a small buffer of its array's own integers (contiguous, so LLVM's vectoriser takes
it), then turned into lanes 16 bytes of every row at a time by in-register interleaving; outputs the other way round.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import gcd

import numpy as np

from hardwire.emulate._layout import Store
from hardwire.fixed import Overflow, Rounding
from hardwire.quantiser import Quantiser

_UNROLLED = 32
"""Float64 that LLVM's loops take at once: four registers of eight."""

_MOST_ENTRIES = 4096
"""Entries of a table of constants that is repeated for several rows."""

_NEAR = 1 << 51
_EXACT = 1 << 53
_FAR = 1 << 62

ARRAYS = ("scale", "zero", "lo", "hi")
"""What a quantiser may vary by element."""


def double(value: float) -> str:
    """A float64 as LLVM writes it exactly."""
    return f"0x{struct.unpack('<Q', struct.pack('<d', float(value)))[0]:016X}"


@dataclass
class Values:
    """One per element of a port, as an LLVM constant array or, where all are equal, as a literal.

    The array holds them `repeat` times, for a loop over so many rows.
    """

    name: str
    kind: str
    values: list[str]
    repeat: int = 1

    @property
    def constant(self) -> bool:
        """Whether one literal does."""
        return len(set(self.values)) == 1

    def declaration(self) -> str:
        """The constant array, or nothing."""
        if self.constant:
            return ""
        body = ", ".join([f"{self.kind} {v}" for v in self.values] * self.repeat)
        count = len(self.values) * self.repeat
        return f"{self.name} = internal constant [{count} x {self.kind}] [{body}], align 64\n"

    def load(self, tag: str, index: str) -> tuple[str, str]:
        """(lines, operand) for element `index`."""
        if self.constant:
            return "", self.values[0]
        return (
            f"  %{tag}.p = getelementptr {self.kind}, ptr {self.name}, i64 {index}\n"
            f"  %{tag} = load {self.kind}, ptr %{tag}.p\n"
        ), f"%{tag}"


def rows_at_once(elements: int) -> int:
    """Rows that a loop with tables takes at once, so that whole vectors of the vectoriser fill them."""
    return min(_UNROLLED // gcd(_UNROLLED, elements), max(1, _MOST_ENTRIES // elements))


def loop_function(name: str, kind: str, elements: int, parts: list[Values], body: str) -> str:
    """`kind name(ptr x, i64 n, ptr y)`: runs `body` for every integer %k of n rows, with %e into the `parts`' arrays.

    The body sets %status (`kind`) from the loop's %s, the `or` of which is returned. One loop takes several rows: all
    where no table is read, otherwise as many as the tables hold, since short loops are not vectorised.
    """
    tables = [part for part in parts if not part.constant]
    rows = tables[0].repeat if tables else 0
    group = f"call i64 @llvm.smin.i64(i64 %left, i64 {rows * elements})" if tables else "add i64 %total, 0"
    return (
        "".join(part.declaration() for part in parts)
        + f"""define internal {kind} {name}(
    ptr noalias readonly %x, i64 %n, ptr noalias %y) "prefer-vector-width"="512" {{
entry:
  %total = mul i64 %n, {elements}
  %none = icmp sle i64 %total, 0
  br i1 %none, label %done, label %rows
rows:
  %k0 = phi i64 [0, %entry], [%k1, %next]
  %s0 = phi {kind} [0, %entry], [%status, %next]
  %left = sub i64 %total, %k0
  %inner = {group}
  br label %cells
cells:
  %e = phi i64 [0, %rows], [%e1, %cells]
  %s = phi {kind} [%s0, %rows], [%status, %cells]
  %k = add nuw nsw i64 %k0, %e
{body}  %e1 = add nuw nsw i64 %e, 1
  %more = icmp ult i64 %e1, %inner
  br i1 %more, label %cells, label %next
next:
  %k1 = add nuw nsw i64 %k0, %inner
  %again = icmp slt i64 %k1, %total
  br i1 %again, label %rows, label %done
done:
  %all = phi {kind} [0, %entry], [%status, %next]
  ret {kind} %all
}}
"""
    )


def codes_in(name: str, lo: list[int], hi: list[int], store: Store) -> str:
    """`i1 name(rows of int64, n, buffer)`: narrow codes to the array's integers; whether one is out of its range."""
    repeat = rows_at_once(len(lo))
    lows = Values(f"{name}.lo", "i64", [str(v) for v in lo], repeat)
    highs = Values(f"{name}.hi", "i64", [str(v) for v in hi], repeat)
    load_lo, low = lows.load("lo", "%e")
    load_hi, high = highs.load("hi", "%e")
    bits = 8 * store.bytes
    narrow = f"trunc i64 %v to i{bits}" if bits < 64 else "add i64 %v, 0"
    body = f"""  %vp = getelementptr i64, ptr %x, i64 %k
  %v = load i64, ptr %vp, align 8
{load_lo}{load_hi}  %under = icmp slt i64 %v, {low}
  %over = icmp sgt i64 %v, {high}
  %bad = or i1 %under, %over
  %status = or i1 %s, %bad
  %c = {narrow}
  %yp = getelementptr i{bits}, ptr %y, i64 %k
  store i{bits} %c, ptr %yp, align {store.bytes}
"""
    return loop_function(name, "i1", len(lo), [lows, highs], body)


def _round(rounding: Rounding) -> str:
    """Lines that set %rd to %s2 rounded; the same steps as `fixed.round_real`."""
    whole = {Rounding.TRN: "floor", Rounding.TRN_ZERO: "trunc", Rounding.CEIL: "ceil", Rounding.RND_CONV: "roundeven"}
    if rounding in whole:
        return f"  %rd = call double @llvm.{whole[rounding]}.f64(double %s2)\n"
    lines = "  %below = call double @llvm.floor.f64(double %s2)\n"
    if rounding is Rounding.AWAY:
        return lines + (
            "  %above = call double @llvm.ceil.f64(double %s2)\n"
            "  %pos = fcmp oge double %s2, 0.0\n"
            "  %rd = select i1 %pos, double %above, double %below\n"
        )
    lines += "  %rest = fsub double %s2, %below\n"
    if rounding is Rounding.RND:
        lines += "  %up = fcmp oge double %rest, 5.0e-1\n"
    elif rounding is Rounding.RND_MIN_INF:
        lines += "  %up = fcmp ogt double %rest, 5.0e-1\n"
    else:
        side = "olt" if rounding is Rounding.RND_ZERO else "oge"
        lines += (
            "  %far = fcmp ogt double %rest, 5.0e-1\n"
            "  %tie = fcmp oeq double %rest, 5.0e-1\n"
            f"  %side = fcmp {side} double %s2, 0.0\n"
            "  %tied = and i1 %tie, %side\n"
            "  %up = or i1 %far, %tied\n"
        )
    return lines + "  %one = select i1 %up, double 1.0, double 0.0\n  %rd = fadd double %below, %one\n"


def _steps(mantissa: int | None) -> tuple[str, str]:
    """Lines that set %s2 from %s1 and, after rounding, %q from %rd: in units of a minifloat's step, if it is one."""
    if mantissa is None:
        return f"  %s2 = fadd double %s1, {double(-0.0)}\n", f"  %q = fadd double %rd, {double(-0.0)}\n"
    # A double without its sign and fraction is the power of two of its leading one.
    before = (
        "  %raw = bitcast double %s1 to i64\n"
        f"  %exponent = and i64 %raw, {0x7FF << 52}\n"
        "  %octave = bitcast i64 %exponent to double\n"
        f"  %kept = fmul double %octave, {double(2.0**-mantissa)}\n"
        "  %small = fcmp olt double %kept, 1.0\n"
        f"  %large = fcmp ogt double %kept, {double(float(_FAR))}\n"
        "  %step1 = select i1 %small, double 1.0, double %kept\n"
        f"  %step = select i1 %large, double {double(float(_FAR))}, double %step1\n"
        "  %s2 = fdiv double %s1, %step\n"
    )
    return before, "  %q = fmul double %rd, %step\n"


def floats_in(name: str, quantiser: Quantiser, elements: int, shape: tuple[int, ...], store: Store) -> str:
    """`i1 name(rows of float64, n, buffer)`: the port's quantiser, the same as `Quantiser.codes`; whether one is bad.

    NaN is bad; an infinity saturates, or is bad where the overflow mode wraps.
    """
    fast = _floats_fast(f"{name}.fast", quantiser, elements, shape, store)
    if fast is None:
        return _floats_any(name, quantiser, elements, shape, store)
    # A block with a value that the fast loop may not take goes through the other one, which also tells why.
    return (
        _floats_any(f"{name}.any", quantiser, elements, shape, store)
        + fast
        + f"""define internal i1 {name}(ptr %x, i64 %n, ptr %y) {{
  %far = call i1 {name}.fast(ptr %x, i64 %n, ptr %y)
  br i1 %far, label %slow, label %done
slow:
  %bad = call i1 {name}.any(ptr %x, i64 %n, ptr %y)
  ret i1 %bad
done:
  ret i1 false
}}
"""
    )


def _scaled(name: str, quantiser: Quantiser, shape: tuple[int, ...], repeat: int) -> tuple[Values, str]:
    """Scales, and lines that set %s1 to %vn over its scale, rounded once."""
    scale = np.asarray(quantiser.reshaped(shape).scale, np.float64).ravel().tolist()
    power = all(float(np.frexp(s)[0]) == 0.5 and np.isfinite(1.0 / s) for s in scale)
    scales = Values(f"{name}.scale", "double", [double(1.0 / s if power else s) for s in scale], repeat)
    load, by = scales.load("by", "%e")
    # A multiplication by the exact reciprocal of a power of two rounds as the division does.
    return scales, f"{load}  %s1 = {'fmul' if power else 'fdiv'} double %vn, {by}\n"


def _limits(quantiser: Quantiser, shape: tuple[int, ...]) -> tuple[list[int], list[int]]:
    # As numpy does: `lo - zero` in 64 bits.
    low, high = (np.asarray(bound, np.int64).ravel().tolist() for bound in quantiser.reshaped(shape).limits)
    return low, high


def _floats_fast(name: str, quantiser: Quantiser, elements: int, shape: tuple[int, ...], store: Store) -> str | None:
    """`i1 name(rows of float64, n, buffer)`, right unless it returns true; None where the quantiser needs more.

    A whole number below 2^51 plus 1.5 · 2^52 is a float64 whose low bits are the number: no conversion is needed.
    """
    low, high = _limits(quantiser, shape)
    wraps = quantiser.overflow is Overflow.WRAP
    near = all(abs(v) < _NEAR for v in (*low, *high))
    clips = quantiser.overflow in (Overflow.SAT, Overflow.SAT_SYM) and near
    if not ((wraps and near) or clips) or quantiser.zero_first or quantiser.mantissa is not None or store.bytes > 4:
        return None
    repeat = rows_at_once(elements)
    bits = 8 * store.bytes
    scales, scaled = _scaled(name, quantiser, shape, repeat)
    kind = f"i{bits}" if wraps else "double"
    lows, highs = (
        Values(f"{name}.{tag}", kind, [str(v) if wraps else double(float(v)) for v in values], repeat)
        for tag, values in (("lo", low), ("hi", high))
    )
    load_lo, lo = lows.load("lo", "%e")
    load_hi, hi = highs.load("hi", "%e")
    before, after = _steps(None)
    body = f"""  %vp = getelementptr double, ptr %x, i64 %k
  %vn = load double, ptr %vp, align 8
{scaled}"""
    if wraps:
        body += (
            f"  %size = call double @llvm.fabs.f64(double %s1)\n  %beyond = fcmp uge double %size, {double(_NEAR)}\n"
        )
    else:
        body += "  %beyond = fcmp uno double %s1, 0.0\n"
    body += f"  %status = or i1 %s, %beyond\n{before}{_round(quantiser.rounding)}{after}{load_lo}{load_hi}"
    if clips:
        body += (
            f"  %below_lo = fcmp ogt double {lo}, %q\n  %c1 = select i1 %below_lo, double {lo}, double %q\n"
            f"  %above_hi = fcmp olt double {hi}, %c1\n  %c2 = select i1 %above_hi, double {hi}, double %c1\n"
        )
    body += (
        f"  %lifted_c = fadd double {'%c2' if clips else '%q'}, {double(1.5 * 2.0**52)}\n"
        f"  %w64 = bitcast double %lifted_c to i64\n  %w = trunc i64 %w64 to i{bits}\n"
    )
    if clips or all(hi - lo == (1 << bits) - 1 for lo, hi in zip(low, high, strict=True)):
        body += f"  %c = add i{bits} %w, 0\n"
    else:
        body += (
            f"  %range = sub i{bits} {hi}, {lo}\n  %lifted = sub i{bits} %w, {lo}\n"
            f"  %phase = and i{bits} %lifted, %range\n  %c = add i{bits} %phase, {lo}\n"
        )
    body += f"  %yp = getelementptr i{bits}, ptr %y, i64 %k\n  store i{bits} %c, ptr %yp, align {store.bytes}\n"
    used = [scales, lows, highs] if load_lo or load_hi else [scales]
    return loop_function(name, "i1", elements, used, body)


def _floats_any(name: str, quantiser: Quantiser, elements: int, shape: tuple[int, ...], store: Store) -> str:
    """`i1 name(rows of float64, n, buffer)` for every quantiser."""
    low, high = _limits(quantiser, shape)
    zero = np.asarray(quantiser.reshaped(shape).zero, np.int64).ravel().tolist()
    near = all(abs(v) <= _EXACT for v in (*low, *high))
    repeat = rows_at_once(elements)
    scales, scaled = _scaled(name, quantiser, shape, repeat)
    zeros = Values(f"{name}.zero", "double", [double(float(z)) for z in zero], repeat)
    wraps = quantiser.overflow in (Overflow.WRAP, Overflow.WRAP_SM)
    in_floats = near and not wraps
    kind = "double" if in_floats else "i64"
    lows, highs = (
        Values(f"{name}.{tag}", kind, [double(float(v)) if in_floats else str(v) for v in values], repeat)
        for tag, values in (("lo", low), ("hi", high))
    )
    parts = [scales, lows, highs]
    load_lo, lo = lows.load("lo", "%e")
    load_hi, hi = highs.load("hi", "%e")
    bad = "  %bad = fcmp uno double %v, 0.0\n"
    if wraps:
        bad = (
            f"  %size = call double @llvm.fabs.f64(double %v)\n  %bad = fcmp ueq double %size, {double(float('inf'))}\n"
        )
    body = f"""  %vp = getelementptr double, ptr %x, i64 %k
  %v = load double, ptr %vp, align 8
{bad}  %status = or i1 %s, %bad
  %vn = select i1 %bad, double 0.0, double %v
{scaled}"""
    if quantiser.zero_first:
        parts.append(zeros)
        load_zero, z = zeros.load("z", "%e")
        body += f"{load_zero}  %s2 = fadd double %s1, {z}\n{_round(quantiser.rounding)}  %q = fsub double %rd, {z}\n"
    else:
        before, after = _steps(quantiser.mantissa)
        body += f"{before}{_round(quantiser.rounding)}{after}"
    body += load_lo + load_hi
    bits = 8 * store.bytes
    if in_floats:
        narrow = 32 if all(-(1 << 31) <= v < 1 << 31 for v in (*low, *high)) else 64
        body += f"  %below_lo = fcmp olt double %q, {lo}\n  %above_hi = fcmp ogt double %q, {hi}\n"
        if quantiser.overflow is Overflow.SAT_ZERO:
            body += "  %out = or i1 %below_lo, %above_hi\n  %c2 = select i1 %out, double 0.0, double %q\n"
        else:
            body += (
                f"  %c1 = select i1 %below_lo, double {lo}, double %q\n"
                f"  %c2 = select i1 %above_hi, double {hi}, double %c1\n"
            )
        body += f"  %c = fptosi double %c2 to i{narrow}\n"
    else:
        narrow = 64
        far = double(float(_FAR))
        body += (
            f"  %low = fcmp olt double %q, {double(-float(_FAR))}\n  %high = fcmp ogt double %q, {far}\n"
            f"  %q1 = select i1 %low, double {double(-float(_FAR))}, double %q\n"
            f"  %q2 = select i1 %high, double {far}, double %q1\n"
            "  %w = fptosi double %q2 to i64\n"
        )
        body += _overflow(quantiser.overflow, lo, hi)
    if narrow < bits:
        body += f"  %n0 = sext i{narrow} %c to i{bits}\n"
    elif narrow > bits:
        body += f"  %n0 = trunc i{narrow} %c to i{bits}\n"
    else:
        body += f"  %n0 = add i{bits} %c, 0\n"
    body += f"  %yp = getelementptr i{bits}, ptr %y, i64 %k\n  store i{bits} %n0, ptr %yp, align {store.bytes}\n"
    return loop_function(name, "i1", elements, parts, body)


def _overflow(overflow: Overflow, lo: str, hi: str) -> str:
    """Lines that set %c from the int64 %w; the same steps as `fixed.apply_overflow`."""
    if overflow in (Overflow.SAT, Overflow.SAT_SYM):
        return f"  %m = call i64 @llvm.smax.i64(i64 %w, i64 {lo})\n  %c = call i64 @llvm.smin.i64(i64 %m, i64 {hi})\n"
    if overflow is Overflow.SAT_ZERO:
        return (
            f"  %lt = icmp slt i64 %w, {lo}\n  %gt = icmp sgt i64 %w, {hi}\n  %out = or i1 %lt, %gt\n"
            "  %c = select i1 %out, i64 0, i64 %w\n"
        )
    # The span is a power of two: the floored remainder is a mask.
    lines = f"  %range = sub i64 {hi}, {lo}\n  %lifted = sub i64 %w, {lo}\n"
    if overflow is Overflow.WRAP:
        return lines + f"  %phase = and i64 %lifted, %range\n  %c = add i64 %phase, {lo}\n"
    return lines + (
        "  %double = shl i64 %range, 1\n  %twice = or i64 %double, 1\n  %phase = and i64 %lifted, %twice\n"
        "  %rising = icmp sle i64 %phase, %range\n  %falling = sub i64 %twice, %phase\n"
        f"  %fold = select i1 %rising, i64 %phase, i64 %falling\n  %c = add i64 %fold, {lo}\n"
    )


def values_out(name: str, store: Store, elements: int, scale: list[float] | None) -> str:
    """`i1 name(buffer, n, rows)`: integers to int64 codes, or to float64 times `scale` (one rounding at most)."""
    bits = 8 * store.bytes
    wide = "sext" if store.signed else "zext"
    code = f"  %c = {wide} i{bits} %v to i64\n" if bits < 64 else "  %c = add i64 %v, 0\n"
    lines = (
        f"  %vp = getelementptr i{bits}, ptr %x, i64 %k\n"
        f"  %v = load i{bits}, ptr %vp, align {store.bytes}\n{code}  %status = or i1 %s, false\n"
    )
    if scale is None:
        lines += "  %yp = getelementptr i64, ptr %y, i64 %k\n  store i64 %c, ptr %yp, align 8\n"
        return loop_function(name, "i1", elements, [], lines)
    scales = Values(f"{name}.scale", "double", [double(s) for s in scale], rows_at_once(elements))
    load, by = scales.load("by", "%e")
    lines += (
        f"{load}  %d = sitofp i64 %c to double\n  %m = fmul double %d, {by}\n"
        "  %yp = getelementptr double, ptr %y, i64 %k\n  store double %m, ptr %yp, align 8\n"
    )
    return loop_function(name, "i1", elements, [scales], lines)


def columns_of(size: int) -> int:
    """How many integers of `size` bytes are turned at a time."""
    return 16 // size


def _interleave(lanes: int, size: int, high: bool) -> str:
    """Mask that interleaves the low or high halves of two vectors within every 128 bits."""
    per = columns_of(size)
    picks = []
    for block in range(lanes // per):
        for k in range(per // 2):
            at = block * per + k + (per // 2 if high else 0)
            picks += [at, lanes + at]
    return f"<{lanes} x i32> <{', '.join(f'i32 {p}' for p in picks)}>"


def _turned(names: list[str], lanes: int, size: int) -> tuple[list[str], list[str]]:
    """Lines and names of a square transposition within every 128 bits: as many perfect shuffles as the side's bits."""
    kind = f"<{lanes} x i{8 * size}>"
    low, high = _interleave(lanes, size, False), _interleave(lanes, size, True)
    lines: list[str] = []
    side = len(names)
    for stage in range(side.bit_length() - 1):
        fresh = []
        for i in range(side // 2):
            for tag, mask in (("l", low), ("h", high)):
                name = f"%t{stage}.{i}{tag}"
                lines.append(f"{name} = shufflevector {kind} {names[i]}, {kind} {names[i + side // 2]}, {mask}")
                fresh.append(name)
        names = fresh
    return lines, names


def spread(lanes: int, size: int) -> str:
    """`void @spread{size}(buffer, frame, i64 row bytes, i64 groups, offsets)`: rows of one frame to lanes.

    Column c of the rows goes to `frame + offsets[c]`; there is an offset for every column of every group.
    """
    side, bits = columns_of(size), 8 * size
    kind, part = f"<{lanes} x i{bits}>", f"<{side} x i{bits}>"
    lines: list[str] = []
    for row in range(lanes):
        lines += [
            f"%a{row}.o = mul i64 %row, {row}",
            f"%a{row} = getelementptr i8, ptr %x, i64 %a{row}.o",
            f"%l{row} = load {part}, ptr %a{row}, align {size}",
        ]
    names = [
        _joined(lines, [f"%l{block * side + r}" for block in range(lanes // side)], side, bits, f"%j{r}")
        for r in range(side)
    ]
    turned, names = _turned(names, lanes, size)
    lines += turned
    for c, name in enumerate(names):
        lines += [
            f"%q{c} = getelementptr i64, ptr %off, i64 {c}",
            f"%w{c} = load i64, ptr %q{c}, align 8",
            f"%z{c} = getelementptr i8, ptr %frame, i64 %w{c}",
            f"store {kind} {name}, ptr %z{c}, align {min(64, size * lanes)}",
        ]
    return _group_loop(f"@spread{size}", "ptr %x0, ptr %frame, i64 %row", lines, side)


def _joined(lines: list[str], names: list[str], width: int, bits: int, tag: str) -> str:
    """Append lines that concatenate equally long vectors pairwise; returns the result's name."""
    level = 0
    while len(names) > 1:
        index = ", ".join(f"i32 {k}" for k in range(2 * width))
        kind = f"<{width} x i{bits}>"
        fresh = []
        for i in range(0, len(names), 2):
            name = f"{tag}.{level}.{i}"
            lines.append(
                f"{name} = shufflevector {kind} {names[i]}, {kind} {names[i + 1]}, <{2 * width} x i32> <{index}>"
            )
            fresh.append(name)
        names, width, level = fresh, 2 * width, level + 1
    return names[0]


def collect(lanes: int, size: int) -> str:
    """`void @collect{size}(buffer, frame, i64 row bytes, i64 groups, offsets)`: lanes of one frame to rows.

    Rows follow each other without a gap. Every store is 16 bytes long: what a row's last one writes behind the row's
    end is written again by the next row, for groups go from the last to the first and rows upwards.
    """
    side, bits = columns_of(size), 8 * size
    kind, part = f"<{lanes} x i{bits}>", f"<{side} x i{bits}>"
    lines: list[str] = []
    for c in range(side):
        lines += [
            f"%q{c} = getelementptr i64, ptr %off, i64 {c}",
            f"%w{c} = load i64, ptr %q{c}, align 8",
            f"%z{c} = getelementptr i8, ptr %frame, i64 %w{c}",
            f"%c{c} = load {kind}, ptr %z{c}, align {min(64, size * lanes)}",
        ]
    turned, names = _turned([f"%c{c}" for c in range(side)], lanes, size)
    lines += turned
    for block in range(lanes // side):
        index = ", ".join(f"i32 {block * side + k}" for k in range(side))
        for r, name in enumerate(names):
            row = block * side + r
            lines += [
                f"%s{row} = shufflevector {kind} {name}, {kind} poison, <{side} x i32> <{index}>",
                f"%a{row}.o = mul i64 %row, {row}",
                f"%a{row} = getelementptr i8, ptr %x, i64 %a{row}.o",
                f"store {part} %s{row}, ptr %a{row}, align {size}",
            ]
    return _group_loop(f"@collect{size}", "ptr %x0, ptr %frame, i64 %row", lines, side, backwards=True)


def _group_loop(name: str, arguments: str, lines: list[str], side: int, backwards: bool = False) -> str:
    body = "\n  ".join(lines)
    place = "sub i64 %last, %g" if backwards else "add i64 %g, 0"
    return f"""define void {name}({arguments}, i64 %groups, ptr %off0) #0 {{
entry:
  %last = sub i64 %groups, 1
  br label %loop
loop:
  %g = phi i64 [0, %entry], [%g1, %loop]
  %place = {place}
  %x.o = mul i64 %place, 16
  %x = getelementptr i8, ptr %x0, i64 %x.o
  %off.o = mul i64 %place, {side}
  %off = getelementptr i64, ptr %off0, i64 %off.o
  {body}
  %g1 = add i64 %g, 1
  %more = icmp slt i64 %g1, %groups
  br i1 %more, label %loop, label %end
end:
  ret void
}}
"""
