"""Headers of our own for the C simulation of HLS C++: the part of the vendors' types and streams that designs use.

One file of this folder is one header, by the name under which a vendor's tool brings its own. They go to `csim/` of the
emitted files; only hardwire's Makefile and C simulation put that folder on the include path, so the vendors' headers
take over in their tools. Written from the documented behaviour (AMD UG1399, the Algorithmic C datatypes reference
manual, the SYCL 2020 specification), Apache-2.0, C++14 (those of SYCL: C++17).
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

_FLAVOURS = {
    "vitis": ("hw_int.h", "ap_int.h", "ap_fixed.h", "ap_axi_sdata.h", "hls_stream.h"),
    "oneapi": (
        "hw_int.h",
        "ac_int.h",
        "sycl/sycl.hpp",
        "sycl/ext/intel/fpga_extensions.hpp",
        "sycl/ext/intel/ac_types/ac_int.hpp",
    ),
    "catapult": ("hw_int.h", "ac_int.h", "ac_channel.h", "mc_scverify.h"),
}

FLAVOURS = tuple(_FLAVOURS)
"""Whose headers there are."""


@cache
def _text(name: str) -> str:
    return files(__name__).joinpath(name).read_text("utf-8")


def header_files(flavour: str) -> dict[str, str]:
    """The stand-in headers of a flavour (one of `FLAVOURS`): name below the emitted files, `csim/…` → text."""
    return {f"csim/{name}": _text(name) for name in _FLAVOURS[flavour]}
