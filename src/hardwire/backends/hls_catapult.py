"""HLS C++ for Catapult (Siemens): `ac_int`, `ac_channel`, SCVerify.

The top function reads a frame from a channel a port and writes its answer; frames hold integer codes.
"""

from __future__ import annotations

from dataclasses import dataclass

from hardwire.backends import Source
from hardwire.backends._headers import header_files
from hardwire.backends._hls_bench import bench_text, makefile, vector_files
from hardwire.backends._hls_dialect import Dialect
from hardwire.backends._hls_files import DESIGN_RESERVED, check_name, common_files
from hardwire.backends._hls_frames import arguments, filled, frame, frame_header, taken
from hardwire.backends._hls_kernel import AUTO
from hardwire.backends._hls_network import Network
from hardwire.targets._amd_parts import PARTS

NAME = "hls-catapult"
TITLE = "HLS C++ for Catapult: ac_int, ac_channel"
FROM_PROGRAM = True
RESERVED = DESIGN_RESERVED


_VIRTEX = ("xcup-vu13p", "xcup-vu9p")
"""Targets of the family whose library the script names."""


@dataclass(frozen=True)
class Catapult(Dialect):
    """Types and pragmas of Catapult; arrays become registers, memories or logic by thresholds in `directives.tcl`."""

    def type(self, bits: int, signed: bool) -> str:
        """The integer type of so many bits."""
        return f"ac_int<{bits}, {'true' if signed else 'false'}>"

    def generic(self, bits: str) -> str:
        """The unsigned type of a template parameter's number of bits."""
        return f"ac_int<{bits}, false>"

    def unrolled(self) -> tuple[list[str], list[str]]:
        """Parallel hardware."""
        return ["#pragma hls_unroll yes"], []

    def pipelined(self) -> tuple[list[str], list[str]]:
        """A round each clock cycle."""
        return ["#pragma hls_pipeline_init_interval 1"], []


DIALECT = Catapult("catapult", "ac_int.h", "static const")


def emit(source: Source, *, weights: str = AUTO) -> dict[str, str]:
    """Write the design, a test bench and a project; returns file name → text.

    `weights`: matrices as constants in the code (`constants`), as constant arrays and loops (`rom`), or what reads best
    (`auto`). Raises `BackendError` for a name that is no C++ identifier.
    """
    name = check_name(source.name)
    network = Network(source.program, name, DIALECT, weights)
    sources = [f"{name}.cpp", f"tb/{name}_tb.cpp"]
    about = [f"{name}: the function that Catapult makes hardware of, and the frames of its channels."]
    declarations = ["", f"void {name}({_parameters(network)});"]
    return {
        f"{name}.h": frame_header(network, about, ["#include <ac_channel.h>", "#include <ac_int.h>"], declarations),
        f"{name}.cpp": _source(network),
        **common_files(network),
        sources[1]: _bench(network),
        **vector_files(network.inputs, network.outputs, source.vectors),
        "directives.tcl": _script(source, network),
        "Makefile": makefile(
            name,
            sources,
            cosim="HLS_COSIM=1 catapult -shell -file directives.tcl",
            cosim_words="synthesis and co-simulation (SCVerify) in Catapult",
        ),
        **header_files(DIALECT.flavour),
    }


def _parameters(network: Network) -> str:
    ports = (*network.inputs, *network.outputs)
    return ", ".join(f"ac_channel<{frame(network, text)}> &{text.name}" for text in ports)


def _source(network: Network) -> str:
    name = network.name
    lines = [
        f"// {name}: top function for Catapult. Layers: {name}_layers.h.",
        "",
        f'#include "{name}.h"',
        "",
        "#include <mc_scverify.h>",
        "",
        f'#include "{name}_layers.h"',
        "",
        "#pragma hls_design top",
    ]
    if network.parallel:
        lines.append("#pragma hls_pipeline_init_interval 1")
    lines.append(f"void CCS_BLOCK({name})({_parameters(network)}) {{")
    static = "static " if network.large else ""
    for text in network.inputs:
        if static:
            lines += [
                f"    static {frame(network, text)} {text.name}_frame;",
                f"    {text.name}_frame = {text.name}.read();",
            ]
        else:
            lines.append(f"    const {frame(network, text)} {text.name}_frame = {text.name}.read();")
    lines += [f"    {static}{frame(network, text)} {text.name}_frame;" for text in network.outputs]
    lines.append(f"    {name}_layers::{network.entry}({arguments(network)});")
    lines += [f"    {text.name}.write({text.name}_frame);" for text in network.outputs]
    return "\n".join([*lines, "}"]) + "\n"


def _bench(network: Network) -> str:
    name, inputs, outputs = network.name, network.inputs, network.outputs
    ports = (*inputs, *outputs)
    drive = [
        "Data run(const Data &in) {",
        "    Data out(outputs().size());",
        *(f"    ac_channel<{frame(network, text)}> {text.name};" for text in ports),
        "    for (std::size_t v = 0; v < in[0].size(); ++v) {",
    ]
    for number, text in enumerate(inputs):
        drive += filled(network, number, text, f"{text.name}.write(frame)")
    drive.append(f"        CCS_DESIGN({name})({', '.join(text.name for text in ports)});")
    for number, text in enumerate(outputs):
        drive += taken(network, number, text, f"{text.name}.read()")
    drive += ["    }", "    return out;", "}"]
    return bench_text(
        name,
        inputs,
        outputs,
        includes=[f'#include "../{name}.h"', "", "#include <mc_scverify.h>"],
        drive=drive,
        main="CCS_MAIN(int argc, char *argv[])",
        end="CCS_RETURN",
    )


def _script(source: Source, network: Network) -> str:
    name = network.name
    period = 1000.0 / source.clock_mhz
    part = PARTS[source.target.name] if source.target.name in _VIRTEX else ""
    return f"""\
# Catapult project of {name}:
#
#   catapult -shell -file directives.tcl                synthesis
#   HLS_COSIM=1 catapult -shell -file directives.tcl    and co-simulation (SCVerify) with the vectors in tb/
#
# Variables of the environment: HLS_COSIM (0 or 1), HLS_PERIOD (ns), HLS_PART (an AMD Virtex UltraScale+ part; empty
# for the ASIC library that comes with Catapult).

foreach {{switch value}} {{cosim 0 period {period:.3f} part "{part}"}} {{
    set variable HLS_[string toupper $switch]
    set $switch $value
    if {{[info exists ::env($variable)]}} {{
        set $switch $::env($variable)
    }}
}}
set here [file dirname [file normalize [info script]]]

solution new -state initial
solution options defaults
solution options set /Input/CppStandard c++11
solution options set /Input/TargetPlatform x86_64
flow package require /SCVerify
solution options set /Flows/SCVerify/INVOKE_ARGS $here/tb

solution file add $here/{name}.cpp -type C++
solution file add $here/tb/{name}_tb.cpp -type C++ -exclude true

# Arrays are registers, constant ones logic, where the network is unrolled as a whole.
directive set -REGISTER_THRESHOLD {_threshold(network)}
directive set -MEM_MAP_THRESHOLD {_threshold(network)}
directive set -ROM_THRESHOLD {_threshold(network)}

go analyze
directive set -DESIGN_HIERARCHY {name}
go compile
if {{$part ne ""}} {{
    solution library add mgc_Xilinx-VIRTEX-uplus-2_beh -- -rtlsyntool Vivado -manufacturer Xilinx \\
        -family VIRTEX-uplus -speed -2 -part $part
    solution library add Xilinx_RAMS
    solution library add Xilinx_ROMS
}} else {{
    solution library add nangate-45nm_beh -- -rtlsyntool OasysRTL -vendor Nangate -technology 045nm
    solution library add ccs_sample_mem
}}
go libraries
directive set -CLOCKS [list clk [list -CLOCK_PERIOD $period]]
go assembly
go architect
go extract
project save

if {{$cosim}} {{
    flow run /SCVerify/launch_make ./scverify/Verify_rtl_v_msim.mk {{}} SIMTOOL=msim sim
}}
"""


def _threshold(network: Network) -> int:
    return 1 << 20 if network.parallel else 1024
