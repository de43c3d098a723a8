"""HLS C++ for Vitis HLS and Vivado HLS (AMD UG1399): `ap_int`, `ap_fixed`, `hls::stream`.

Two top functions: `<name>` with an array argument a port (each element a port of its own, `ap_vld` or `ap_none`), and
`<name>_axis` with an AXI4-Stream a port. Layers and constants are in headers of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

from hardwire.backends import Source
from hardwire.backends._headers import header_files
from hardwire.backends._hls_bench import bench_text, makefile, vector_files
from hardwire.backends._hls_dialect import Dialect
from hardwire.backends._hls_files import DESIGN_RESERVED, check_name, common_files, describe_port, guard
from hardwire.backends._hls_kernel import AUTO
from hardwire.backends._hls_network import Network, PortText
from hardwire.fixed import Overflow, Rounding
from hardwire.targets._amd_parts import PARTS

NAME = "hls-vitis"
TITLE = "HLS C++ for Vitis HLS and Vivado HLS: ap_int, ap_fixed, hls::stream"
FROM_PROGRAM = True
RESERVED = DESIGN_RESERVED

DEFAULT_PART = PARTS["xcup-vu13p"]
"""Of the project where the target is no AMD part."""

WIDEST_BEAT = 4096
"""Bits of a frame that one beat of an AXI4-Stream carries at most; wider frames are sent an element a beat."""

_AP_ROUNDING = {
    Rounding.TRN: "AP_TRN",
    Rounding.TRN_ZERO: "AP_TRN_ZERO",
    Rounding.RND: "AP_RND",
    Rounding.RND_ZERO: "AP_RND_ZERO",
    Rounding.RND_INF: "AP_RND_INF",
    Rounding.RND_MIN_INF: "AP_RND_MIN_INF",
    Rounding.RND_CONV: "AP_RND_CONV",
}
_AP_OVERFLOW = {
    Overflow.WRAP: "AP_WRAP",
    Overflow.SAT: "AP_SAT",
    Overflow.SAT_SYM: "AP_SAT_SYM",
    Overflow.SAT_ZERO: "AP_SAT_ZERO",
}


@dataclass(frozen=True)
class Vitis(Dialect):
    """Types and pragmas of Vitis HLS."""

    def type(self, bits: int, signed: bool) -> str:
        """The integer type of so many bits."""
        return f"ap_int<{bits}>" if signed else f"ap_uint<{bits}>"

    def generic(self, bits: str) -> str:
        """The unsigned type of a template parameter's number of bits."""
        return f"ap_uint<{bits}>"

    def function(self) -> list[str]:
        """Layers dissolve in the top function."""
        return ["#pragma HLS INLINE"]

    def array(self, name: str, *, registers: bool) -> list[str]:
        """Every element of its own."""
        return [f"#pragma HLS ARRAY_PARTITION variable={name} complete"] if registers else []

    def weights(self, name: str, dimensions: int, *, parallel: bool) -> list[str]:
        """Constants, once the loops are unrolled; else a ROM with a row a word."""
        if parallel:
            return [f"#pragma HLS ARRAY_PARTITION variable={name} complete dim=0"]
        if dimensions == 2:
            return [f"#pragma HLS ARRAY_RESHAPE variable={name} complete dim=2"]
        return [f"#pragma HLS BIND_STORAGE variable={name} type=rom_np"]

    def table(self, name: str) -> list[str]:
        """As many ports as there are lookups."""
        return [f"#pragma HLS BIND_STORAGE variable={name} type=rom_np impl=lutram"]

    def unrolled(self) -> tuple[list[str], list[str]]:
        """Parallel hardware."""
        return [], ["#pragma HLS UNROLL"]

    def pipelined(self) -> tuple[list[str], list[str]]:
        """A round each clock cycle."""
        return [], ["#pragma HLS PIPELINE II=1"]


DIALECT = Vitis("vitis", "ap_int.h", "static const")


def emit(source: Source, *, weights: str = AUTO) -> dict[str, str]:
    """Write the design, a test bench and a project; returns file name → text.

    `weights`: matrices as constants in the code (`constants`), as constant arrays and loops (`rom`), or what reads best
    (`auto`). Raises `BackendError` for a name that is no C++ identifier.
    """
    name = check_name(source.name)
    network = Network(source.program, name, DIALECT, weights)
    sources = [f"{name}.cpp", f"tb/{name}_tb.cpp"]
    return {
        f"{name}.h": _header(network),
        f"{name}.cpp": _source(network),
        **common_files(network),
        sources[1]: _bench(network),
        **vector_files(network.inputs, network.outputs, source.vectors),
        "build_hls.tcl": _script(source, network),
        "Makefile": makefile(
            name,
            sources,
            cosim="vitis_hls -f build_hls.tcl csim=0 csynth=1 cosim=1",
            cosim_words="synthesis and co-simulation in Vitis HLS",
        ),
        **header_files(DIALECT.flavour),
    }


def _is_fixed(text: PortText) -> bool:
    return text.frac is not None


def _port_type(text: PortText) -> str:
    """Type of a port's elements: the model's own fixed-point type where all elements share it, else integer codes."""
    if text.frac is None:
        return DIALECT.type(text.bits, text.signed)
    kind = "ap_fixed" if text.signed else "ap_ufixed"
    modes = ""
    quantiser = text.port.quantiser
    if quantiser is not None and quantiser.mantissa is None and text.whole:
        rounding, overflow = _AP_ROUNDING.get(quantiser.rounding), _AP_OVERFLOW.get(quantiser.overflow)
        modes = f", {rounding}, {overflow}" if rounding and overflow else ""
    return f"{kind}<{text.bits}, {text.bits - text.frac}{modes}>"


def _by_element(text: PortText) -> bool:
    return text.size * text.bits > WIDEST_BEAT


def _header(network: Network) -> str:
    name, ports = network.name, (*network.inputs, *network.outputs)
    lines = [
        f"// {name}: the two functions that Vitis HLS makes hardware of, and the types of their ports.",
        "//",
        f"// {name} takes a frame as arrays: every element is a port of its own with a valid signal (ap_vld), or",
        f"// without (ap_none) where {name.upper()}_AP_NONE is defined. {name}_axis takes it from AXI4-Streams.",
    ]
    for text in ports:
        lines += ["//", *describe_port(text)]
    lines += ["", *guard(name)]
    lines += ["#include <ap_fixed.h>", "#include <ap_int.h>", "#include <hls_stream.h>", ""]
    for text in ports:
        lines.append(f"typedef {_port_type(text)} {name}_{text.name}_t;")
    for text in ports:
        lines += ["", *_beat(name, text)]
    lines += ["", f"void {name}({', '.join(_array_parameters(network))});"]
    lines += [f"void {name}_axis({', '.join(_stream_parameters(network))});", "", "#endif"]
    return "\n".join(lines) + "\n"


def _beat(name: str, text: PortText) -> list[str]:
    if _by_element(text):
        return [
            f"// {text.name} is sent element by element: a frame of it is wider than {WIDEST_BEAT} bits.",
            f"typedef {name}_{text.name}_t {name}_{text.name}_beat;",
        ]
    return [
        f"// A frame of {text.name} in one beat: element 0 in the lowest bits.",
        f"struct {name}_{text.name}_beat {{",
        f"    {name}_{text.name}_t element[{text.size}];",
        "};",
    ]


def _array_parameters(network: Network) -> list[str]:
    return [
        *(f"const {network.name}_{text.name}_t {text.name}[{text.size}]" for text in network.inputs),
        *(f"{network.name}_{text.name}_t {text.name}[{text.size}]" for text in network.outputs),
    ]


def _stream_parameters(network: Network) -> list[str]:
    ports = (*network.inputs, *network.outputs)
    return [f"hls::stream<{network.name}_{text.name}_beat> &{text.name}" for text in ports]


def _source(network: Network) -> str:
    name, inputs, outputs = network.name, network.inputs, network.outputs
    ports = (*inputs, *outputs)
    lines = [
        f"// {name}: top functions for Vitis HLS. Inside, numbers are integer codes. Layers: {name}_layers.h.",
        "",
        f'#include "{name}.h"',
        "",
        f'#include "{name}_layers.h"',
        "",
        "namespace {",
        "",
        f"void {name}_frame({', '.join(_array_parameters(network))}) {{",
        "#pragma HLS INLINE",
    ]
    for text in ports:
        code = DIALECT.type(text.bits, text.signed)
        lines.append(f"    {code} {text.name}_code[{text.size}];")
        if network.parallel:
            lines.append(f"#pragma HLS ARRAY_PARTITION variable={text.name}_code complete")
    for text in inputs:
        lines += _element_loop(network, text, f"{text.name}_code[i] = {_code_of(text, f'{text.name}[i]')};")
    lines.append(f"    {name}_layers::{network.entry}({', '.join(f'{text.name}_code' for text in ports)});")
    for text in outputs:
        lines += _element_loop(network, text, f"{_code_of(text, f'{text.name}[i]')} = {text.name}_code[i];")
    lines += ["}", "", "}  // namespace", "", *_array_top(network), "", *_stream_top(network)]
    return "\n".join(lines) + "\n"


def _code_of(text: PortText, element: str) -> str:
    """The integer code of a port's element, to be read or assigned to."""
    return f"{element}.range()" if _is_fixed(text) else element


def _element_loop(network: Network, text: PortText, statement: str) -> list[str]:
    pragma = "#pragma HLS UNROLL" if network.parallel else "#pragma HLS PIPELINE II=1"
    return [f"    for (int i = 0; i < {text.size}; ++i) {{", pragma, f"        {statement}", "    }"]


def _array_top(network: Network) -> list[str]:
    name, ports = network.name, (*network.inputs, *network.outputs)
    lines = [f"void {name}({', '.join(_array_parameters(network))}) {{"]
    if network.parallel:
        lines.append(f"#ifdef {name.upper()}_AP_NONE")
        lines += [f"#pragma HLS INTERFACE ap_none port={text.name}" for text in ports]
        lines.append("#else")
        lines += [f"#pragma HLS INTERFACE ap_vld port={text.name}" for text in ports]
        lines.append("#endif")
        lines += [f"#pragma HLS ARRAY_PARTITION variable={text.name} complete" for text in ports]
        lines.append("#pragma HLS PIPELINE II=1")
    else:
        lines += [f"#pragma HLS INTERFACE ap_memory port={text.name}" for text in ports]
    return [*lines, f"    {name}_frame({', '.join(text.name for text in ports)});", "}"]


def _stream_top(network: Network) -> list[str]:
    name, inputs, outputs = network.name, network.inputs, network.outputs
    ports = (*inputs, *outputs)
    lines = [f"void {name}_axis({', '.join(_stream_parameters(network))}) {{"]
    lines += [f"#pragma HLS INTERFACE axis port={text.name}" for text in ports]
    whole = [text for text in ports if not _by_element(text)]
    lines += [f"#pragma HLS AGGREGATE variable={text.name} compact=bit" for text in whole]
    if network.parallel and len(whole) == len(ports):
        lines.append("#pragma HLS PIPELINE II=1")
    for text in inputs:
        if _by_element(text):
            lines += [
                f"    static {name}_{text.name}_t {text.name}_frame[{text.size}];",
                f"    for (int i = 0; i < {text.size}; ++i) {{",
                "#pragma HLS PIPELINE II=1",
                f"        {text.name}_frame[i] = {text.name}.read();",
                "    }",
            ]
        else:
            lines.append(f"    const {name}_{text.name}_beat {text.name}_frame = {text.name}.read();")
    for text in outputs:
        if _by_element(text):
            lines.append(f"    static {name}_{text.name}_t {text.name}_frame[{text.size}];")
        else:
            lines.append(f"    {name}_{text.name}_beat {text.name}_frame;")
    frames = [f"{text.name}_frame" + ("" if _by_element(text) else ".element") for text in ports]
    lines.append(f"    {name}_frame({', '.join(frames)});")
    for text in outputs:
        if _by_element(text):
            lines += [
                f"    for (int i = 0; i < {text.size}; ++i) {{",
                "#pragma HLS PIPELINE II=1",
                f"        {text.name}.write({text.name}_frame[i]);",
                "    }",
            ]
        else:
            lines.append(f"    {text.name}.write({text.name}_frame);")
    return [*lines, "}"]


def _bench(network: Network) -> str:
    name, inputs, outputs = network.name, network.inputs, network.outputs
    ports = (*inputs, *outputs)
    arrays, streams = [], []
    for text in ports:
        arrays.append(f"        static {name}_{text.name}_t {text.name}[{text.size}];")
        streams.append(f'    hls::stream<{name}_{text.name}_beat> {text.name}("{text.name}");')
    fill, take, send, receive = [], [], [], []
    for number, text in enumerate(inputs):
        element = f"{text.name}[k]"
        fill.append(
            f"        for (std::size_t k = 0; k < {text.size}; ++k) {_set(text, element, f'in[{number}][v][k]')};"
        )
        beat = f"{name}_{text.name}_beat"
        if _by_element(text):
            send += [
                f"        for (std::size_t k = 0; k < {text.size}; ++k) {{",
                f"            {beat} beat;",
                f"            {_set(text, 'beat', f'in[{number}][v][k]')};",
                f"            {text.name}.write(beat);",
                "        }",
            ]
        else:
            send += [
                "        {",
                f"            {beat} beat;",
                f"            for (std::size_t k = 0; k < {text.size}; ++k) "
                f"{_set(text, 'beat.element[k]', f'in[{number}][v][k]')};",
                f"            {text.name}.write(beat);",
                "        }",
            ]
    for number, text in enumerate(outputs):
        take += _collect(number, text, f"{text.name}[k]", "        ")
        if _by_element(text):
            receive += [
                f"        out[{number}].push_back(Codes({text.size}));",
                f"        for (long long &code : out[{number}].back()) code = {_get(text, f'{text.name}.read()')};",
            ]
        else:
            receive.append("        {")
            receive.append(f"            const {name}_{text.name}_beat beat = {text.name}.read();")
            receive += _collect(number, text, "beat.element[k]", "            ")
            receive.append("        }")
    names = ", ".join(text.name for text in ports)
    loop = "    for (std::size_t v = 0; v < in[0].size(); ++v) {"
    drive = [
        f"#ifndef {name.upper()}_ONLY_AXIS",
        "// Through the array ports.",
        "Data run(const Data &in) {",
        "    Data out(outputs().size());",
        loop,
        *arrays,
        *fill,
        f"        {name}({names});",
        *take,
        "    }",
        "    return out;",
        "}",
        "#endif",
        "",
        f"#ifndef {name.upper()}_ONLY_ARRAYS",
        "// Through the streams.",
        "Data run_axis(const Data &in) {",
        "    Data out(outputs().size());",
        *streams,
        loop,
        *send,
        f"        {name}_axis({names});",
        *receive,
        "    }",
        "    return out;",
        "}",
        "#endif",
        "",
        f"#ifdef {name.upper()}_ONLY_AXIS",
        "Data run(const Data &in) { return run_axis(in); }",
        "#endif",
    ]
    check = [
        f"#if !defined({name.upper()}_ONLY_AXIS) && !defined({name.upper()}_ONLY_ARRAYS)",
        f'    wrong += differences(run_axis(in), out, "{name}_axis");',
        "#endif",
    ]
    return bench_text(name, inputs, outputs, includes=[f'#include "../{name}.h"'], drive=drive, check=check)


def _set(text: PortText, element: str, code: str) -> str:
    if _is_fixed(text):
        return f"{element}.range() = {DIALECT.type(text.bits, text.signed)}({code})"
    return f"{element} = {code}"


def _get(text: PortText, element: str) -> str:
    if _is_fixed(text):
        return f"{DIALECT.type(text.bits, text.signed)}({element}.range()).to_int64()"
    return f"{element}.to_int64()"


def _collect(number: int, text: PortText, element: str, indent: str) -> list[str]:
    return [
        f"{indent}Codes codes{number}({text.size});",
        f"{indent}for (std::size_t k = 0; k < {text.size}; ++k) codes{number}[k] = {_get(text, element)};",
        f"{indent}out[{number}].push_back(codes{number});",
    ]


def _script(source: Source, network: Network) -> str:
    name = network.name
    period = 1000.0 / source.clock_mhz
    part = PARTS.get(source.target.name, DEFAULT_PART)
    note = "" if source.target.name in PARTS else f" ({source.target.name} is no AMD part: say yours)"
    return f"""\
# Vitis HLS project of {name}:
#
#   vitis_hls -f build_hls.tcl                      C simulation and synthesis
#   vitis_hls -f build_hls.tcl cosim=1 export=1     co-simulation and the IP, too
#   vitis-run --mode hls --tcl build_hls.tcl        since 2023.2; vivado_hls -f before 2020
#
# Switches: csim, csynth, cosim, export (0 or 1); top={name} or top={name}_axis; ports=ap_vld or ports=ap_none;
# part=...; period=... (ns). The default part is {part}{note}.

array set option {{
    csim 1
    csynth 1
    cosim 0
    export 0
    top {name}
    ports ap_vld
    part {part}
    period {period:.3f}
}}
foreach word [split [join $::argv " "]] {{
    if {{[regexp {{^(\\w+)=(.+)$}} $word all key value] && [info exists option($key)]}} {{
        set option($key) $value
    }}
}}

set here [file dirname [file normalize [info script]]]
cd $here
set flags "-std=c++11"
if {{$option(ports) eq "ap_none"}} {{
    append flags " -D{name.upper()}_AP_NONE"
}}
# Only the function under test is called, so that co-simulation replaces each call of it.
set tb_flags $flags
if {{$option(top) eq "{name}_axis"}} {{
    append tb_flags " -D{name.upper()}_ONLY_AXIS"
}} else {{
    append tb_flags " -D{name.upper()}_ONLY_ARRAYS"
}}

open_project -reset $option(top)_hls
set_top $option(top)
add_files $here/{name}.cpp -cflags $flags
add_files -tb $here/tb/{name}_tb.cpp -cflags $tb_flags
open_solution -reset solution
set_part $option(part)
create_clock -period $option(period) -name default

if {{$option(csim)}} {{
    csim_design -argv $here/tb
}}
if {{$option(csynth)}} {{
    csynth_design
}}
if {{$option(cosim)}} {{
    cosim_design -argv $here/tb
}}
if {{$option(export)}} {{
    export_design -format ip_catalog
}}
exit
"""
