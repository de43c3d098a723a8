"""gowin_pack (Project Apicula): from a routed Gowin netlist to a bitstream."""

from __future__ import annotations

from pathlib import Path

from hardwire.tools.files import bring
from hardwire.tools.find import PythonPackage, Tool, entry_point
from hardwire.tools.process import Progress, run

TOOL = Tool(
    name="gowin_pack",
    purpose="bitstreams for Gowin",
    commands=("gowin_pack",),
    packages=(PythonPackage("apycula", entry_point("apycula.gowin_pack", "main"), distribution="Apycula"),),
    pip="Apycula",
    # It has no option for its version.
    version_arguments=("-h",),
    version_pattern="",
)


def pack_bitstream(
    config: Path, bitstream: Path, *, chip: str, compress: bool = True, progress: Progress | None = None
) -> Path:
    """Write the bitstream (`.fs`) of a netlist that nextpnr routed for `chip` (one of `nextpnr_gowin.CHIPS`).

    Returns its path. Raises `DataError` and `ToolError`.
    """
    found = TOOL.find()
    (source,) = bring([config], bitstream.parent, "routed netlist")
    partial = bitstream.with_name(bitstream.name + ".partial")
    if progress is not None:
        progress("gowin_pack: pack the bitstream")
    run(
        [*found.command, *(["-c"] if compress else []), "-d", chip, "-o", partial.name, source],
        cwd=bitstream.parent,
        log=bitstream.with_name(bitstream.name + ".log"),
        env=found.environment,
        tool="gowin_pack",
    )
    partial.replace(bitstream)
    return bitstream
