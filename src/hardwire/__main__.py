"""`python -m hardwire`."""

from __future__ import annotations

from hardwire.cli import main

main()
