"""HLS C++ for Intel's and Altera's oneAPI compiler (FPGA support): `ac_int`, a SYCL kernel, pipes.

The kernel reads a frame from a pipe a port and writes its answer; frames hold integer codes. It is started once a
frame, and pipelined: a start each clock cycle where the network is unrolled as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass

from hardwire.backends import BackendError, Source
from hardwire.backends._headers import header_files
from hardwire.backends._hls_bench import bench_text, makefile, vector_files
from hardwire.backends._hls_dialect import Dialect
from hardwire.backends._hls_files import DESIGN_RESERVED, check_name, common_files
from hardwire.backends._hls_frames import arguments, filled, frame, frame_header, taken
from hardwire.backends._hls_kernel import AUTO
from hardwire.backends._hls_network import Network, PortText

NAME = "hls-oneapi"
TITLE = "HLS C++ for Intel/Altera oneAPI: ac_int, a SYCL kernel with pipes"
FROM_PROGRAM = True
RESERVED = DESIGN_RESERVED

MOST_ELEMENTS = 1 << 20
"""Elements of all arrays of a network: kernels have no static variables, and a simulator's stack holds no more."""


@dataclass(frozen=True)
class OneApi(Dialect):
    """Types, attributes and pragmas of the FPGA extensions; constants are `constexpr`, as kernels need them."""

    def type(self, bits: int, signed: bool) -> str:
        """The integer type of so many bits."""
        return f"ac_int<{bits}, {'true' if signed else 'false'}>"

    def generic(self, bits: str) -> str:
        """The unsigned type of a template parameter's number of bits."""
        return f"ac_int<{bits}, false>"

    def array_prefix(self, *, registers: bool) -> str:
        """Every element of its own, or a memory."""
        return "[[intel::fpga_register]] " if registers else "[[intel::fpga_memory]] "

    def unrolled(self) -> tuple[list[str], list[str]]:
        """Parallel hardware."""
        return ["#pragma unroll"], []

    def pipelined(self) -> tuple[list[str], list[str]]:
        """A round each clock cycle."""
        return ["[[intel::initiation_interval(1)]]"], []


DIALECT = OneApi("oneapi", "sycl/ext/intel/ac_types/ac_int.hpp", "static constexpr", statics=False)


def emit(source: Source, *, weights: str = AUTO) -> dict[str, str]:
    """Write the design, a test bench and a project; returns file name → text.

    `weights`: matrices as constants in the code (`constants`), as constant arrays and loops (`rom`), or what reads best
    (`auto`). Raises `BackendError` for a name that is no C++ identifier, and for a network whose arrays have more than
    `MOST_ELEMENTS` elements.
    """
    name = check_name(source.name)
    network = Network(source.program, name, DIALECT, weights)
    if network.elements > MOST_ELEMENTS:
        raise BackendError(
            f"design {name!r} has {network.elements} values between its layers; an oneAPI kernel keeps at most "
            f"{MOST_ELEMENTS} of them",
            hint="--backend hls-vitis or hls-catapult",
        )
    sources = [f"{name}.cpp", f"tb/{name}_tb.cpp"]
    about = [
        f"{name}: the frames that its kernel reads and writes, and the functions by which a host starts it and",
        "exchanges frames with it.",
    ]
    return {
        f"{name}.h": frame_header(
            network, about, [f"#include <{DIALECT.include}>", "#include <sycl/sycl.hpp>"], _declarations(network)
        ),
        f"{name}.cpp": _source(network),
        **common_files(network),
        sources[1]: _bench(network),
        **vector_files(network.inputs, network.outputs, source.vectors),
        "CMakeLists.txt": _cmake(source, network),
        "Makefile": makefile(
            name,
            sources,
            cosim="cmake -S . -B build && cmake --build build --target fpga_sim && build/fpga_sim",
            cosim_words="the FPGA simulator of oneAPI, by CMake",
        ),
        **header_files(DIALECT.flavour),
    }


def _start(network: Network) -> str:
    return f"sycl::event {network.name}_start(sycl::queue &queue)"


def _send(network: Network, text: PortText) -> str:
    return f"void {network.name}_send_{text.name}(sycl::queue &queue, const {frame(network, text)} &frame)"


def _receive(network: Network, text: PortText) -> str:
    return f"{frame(network, text)} {network.name}_receive_{text.name}(sycl::queue &queue)"


def _declarations(network: Network) -> list[str]:
    return [
        "",
        "// Starts the kernel for one frame.",
        f"{_start(network)};",
        *(f"{_send(network, text)};" for text in network.inputs),
        *(f"{_receive(network, text)};" for text in network.outputs),
    ]


def _source(network: Network) -> str:
    name, ports = network.name, (*network.inputs, *network.outputs)
    lines = [
        f"// {name}: pipes and kernel for oneAPI. Layers: {name}_layers.h.",
        "",
        f'#include "{name}.h"',
        "",
        "#include <sycl/ext/intel/fpga_extensions.hpp>",
        "",
        f'#include "{name}_layers.h"',
        "",
        "// Names of the kernel and of the pipes.",
        f"class {name}_id;",
    ]
    lines += [f"class {name}_{text.name}_id;" for text in ports]
    lines.append("")
    for text in ports:
        lines += [
            f"using {name}_{text.name}_pipe =",
            f"    sycl::ext::intel::experimental::pipe<{name}_{text.name}_id, {frame(network, text)}>;",
        ]
    lines += [
        "",
        "// Answers one frame; a start is a beat of a stream, too.",
        f"struct {name}_kernel {{",
        "    auto get(sycl::ext::oneapi::experimental::properties_tag) const {",
        "        return sycl::ext::oneapi::experimental::properties{",
    ]
    accept = "            sycl::ext::intel::experimental::streaming_interface_accept_downstream_stall"
    if network.parallel:
        lines += [f"{accept},", "            sycl::ext::intel::experimental::pipelined<1>};"]
    else:
        lines.append(f"{accept}}};")
    lines += ["    }", "    void operator()() const {"]
    lines += [
        f"        const {frame(network, text)} {text.name}_frame = {name}_{text.name}_pipe::read();"
        for text in network.inputs
    ]
    lines += [f"        {frame(network, text)} {text.name}_frame;" for text in network.outputs]
    lines.append(f"        {name}_layers::{network.entry}({arguments(network)});")
    lines += [f"        {name}_{text.name}_pipe::write({text.name}_frame);" for text in network.outputs]
    lines += ["    }", "};", ""]
    lines.append(f"{_start(network)} {{ return queue.single_task<{name}_id>({name}_kernel{{}}); }}")
    lines += [f"{_send(network, text)} {{ {name}_{text.name}_pipe::write(queue, frame); }}" for text in network.inputs]
    lines += [
        f"{_receive(network, text)} {{ return {name}_{text.name}_pipe::read(queue); }}" for text in network.outputs
    ]
    return "\n".join(lines) + "\n"


def _bench(network: Network) -> str:
    name, inputs, outputs = network.name, network.inputs, network.outputs
    drive = [
        "Data run(const Data &in) {",
        "#if defined(FPGA_SIMULATOR)",
        "    sycl::queue queue(sycl::ext::intel::fpga_simulator_selector_v);",
        "#elif defined(FPGA_HARDWARE)",
        "    sycl::queue queue(sycl::ext::intel::fpga_selector_v);",
        "#else",
        "    sycl::queue queue(sycl::ext::intel::fpga_emulator_selector_v);",
        "#endif",
        "    Data out(outputs().size());",
        "    for (std::size_t v = 0; v < in[0].size(); ++v) {",
        f"        {name}_start(queue);",
    ]
    for number, text in enumerate(inputs):
        drive += filled(network, number, text, f"{name}_send_{text.name}(queue, frame)")
    for number, text in enumerate(outputs):
        drive += taken(network, number, text, f"{name}_receive_{text.name}(queue)")
    drive += ["        queue.wait();", "    }", "    return out;", "}"]
    includes = [f'#include "../{name}.h"', "", "#include <sycl/ext/intel/fpga_extensions.hpp>"]
    return bench_text(name, inputs, outputs, includes=includes, drive=drive)


def _cmake(source: Source, network: Network) -> str:
    name = network.name
    return f"""\
# oneAPI project of {name}; its compiler is icpx:
#
#   cmake -S . -B build -DFPGA_DEVICE=Agilex7
#   cmake --build build --target fpga_emu       then build/fpga_emu tb: the emulator
#   cmake --build build --target fpga_sim       then build/fpga_sim tb: RTL against these vectors
#   cmake --build build --target report         resources, loops and Fmax, without Quartus
#   cmake --build build --target fpga           the IP or the bitstream, with Quartus
#
# FPGA_DEVICE is a family, a part number or a board; FPGA_CLOCK the clock in MHz.

cmake_minimum_required(VERSION 3.16)

set(FPGA_DEVICE "Agilex7" CACHE STRING "Device family, part or board")
set(FPGA_CLOCK "{source.clock_mhz:g}" CACHE STRING "Clock in MHz")
if(NOT CMAKE_CXX_COMPILER)
    set(CMAKE_CXX_COMPILER icpx)
endif()
project({name} LANGUAGES CXX)

set(SOURCES "${{CMAKE_CURRENT_SOURCE_DIR}}/{name}.cpp" "${{CMAKE_CURRENT_SOURCE_DIR}}/tb/{name}_tb.cpp")
set(COMMON -fsycl -fintelfpga -qactypes -std=c++17)
set(HARDWARE "-Xstarget=${{FPGA_DEVICE}}" "-Xsclock=${{FPGA_CLOCK}}MHz")

function(add_fpga_target target definition)
    add_executable(${{target}} EXCLUDE_FROM_ALL ${{SOURCES}})
    target_compile_definitions(${{target}} PRIVATE ${{definition}})
    target_compile_options(${{target}} PRIVATE ${{COMMON}})
    target_link_options(${{target}} PRIVATE ${{COMMON}} ${{ARGN}})
    set_target_properties(${{target}} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${{CMAKE_BINARY_DIR}}")
endfunction()

add_fpga_target(fpga_emu FPGA_EMULATOR)
add_fpga_target(fpga_sim FPGA_SIMULATOR -Xssimulation ${{HARDWARE}})
add_fpga_target(report FPGA_HARDWARE -Xshardware ${{HARDWARE}} -fsycl-link=early)
add_fpga_target(fpga FPGA_HARDWARE -Xshardware ${{HARDWARE}})
"""
