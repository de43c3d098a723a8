"""Files that every flavour of HLS C++ has: layers, their constants, their small functions; and what they begin with."""

from __future__ import annotations

import re

from hardwire.backends import BackendError
from hardwire.backends._hls_network import Network, PortText
from hardwire.backends._hls_text import RESERVED
from hardwire.backends._names import comment

_HEADERS = frozenset(
    """
    ac_channel ac_fixed ac_int ap_axi_sdata ap_fixed ap_int hls_stream hw_int mc_scverify alloca assert complex ctype
    dirent dlfcn endian errno fcntl features fenv float inttypes iso646 langinfo libintl limits locale malloc math
    memory monetary poll pthread regex sched semaphore setjmp signal stdalign stdarg stdatomic stdbool stddef stdint
    stdio stdlib stdnoreturn string strings syscall sysexits syslog termios tgmath threads time uchar unistd values
    wchar wctype
    """.split()  # noqa: SIM905
)
"""Headers of the vendors and of the C library, which a header `<name>.h` in the include path would hide."""

DESIGN_RESERVED = RESERVED | _HEADERS
"""Names that no design can have."""


def check_name(name: str) -> str:
    """Return the name of a design; raises `BackendError` if it is no identifier of C++."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or name in DESIGN_RESERVED:
        raise BackendError(
            f"name {name!r} cannot be used in C++", hint="letters, digits and underscores, a letter first"
        )
    return name


def guard(name: str, part: str = "") -> list[str]:
    """First lines of a header."""
    macro = f"HARDWIRE_{name.upper()}{part.upper()}_H"
    return [f"#ifndef {macro}", f"#define {macro}", ""]


def common_files(network: Network) -> dict[str, str]:
    """`<name>_layers.h`, `<name>_constants.h`, `<name>_ops.h`."""
    name, dialect = network.name, network.dialect
    layers = network.layers_text()
    how = (
        "Every loop is unrolled, so that a frame is taken each clock cycle."
        if network.parallel
        else "Too large to be unrolled as a whole: layers are loops that run one after another."
    )
    head = [
        f"// {name}: a function a layer, named after the model's layers.",
        f"// {how}",
        "//",
        "// Numbers are integer codes of the types that their proven ranges need. s8.4 is a signed type of 8 bits, 4",
        "// of them fractional: its values are code * 2^-4.",
        "",
        *guard(name, "_layers"),
        f"#include <{dialect.include}>",
        "",
        f'#include "{name}_constants.h"',
        f'#include "{name}_ops.h"',
        "",
        f"namespace {name}_layers {{",
    ]
    constants = [
        f"// {name}: weights, biases and tables.",
        "",
        *guard(name, "_constants"),
        "#include <cstdint>",
        "",
        f"namespace {name}_layers {{",
        *network.constants_text(),
    ]
    ops = [
        f"// {name}: small functions that the layers call.",
        "",
        *guard(name, "_ops"),
        f"#include <{dialect.include}>",
        "",
        f"namespace {name}_layers {{",
        *network.helpers_text(),
    ]
    tail = ["", f"}}  // namespace {name}_layers", "", "#endif"]
    return {
        f"{name}_layers.h": "\n".join([*head, *layers, *tail]) + "\n",
        f"{name}_constants.h": "\n".join([*constants, *tail]) + "\n",
        f"{name}_ops.h": "\n".join([*ops, *tail]) + "\n",
    }


def describe_port(text: PortText) -> list[str]:
    """Comment lines on a port: its name in the model, its shape, what its codes mean."""
    port = text.port
    shape = " x ".join(map(str, port.shape)) or "one number"
    line = f"// {text.name}: {comment(port.name)}, {shape}"
    if text.frac is not None:
        kind = f"{'s' if text.signed else 'u'}{text.bits}.{text.frac}"
        lines = [f"{line}; {kind}"]
    else:
        lines = [f"{line}; integer codes. The value of element k is code times"]
        lines += _scales(text)
    if port.quantiser is not None:
        lines.append(f"//    made from real numbers as {comment(port.quantiser.describe())}")
    return lines


def _scales(text: PortText) -> list[str]:
    """Scales of the elements, in runs of equal ones."""
    lines: list[str] = []
    start = 0
    for k in range(1, text.size + 1):
        same = k < text.size and (text.scales[k] is text.scales[start] or text.scales[k] == text.scales[start])
        if not same:
            span = f"{start}" if k == start + 1 else f"{start} to {k - 1}"
            lines.append(f"//    {span}: {text.scales[start]}")
            start = k
        if len(lines) == 64 and k < text.size:
            return [*lines, "//    and so on"]
    return lines
