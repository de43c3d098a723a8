"""Frames of integer codes, which flavours with `ac_int` send through their channels and pipes."""

from __future__ import annotations

from hardwire.backends._hls_files import describe_port, guard
from hardwire.backends._hls_network import Network, PortText


def frame_header(network: Network, about: list[str], includes: list[str], declarations: list[str]) -> str:
    """Text of `<name>.h`: a structure a port, and what a flavour declares besides."""
    name, dialect = network.name, network.dialect
    lines = [f"// {line}" for line in about]
    for text in (*network.inputs, *network.outputs):
        lines += ["//", *describe_port(text)]
    lines += ["", *guard(name), *includes]
    for text in (*network.inputs, *network.outputs):
        lines += [
            "",
            f"// A frame of {text.name}: integer codes.",
            f"struct {frame(network, text)} {{",
            f"    {dialect.type(text.bits, text.signed)} element[{text.size}];",
            "};",
        ]
    return "\n".join([*lines, *declarations, "", "#endif"]) + "\n"


def frame(network: Network, text: PortText) -> str:
    """Name of a port's structure."""
    return f"{network.name}_{text.name}_frame"


def arguments(network: Network) -> str:
    """Arguments of the network's function, from frames named after the ports."""
    return ", ".join(f"{text.name}_frame.element" for text in (*network.inputs, *network.outputs))


def filled(network: Network, number: int, text: PortText, send: str) -> list[str]:
    """Bench lines that make a frame of vector `v` and send it with the statement `send`, which calls it `frame`."""
    return [
        "        {",
        f"            {frame(network, text)} frame;",
        f"            for (std::size_t k = 0; k < {text.size}; ++k) frame.element[k] = in[{number}][v][k];",
        f"            {send};",
        "        }",
    ]


def taken(network: Network, number: int, text: PortText, receive: str) -> list[str]:
    """Bench lines that keep the codes of the frame that `receive` gives."""
    return [
        "        {",
        f"            const {frame(network, text)} frame = {receive};",
        f"            Codes codes({text.size});",
        f"            for (std::size_t k = 0; k < {text.size}; ++k) codes[k] = frame.element[k].to_int64();",
        f"            out[{number}].push_back(codes);",
        "        }",
    ]
