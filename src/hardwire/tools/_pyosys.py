"""A command line for the Python package pyosys, which brings Yosys as a library: `-V`, or `-s SCRIPT`.

Run as a program in a process of its own: Yosys keeps global state, ends the process on errors, and must be killable.
"""

from __future__ import annotations

import sys


def main(arguments: list[str]) -> int:
    """Run the Yosys script that `-s` names; `-V` prints the version."""
    from pyosys import libyosys

    if arguments == ["-V"]:
        print(libyosys.yosys_maybe_version())
        return 0
    if len(arguments) != 2 or arguments[0] != "-s":
        print("usage: -V | -s SCRIPT", file=sys.stderr)
        return 2
    libyosys.run_pass(f"script {arguments[1]}", libyosys.Design())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
