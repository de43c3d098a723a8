"""C++ of the ports: real numbers and codes into lanes, lanes into codes and real numbers."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import isfinite

import numpy as np

from hardwire.backends._cpp_code import Constants, lines_of, literal, progression
from hardwire.fixed import Ints
from hardwire.ir.program import Port, Program


@dataclass(frozen=True)
class PortCode:
    """A port as C++ sees it: `name` (x, x0 … y, y1 …), `array` the workspace's member, `kind` its element type."""

    name: str
    port: Port
    array: str
    kind: str

    @property
    def elements(self) -> int:
        """Numbers of an event."""
        return len(self.port.index)


def port_names(stem: str, count: int) -> list[str]:
    """x, or x0, x1 … where there are several."""
    return [stem] if count == 1 else [f"{stem}{k}" for k in range(count)]


def double(value: float) -> str:
    """A float64 that is read back exactly."""
    text = repr(float(value))
    return text if any(c in text for c in ".en") else text + ".0"


def text_literal(text: str) -> str:
    """A C string of any text, in ASCII."""
    out = []
    for byte in text.encode("utf-8"):
        char = chr(byte)
        out.append(f"\\{byte:03o}" if byte < 32 or byte > 126 or char in '"\\?' else char)
    return f'"{"".join(out)}"'


def _element(code: PortCode, constants: Constants) -> str:
    """C++ for the row of the array that element `e` lies in."""
    at = progression(np.asarray(code.port.index, np.int64), constants, "e")
    return f"work.{code.array}[{at}]"


def _distinct(rows: list[str]) -> tuple[list[str], str]:
    """Rows of a table without repetition where all are equal, and the index of element `e`."""
    return (rows[:1], "0") if len(set(rows)) == 1 else (rows, "e")


def read_port(program: Program, code: PortCode, constants: Constants) -> str:
    """Functions that fill a port's lanes, and that find what is wrong with a value."""
    port, lo, hi = code.port, *(bound.tolist() for bound in program.port_range(code.port))
    name, row = code.name, _element(code, constants)
    ends = np.array([lo, hi], np.int64).T
    ends, at = (ends[:1], "0") if len(np.unique(ends, axis=0)) == 1 else (ends, "e")
    bounds = constants.table("range", ends, "i64")
    loop = f"  for (std::size_t e = 0; e < {code.elements}; ++e) {{\n"
    where = "  (void)e;\n" if at == "0" else ""
    text = (
        f"bool read_{name}(const i64* rows, std::size_t n, Workspace& work) {{\n  bool good = true;\n{loop}"
        f"    good = codes_in(rows + e, {code.elements}, n, {bounds}[{at}][0], {bounds}[{at}][1], {row}) && good;\n"
        f"  }}\n  return good;\n}}\n"
        f"Status status_{name}(i64 code, std::size_t e) {{\n{where}"
        f"  return code < {bounds}[{at}][0] || code > {bounds}[{at}][1] ? HW_OUT_OF_RANGE : HW_OK;\n}}\n"
    )
    q = port.quantiser
    if q is None:
        scales = [double(float(scale)) for scale in program.port_scale(port)]
        scales, one = _distinct(scales)
        table = f"const double scale_{name}_[{len(scales)}] = {{\n{lines_of(scales)}}};\n"
        arguments = f"scale_{name}_[{one}], {bounds}[{at}][0], {bounds}[{at}][1]"
        convert = f"grid_in(values, {arguments}, {row})"
        status = f"grid_status(x, {arguments})"
        unused = one == at == "0"
    else:
        whole = q.reshaped(port.shape)
        scale = np.asarray(whole.scale, np.float64).ravel().tolist()
        zero = np.asarray(whole.zero, np.int64).ravel().tolist()
        low, high = (np.asarray(bound, np.int64).ravel().tolist() for bound in whole.limits)
        power = [float(np.frexp(s)[0]) == 0.5 and isfinite(1.0 / s) for s in scale]
        rules = [
            f"{{{double(1.0 / s if p else s)}, {'true' if p else 'false'}, {double(float(z))}, {literal(a)}, "
            f"{literal(b)}}}"
            for s, p, z, a, b in zip(scale, power, zero, low, high, strict=True)
        ]
        rules, one = _distinct(rules)
        table = f"const Rule rule_{name}_[{len(rules)}] = {{\n{lines_of(rules)}}};\n"
        mantissa = -1 if q.mantissa is None else q.mantissa
        first = "true" if q.zero_first else "false"
        template = f"<{q.rounding.name}, {q.overflow.name}, {first}, {mantissa}>"
        convert = f"values_in{template}(values, rule_{name}_[{one}], {row})"
        status = f"value_status<{q.overflow.name}>(x)"
        unused = True
    return (
        text
        + table
        + (
            f"template <typename X>\nbool read_{name}(const X* rows, std::size_t n, Workspace& work) {{\n"
            f"  bool good = true;\n{loop}    double values[kLanes];\n"
            f"    column(rows + e, {code.elements}, n, values);\n"
            f"    good = {convert} && good;\n  }}\n  return good;\n}}\n"
            f"Status status_{name}(double x, std::size_t{'' if unused else ' e'}) {{\n  return {status};\n}}\n"
        )
    )


def float_scales(program: Program, port: Port) -> list[float | None]:
    """Scale of each element where `float64(code) * scale` rounds at most once; None where it may not."""
    lo, hi = program.port_range(port)
    found: list[float | None] = []
    for scale, low, high in zip(program.port_scale(port), lo.tolist(), hi.tolist(), strict=True):
        exact = Fraction(scale)
        try:
            real = float(exact)
        except OverflowError:
            real = float("inf")
        power = exact.numerator & (exact.numerator - 1) == 0 and exact.denominator & (exact.denominator - 1) == 0
        small = max(abs(low), abs(high)) <= 1 << 53
        normal = isfinite(real) and abs(real) > 1e-250
        found.append(real if normal and Fraction(real) == exact and (small or power) else None)
    return found


@dataclass(frozen=True)
class Scales:
    """Text of the scales of all outputs, and the digits that the longest exact product or quotient takes."""

    text: str
    digits: int


def write_port(program: Program, code: PortCode, constants: Constants) -> tuple[str, int]:
    """Functions that turn a port's lanes into codes and numbers; and the digits of its longest exact scale, if any."""
    name, row = code.name, _element(code, constants)
    loop = f"  for (std::size_t e = 0; e < {code.elements}; ++e) {{\n"
    text = (
        f"void write_{name}(const Workspace& work, std::size_t n, i64* rows) {{\n{loop}"
        f"    codes_out({row}, n, rows + e, {code.elements});\n  }}\n}}\n"
    )
    scales = float_scales(program, code.port)
    digits = 0
    if None not in scales:
        rows, at = _distinct([double(s) for s in scales if s is not None])
        table = f"const double scale_{name}_[{len(rows)}] = {{\n{lines_of(rows)}}};\n"
        put = f"values_out({row}, n, scale_{name}_[{at}], rows + e, {code.elements})"
    else:
        exact = [Fraction(scale) for scale in program.port_scale(code.port)]
        numbers: dict[Fraction, str] = {}
        table = ""
        rows = []
        for scale in exact:
            if scale not in numbers:
                up, down = _digits(scale.numerator), _digits(scale.denominator)
                stem = f"ratio_{name}_{len(numbers)}_"
                # Only whole numbers of up to 62 bits are multiplied by the numerator.
                longest = max(scale.numerator.bit_length() + 62, scale.denominator.bit_length() + 64)
                digits = max(digits, -(-(longest + 1) // 32) + 1)
                table += f"const u32 {stem}n_[] = {{{', '.join(up)}}};\nconst u32 {stem}d_[] = {{{', '.join(down)}}};\n"
                high, rest = _halves(scale)
                numbers[scale] = f"{{{stem}n_, {len(up)}, {stem}d_, {len(down)}, {double(high)}, {double(rest)}}}"
            rows.append(numbers[scale])
        rows, at = _distinct(rows)
        table += f"const Ratio scale_{name}_[{len(rows)}] = {{\n{lines_of(rows)}}};\n"
        put = f"ratios_out({row}, n, scale_{name}_[{at}], rows + e, {code.elements})"
    return text + table + (
        f"template <typename Y>\nvoid write_{name}(const Workspace& work, std::size_t n, Y* rows) {{\n{loop}"
        f"    {put};\n  }}\n}}\n"
    ), digits


def _digits(value: int) -> list[str]:
    found = []
    while value:
        found.append(f"0x{value & 0xFFFFFFFF:x}U")
        value >>= 32
    return found


def _halves(scale: Fraction) -> tuple[float, float]:
    """The nearest float64 and the rest; (0, 0) where that says nothing."""
    try:
        high = float(scale)
        return high, float(scale - Fraction(high))
    except OverflowError:
        return 0.0, 0.0


def port_table(program: Program, code: PortCode) -> str:
    """The `hw_emulator_port`'s tables, and the initialiser `port_<name>`."""
    lo, hi = (bound.tolist() for bound in program.port_range(code.port))
    exact = [Fraction(scale) for scale in program.port_scale(code.port)]
    name = code.name
    rows = list(zip(lo, hi, exact, strict=True))
    if len(set(rows)) == 1:
        rows = rows[:1]
    columns = {
        ("std::int64_t", "lo"): [literal(low) for low, _, _ in rows],
        ("std::int64_t", "hi"): [literal(high) for _, high, _ in rows],
        ("double", "nearest"): [double(_halves(scale)[0]) for _, _, scale in rows],
        ("char* const", "numerator"): [f'"{scale.numerator}"' for _, _, scale in rows],
        ("char* const", "denominator"): [f'"{scale.denominator}"' for _, _, scale in rows],
    }
    shape = code.port.shape or (1,)
    text = f"const std::size_t port_{name}_shape_[] = {{{', '.join(map(str, shape))}}};\n"
    for (kind, column), values in columns.items():
        text += f"const {kind} port_{name}_{column}_[] = {{\n{lines_of(values)}}};\n"
    return text


def port_entry(code: PortCode, program: Program) -> str:
    """The initialiser of a port's `hw_emulator_port`."""
    lo, hi = program.port_range(code.port)
    distinct = len(set(zip(lo.tolist(), hi.tolist(), program.port_scale(code.port), strict=True)))
    n = code.name
    quantiser = "" if code.port.quantiser is None else code.port.quantiser.describe()
    return (
        f"    {{{text_literal(n)}, {text_literal(code.port.name)}, {code.elements}, {len(code.port.shape)}, "
        f"port_{n}_shape_, {1 if distinct == 1 else code.elements}, port_{n}_lo_, port_{n}_hi_, port_{n}_nearest_, "
        f"port_{n}_numerator_, port_{n}_denominator_, {text_literal(quantiser)}}}"
    )


__all__ = ["Ints", "PortCode", "Scales", "port_entry", "port_names", "port_table", "read_port", "write_port"]
