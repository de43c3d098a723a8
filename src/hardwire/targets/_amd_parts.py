"""AMD's part numbers of the targets of its families, for projects and scripts of its tools."""

from __future__ import annotations

PARTS = {
    "xc7-a35t": "xc7a35tcsg324-1",
    "xc7-a100t": "xc7a100tcsg324-1",
    "xc7-a200t": "xc7a200tfbg484-1",
    "xc7-z020": "xc7z020clg400-1",
    "xc7-k325t": "xc7k325tffg900-2",
    "xc7-vx690t": "xc7vx690tffg1761-2",
    "xcup-vu13p": "xcvu13p-flga2577-2-e",
    "xcup-vu9p": "xcvu9p-flga2104-2-e",
    "xcup-zu9eg": "xczu9eg-ffvb1156-2-e",
}
"""Part number by name of a target."""
