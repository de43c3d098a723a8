"""The emulator as C++ source: a library without dependencies for software that needs the firmware's answers.

`emit` writes the Program with its loops, not the circuit: a function per layer over events side by side, the
conversions of the ports, a C interface with provenance, a C++ class and a factory for programs that load the library,
CMake, an example and a test bench.
"""

from __future__ import annotations

import re

import numpy as np

from hardwire import __version__
from hardwire.backends import BackendError, Source
from hardwire.backends import _cpp_files as files
from hardwire.backends._cpp_code import Constants, JobWriter, lane_type, progression
from hardwire.backends._cpp_identity import program_sha256
from hardwire.backends._cpp_plan import Budget, Dots, Room, plan
from hardwire.backends._cpp_ports import (
    PortCode,
    port_entry,
    port_names,
    port_table,
    read_port,
    text_literal,
    write_port,
)
from hardwire.backends._cpp_runtime import C_HEADER, CONVERSIONS, CPP_HEADER, DOTS, GRID, PLUGIN_HEADER, RATIOS, RUNTIME
from hardwire.backends._names import comment, legal
from hardwire.ir.jobs import Job, jobs_of
from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel, Port, Program

NAME = "cpp-emulator"
TITLE = "C++ emulator library (C interface, plugin, CMake), exact, without dependencies"
FROM_PROGRAM = True

LANES = 32
"""Events that are computed side by side."""

_STACK_BYTES = 1 << 16
"""Working memory up to which it lies on the stack."""

RESERVED = frozenset(
    """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl const constexpr const_cast
    continue decltype default delete do double dynamic_cast else enum explicit export extern false float for friend
    goto if inline int long mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected
    public register reinterpret_cast return short signed sizeof static static_assert static_cast struct switch
    template this thread_local throw true try typedef typeid typename union unsigned using virtual void volatile
    wchar_t while xor xor_eq std main linux unix
    emulator emulator_error emulator_port emulator_status Emulator TableEmulator Plugin BadInput v1
    """.split()  # noqa: SIM905
)
"""Words that C++ keeps for itself, macros of compilers, and what `hardwire/` declares itself, also behind `hw_`."""

_OWN_NAMES = frozenset(
    """
    compute dots product run run_blocks found fail message emulator column codes_in codes_out values_in values_out
    grid_in rounded round_near round_any overflowed code_of value_status grid_status ratio_exact ratio_times ratios_out
    work s p l k e n errno assert stdin stdout stderr
    """.split()  # noqa: SIM905
)
"""Names of the library's own and of macros, which no layer's function can take."""


def emit(source: Source) -> dict[str, str]:
    """Return the library's files; raises `BackendError` for a name that is no identifier."""
    name, program = source.name, source.program
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or name in RESERVED:
        raise BackendError(
            f"module name {name!r} cannot be used in C++", hint="letters, digits and underscores, a letter first"
        )
    writer = _Library(name, program)
    inputs, outputs = writer.inputs, writer.outputs
    kinds = {
        kind: files.parameters(inputs, outputs, t)
        for kind, t in (("codes", "int64_t"), ("doubles", "double"), ("floats", "float"))
    }
    common = {
        "name": name,
        "upper": name.upper(),
        "version": __version__,
        "digest": writer.digest,
        "title": f"emulator of {comment(program.name).replace('*/', '* /')}",
    }
    numbers = [*re.findall(r"\d+", __version__), "0", "0", "0"][:3]
    result = {
        f"{name}_emulator.h": files.HEADER.format(**common, sizes=files.sizes(name, [*inputs, *outputs]), **kinds),
        f"{name}_emulator.hpp": files.CLASS.format(**common),
        f"{name}_emulator.cpp": writer.text(),
        f"{name}_plugin.cpp": files.PLUGIN.format(**common),
        "hardwire/emulator.h": C_HEADER,
        "hardwire/emulator.hpp": CPP_HEADER,
        "hardwire/plugin.hpp": PLUGIN_HEADER,
        "CMakeLists.txt": files.CMAKE.format(name=name, numbers=".".join(numbers), first=inputs[0].name),
        "example/main.cc": files.EXAMPLE,
        f"tb/{name}_bench.cpp": files.BENCH.replace("@NAME@", name),
    }
    if source.vectors is not None:
        for ports, columns in zip((inputs, outputs), source.vectors, strict=True):
            for port, codes in zip(ports, columns, strict=True):
                rows = (" ".join(map(str, row)) for row in np.asarray(codes, np.int64).tolist())
                result[f"tb/{port.name}.dat"] = "".join(f"{row}\n" for row in rows)
    return result


class _Library:
    """The library's one source file, from a Program."""

    def __init__(self, name: str, program: Program) -> None:
        self.name = name
        self.program = program
        self.digest = program_sha256(program)
        self.constants = Constants()
        self.jobs = jobs_of(program, _is_layer)
        touched = {pointer.array for job in self.jobs for pointer in job.pointers}
        touched |= {port.array for port in (*program.inputs, *program.outputs)}
        self.arrays = {array: array for array in program.arrays if array in touched and program.arrays[array].size}
        self.members = dict(zip(self.arrays, unique([f"a_{legal(array)}" for array in self.arrays]), strict=True))
        self.types = {
            array: lane_type(int(np.min(program.arrays[array].lo)), int(np.max(program.arrays[array].hi)))
            for array in self.arrays
        }
        self.inputs = self._ports("x", list(program.inputs))
        self.outputs = self._ports("y", list(program.outputs))

    def _ports(self, stem: str, ports: list[Port]) -> list[PortCode]:
        return [
            PortCode(name, port, self.members.get(port.array, ""), self.types.get(port.array, "i8"))
            for name, port in zip(port_names(stem, len(ports)), ports, strict=True)
        ]

    def text(self) -> str:
        """The source file."""
        budget = Budget()
        room = Room()
        functions: list[str] = []
        calls: list[str] = []
        has_dots = False
        for job, function in zip(self.jobs, unique([_function(job.name) for job in self.jobs]), strict=True):
            planned = plan(job, budget)
            room.grow(planned.room)
            has_dots = has_dots or any(isinstance(loop, Dots) for loop in planned.loops)
            writer = JobWriter(planned, function, self.types, self.constants)
            body = writer.function()
            functions.append(f"// {', '.join(comment(step) for step in job.steps)}\n{body}")
            calls.append(self._call(job, writer))
        reads = [read_port(self.program, port, self.constants) for port in self.inputs]
        writes = [write_port(self.program, port, self.constants) for port in self.outputs]
        digits = max((digits for _, digits in writes), default=0)
        members = [
            f"  alignas(64) {self.types[a]} {self.members[a]}[{self.program.arrays[a].size}][kLanes];"
            for a in self.arrays
        ]
        scratch = _scratch(room)
        if room.any:
            members.append("  Scratch scratch;")
        parts = [
            f"// {comment(self.program.name)}: the exact emulator. Written by hardwire {__version__}; do not edit.\n"
            f"// Program {self.digest}.\n"
            f'#include "{self.name}_emulator.h"\n\n'
            "#include <algorithm>\n#include <cfloat>\n#include <cmath>\n#include <cstddef>\n#include <cstdint>\n"
            "#include <cstdlib>\n#include <memory>\n#include <new>\n#include <type_traits>\n\n",
            RUNTIME.replace("@LANES@", str(LANES)),
            "// Constants of the layers: weights, tables, positions.\n",
            *self.constants.text,
            "\n// An array's rows are elements; a row holds that element of kLanes events.\n",
            scratch,
            "struct Workspace {\n" + "\n".join(members) + "\n};\n\n",
            DOTS if has_dots else "",
            *(f"{function}\n" for function in functions),
            "void compute(Workspace& work) {\n" + ("".join(calls) or "  (void)work;\n") + "}\n\n",
            CONVERSIONS,
            GRID if any(port.port.quantiser is None for port in self.inputs) else "",
            RATIOS.replace("@DIGITS@", str(digits)) if digits else "",
            *(f"{read}\n" for read in reads),
            *(f"{text}\n" for text, _ in writes),
            self._run(),
            *(port_table(self.program, port) for port in (*self.inputs, *self.outputs)),
            self._interface(),
        ]
        return "".join(parts)

    def _call(self, job: Job, writer: JobWriter) -> str:
        """The call of a job's function, in a loop over its positions."""
        arguments = []
        for k in writer.pointers:
            pointer = job.pointers[k]
            at = progression(np.asarray(pointer.base, np.int64), self.constants, "p")
            arguments.append(f"work.{self.members[pointer.array]}" + ("" if at == "0" else f" + {at}"))
        if writer.uses_scratch:
            arguments.append("work.scratch")
        call = f"{writer.name}({', '.join(arguments)});\n"
        if job.positions == 1:
            return f"  {call}"
        return f"  for (std::size_t p = 0; p < {job.positions}; ++p) {{\n    {call}  }}\n"

    def _run(self) -> str:
        """Blocks of events: in, compute, out; and where a bad value is."""
        memory = "sizeof(Workspace) <= @STACK@".replace("@STACK@", str(_STACK_BYTES))
        reads = "".join(
            f"    if (!read_{p.name}(x[{k}] + at * {p.elements}, n, work)) {{\n"
            f"      return found<X>(x[{k}], at, n, {p.elements}, {k}, status_{p.name}, where);\n    }}\n"
            for k, p in enumerate(self.inputs)
        )
        writes = "".join(
            f"    write_{p.name}(work, n, y[{k}] + at * {p.elements});\n" for k, p in enumerate(self.outputs)
        )
        return f"""\
// Tells which value of a block is bad.
template <typename X, typename Wide>
int found(const X* rows, std::size_t at, std::size_t n, std::size_t elements, std::size_t port,
          Status (*status)(Wide, std::size_t), hw_emulator_error* where) {{
  for (std::size_t row = at; row < at + n; ++row) {{
    for (std::size_t e = 0; e < elements; ++e) {{
      const Status one = status(static_cast<Wide>(rows[row * elements + e]), e);
      if (one != HW_OK) {{
        if (where != nullptr) {{
          *where = hw_emulator_error{{one, port, row, e}};
        }}
        return one;
      }}
    }}
  }}
  return HW_OK;
}}

template <typename X>
struct Widest {{
  using Type = double;
}};
template <>
struct Widest<i64> {{
  using Type = i64;
}};

template <typename X, typename Y>
int run_blocks(const X* const* x, Y* const* y, std::size_t events, Workspace& work, hw_emulator_error* where) {{
  for (std::size_t at = 0; at < events; at += kLanes) {{
    const std::size_t n = std::min(kLanes, events - at);
{reads.replace("found<X>(", "found<X, typename Widest<X>::Type>(")}    compute(work);
{writes}  }}
  return HW_OK;
}}

int fail(int status, hw_emulator_error* where) {{
  if (where != nullptr) {{
    *where = hw_emulator_error{{status, 0, 0, 0}};
  }}
  return status;
}}

template <typename X, typename Y>
int run(const X* const* x, Y* const* y, std::size_t events, hw_emulator_error* where) {{
  if (events == 0) {{
    return HW_OK;
  }}
  if (x == nullptr || y == nullptr || std::find(x, x + {len(self.inputs)}, nullptr) != x + {len(self.inputs)} ||
      std::find(y, y + {len(self.outputs)}, nullptr) != y + {len(self.outputs)}) {{
    return fail(HW_NULL_POINTER, where);
  }}
  typename std::conditional<({memory}), Stack<Workspace>, Heap<Workspace>>::type memory;
  Workspace* const work = memory.get();
  return work == nullptr ? fail(HW_NO_MEMORY, where) : run_blocks(x, y, events, *work, where);
}}

const char* message(int status) {{
  switch (status) {{
    case HW_OK:
      return "no error";
    case HW_OUT_OF_RANGE:
      return "a value is outside its input's range";
    case HW_NOT_A_NUMBER:
      return "a value is NaN, which has no fixed-point value";
    case HW_INFINITE:
      return "a value is infinite, which has no code in this input's type";
    case HW_OFF_GRID:
      return "a value lies between two codes, and its input has no quantiser";
    case HW_NO_MEMORY:
      return "no memory";
    case HW_NULL_POINTER:
      return "a null pointer instead of an array";
    default:
      return "unknown status";
  }}
}}

"""

    def _interface(self) -> str:
        """The C functions and the table of them."""
        tables = "".join(
            f"const hw_emulator_port {side}s_[] = {{\n"
            + ",\n".join(port_entry(port, self.program) for port in ports)
            + "};\n"
            for side, ports in (("input", self.inputs), ("output", self.outputs))
        )
        text = f"""{tables}
const hw_emulator emulator = {{
    HW_EMULATOR_ABI,
    static_cast<std::uint32_t>(sizeof(hw_emulator)),
    {text_literal(self.name)},
    {text_literal(self.program.name)},
    "hardwire {__version__}",
    "{self.digest}",
    {len(self.inputs)},
    {len(self.outputs)},
    inputs_,
    outputs_,
    sizeof(Workspace),
    &run<i64, i64>,
    &run<double, double>,
    &run<float, float>,
    &message}};

}}  // namespace

extern "C" {{

const hw_emulator* hw_{self.name}(void) {{ return &emulator; }}
"""
        for suffix, kind in (("run_codes", "int64_t"), ("predict", "double"), ("predict_float", "float")):
            text += (
                f"\nint hw_{self.name}_{suffix}({files.parameters(self.inputs, self.outputs, kind)}, size_t n) {{\n"
                f"  const {kind}* const in[] = {{{', '.join(p.name for p in self.inputs)}}};\n"
                f"  {kind}* const out[] = {{{', '.join(p.name for p in self.outputs)}}};\n"
                f"  return run(in, out, n, nullptr);\n}}\n"
            )
        return text + '\n}  // extern "C"\n'


def _function(layer: str) -> str:
    """A function's name: the layer's, unless it could be one of the library's or a macro."""
    name = legal(layer)
    plain = re.fullmatch(r"[a-z][a-z0-9_]*", name) and not re.fullmatch(r"[iu](8|16|32|64)", name)
    return name if plain and name not in RESERVED and name not in _OWN_NAMES else f"layer_{name}"


def _is_layer(kernel: Kernel) -> bool:
    """Whether a kernel sums several values: such a layer has a function of its own, with what follows it."""
    return bool(np.any(kernel.b[kernel.op == OpCode.LINEAR] > 1))


def _scratch(room: Room) -> str:
    """The struct of values that wait between loops."""
    if not room.any:
        return ""
    members = [
        f"  alignas(64) i{bits} {stem}{bits}[{rows}][kLanes];"
        for stem, part in (("t", room.values), ("s", room.sums), ("g", room.operands))
        for bits, rows in part.items()
        if rows
    ]
    return "struct Scratch {\n" + "\n".join(members) + "\n};\n"


def unique(names: list[str]) -> list[str]:
    """Names made different from each other."""
    taken: set[str] = set()
    result = []
    for name in names:
        fresh, count = name, 1
        while fresh in taken:
            count += 1
            fresh = f"{name}_v{count}"
        taken.add(fresh)
        result.append(fresh)
    return result
