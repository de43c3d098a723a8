"""LLVM assembly of the ports: rows of float64 or int64 in and out, and the turn between rows and lanes.

A port is converted row by row into a small buffer of its array's own integers (contiguous, so LLVM's vectoriser takes
it), then turned into lanes 16 bytes of every row at a time by in-register interleaving; outputs the other way round.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from hardwire.emulate._layout import Store
from hardwire.fixed import Overflow, Rounding
from hardwire.quantiser import Quantiser

BAD_VALUE = 1
"""Status bit: a NaN, or an infinity where the overflow mode wraps."""

BAD_CODE = 2
"""Status bit: an integer outside the port's range."""

_EXACT = 1 << 53
_FAR = 1 << 62

ARRAYS = ("scale", "zero", "lo", "hi")
"""What a quantiser may vary by element."""


def double(value: float) -> str:
    """A float64 as LLVM writes it exactly."""
    return f"0x{struct.unpack('<Q', struct.pack('<d', float(value)))[0]:016X}"


@dataclass
class Values:
    """One per element of a port, as an LLVM constant array or, where all are equal, as a literal."""

    name: str
    kind: str
    values: list[str]

    @property
    def constant(self) -> bool:
        """Whether one literal does."""
        return len(set(self.values)) == 1

    def declaration(self) -> str:
        """The constant array, or nothing."""
        if self.constant:
            return ""
        body = ", ".join(f"{self.kind} {v}" for v in self.values)
        return f"{self.name} = internal constant [{len(self.values)} x {self.kind}] [{body}], align 64\n"

    def load(self, tag: str, index: str) -> tuple[str, str]:
        """(lines, operand) for element `index`."""
        if self.constant:
            return "", self.values[0]
        return (
            f"  %{tag}.p = getelementptr {self.kind}, ptr {self.name}, i64 {index}\n"
            f"  %{tag} = load {self.kind}, ptr %{tag}.p\n"
        ), f"%{tag}"


def loop_function(name: str, result: str, elements: int, flat: bool, body: str, out_stride: int) -> str:
    """`result name(ptr x, i64 n, ptr y)`: runs `body` for %k (input index), %o (output index) and %e (element).

    The body sets %status (i64) from the loop's own; rows are `elements` wide in and `out_stride` wide out. With
    `flat` rows follow each other without a gap on both sides and one loop takes them all.
    """
    inner = "%total" if flat else str(elements)
    outer = "1" if flat else "%n"
    return f"""define {result} {name}(ptr noalias readonly %x, i64 %n, ptr noalias %y) {{
entry:
  %total = mul i64 %n, {elements}
  %none = icmp sle i64 %n, 0
  br i1 %none, label %done, label %rows
rows:
  %r = phi i64 [0, %entry], [%r1, %next]
  %s0 = phi i64 [0, %entry], [%status, %next]
  %k0 = mul i64 %r, {elements}
  %o0 = mul i64 %r, {out_stride}
  br label %cells
cells:
  %e = phi i64 [0, %rows], [%e1, %cells]
  %s = phi i64 [%s0, %rows], [%status, %cells]
  %k = add i64 %k0, %e
  %o = add i64 %o0, %e
{body}  %e1 = add nuw nsw i64 %e, 1
  %more = icmp slt i64 %e1, {inner}
  br i1 %more, label %cells, label %next
next:
  %r1 = add nuw nsw i64 %r, 1
  %again = icmp slt i64 %r1, {outer}
  br i1 %again, label %rows, label %done
done:
  %all = phi i64 [0, %entry], [%status, %next]
  ret i64 %all
}}
"""


def codes_in(name: str, lo: list[int], hi: list[int], store: Store) -> str:
    """`i64 name(rows of int64, n, buffer)`: narrow codes to the array's integers; status BAD_CODE."""
    lows = Values(f"{name}.lo", "i64", [str(v) for v in lo])
    highs = Values(f"{name}.hi", "i64", [str(v) for v in hi])
    load_lo, low = lows.load("lo", "%e")
    load_hi, high = highs.load("hi", "%e")
    bits = 8 * store.bytes
    narrow = f"trunc i64 %v to i{bits}" if bits < 64 else "add i64 %v, 0"
    body = f"""  %vp = getelementptr i64, ptr %x, i64 %k
  %v = load i64, ptr %vp, align 8
{load_lo}{load_hi}  %under = icmp slt i64 %v, {low}
  %over = icmp sgt i64 %v, {high}
  %bad = or i1 %under, %over
  %bit = select i1 %bad, i64 {BAD_CODE}, i64 0
  %status = or i64 %s, %bit
  %c = {narrow}
  %yp = getelementptr i{bits}, ptr %y, i64 %o
  store i{bits} %c, ptr %yp, align {store.bytes}
"""
    flat = lows.constant and highs.constant
    return lows.declaration() + highs.declaration() + loop_function(name, "i64", len(lo), flat, body, len(lo))


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
    """`i64 name(rows of float64, n, buffer)`: the port's quantiser, the same as `Quantiser.codes`; status BAD_VALUE.

    NaN is bad; an infinity saturates, or is bad where the overflow mode wraps.
    """
    whole = quantiser.reshaped(shape)
    scale = np.asarray(whole.scale, np.float64).ravel().tolist()
    zero = np.asarray(whole.zero, np.int64).ravel().tolist()
    # As numpy does: `lo - zero` in 64 bits.
    low, high = (np.asarray(bound, np.int64).ravel().tolist() for bound in whole.limits)
    power = all(float(np.frexp(s)[0]) == 0.5 and np.isfinite(1.0 / s) for s in scale)
    near = all(abs(v) <= _EXACT for v in (*low, *high))
    scales = Values(f"{name}.scale", "double", [double(1.0 / s if power else s) for s in scale])
    zeros = Values(f"{name}.zero", "double", [double(float(z)) for z in zero])
    wraps = quantiser.overflow in (Overflow.WRAP, Overflow.WRAP_SM)
    in_floats = near and not wraps
    if in_floats:
        lows = Values(f"{name}.lo", "double", [double(float(v)) for v in low])
        highs = Values(f"{name}.hi", "double", [double(float(v)) for v in high])
    else:
        lows = Values(f"{name}.lo", "i64", [str(v) for v in low])
        highs = Values(f"{name}.hi", "i64", [str(v) for v in high])
    parts = [scales, lows, highs]
    load_scale, by = scales.load("by", "%e")
    load_lo, lo = lows.load("lo", "%e")
    load_hi, hi = highs.load("hi", "%e")
    bad = "  %bad = fcmp uno double %v, 0.0\n"
    if wraps:
        bad = (
            f"  %size = call double @llvm.fabs.f64(double %v)\n  %bad = fcmp ueq double %size, {double(float('inf'))}\n"
        )
    # A multiplication by the exact reciprocal of a power of two rounds as the division does.
    body = f"""  %vp = getelementptr double, ptr %x, i64 %k
  %v = load double, ptr %vp, align 8
{bad}  %bit = select i1 %bad, i64 {BAD_VALUE}, i64 0
  %status = or i64 %s, %bit
  %vn = select i1 %bad, double 0.0, double %v
{load_scale}  %s1 = {"fmul" if power else "fdiv"} double %vn, {by}
"""
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
    body += f"  %yp = getelementptr i{bits}, ptr %y, i64 %o\n  store i{bits} %n0, ptr %yp, align {store.bytes}\n"
    flat = all(part.constant for part in parts)
    return "".join(p.declaration() for p in parts) + loop_function(name, "i64", elements, flat, body, elements)


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


def values_out(name: str, store: Store, elements: int, stride: int, scale: list[float] | None) -> str:
    """`i64 name(buffer, n, rows)`: integers to int64 codes, or to float64 times `scale` (one rounding at most)."""
    bits = 8 * store.bytes
    wide = "sext" if store.signed else "zext"
    code = f"  %c = {wide} i{bits} %v to i64\n" if bits < 64 else "  %c = add i64 %v, 0\n"
    lines = (
        f"  %at = add i64 %ko, %e\n  %vp = getelementptr i{bits}, ptr %x, i64 %at\n"
        f"  %v = load i{bits}, ptr %vp, align {store.bytes}\n{code}  %status = add i64 %s, 0\n"
    )
    # The buffer's rows are padded to `stride`; the caller's are not.
    lines = f"  %ko = mul i64 %r, {stride}\n" + lines
    if scale is None:
        lines += "  %yp = getelementptr i64, ptr %y, i64 %k\n  store i64 %c, ptr %yp, align 8\n"
        declaration, flat = "", False
    else:
        scales = Values(f"{name}.scale", "double", [double(s) for s in scale])
        load, by = scales.load("by", "%e")
        lines += (
            f"{load}  %d = sitofp i64 %c to double\n  %m = fmul double %d, {by}\n"
            "  %yp = getelementptr double, ptr %y, i64 %k\n  store double %m, ptr %yp, align 8\n"
        )
        declaration, flat = scales.declaration(), False
    return declaration + loop_function(name, "i64", elements, flat, lines, elements)


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
    return _group_loop(f"@spread{size}", "ptr %x0, ptr %frame, i64 %row", lines, side, "%x0")


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
    """`void @collect{size}(buffer, frame, i64 row bytes, i64 groups, offsets)`: lanes of one frame to rows."""
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
    return _group_loop(f"@collect{size}", "ptr %x0, ptr %frame, i64 %row", lines, side, "%x0")


def _group_loop(name: str, arguments: str, lines: list[str], side: int, start: str) -> str:
    body = "\n  ".join(lines)
    return f"""define void {name}({arguments}, i64 %groups, ptr %off0) #0 {{
entry:
  br label %loop
loop:
  %g = phi i64 [0, %entry], [%g1, %loop]
  %x = phi ptr [{start}, %entry], [%x1, %loop]
  %off = phi ptr [%off0, %entry], [%off1, %loop]
  {body}
  %x1 = getelementptr i8, ptr %x, i64 16
  %off1 = getelementptr i64, ptr %off, i64 {side}
  %g1 = add i64 %g, 1
  %more = icmp slt i64 %g1, %groups
  br i1 %more, label %loop, label %end
end:
  ret void
}}
"""
