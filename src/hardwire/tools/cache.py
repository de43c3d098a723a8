"""The user's cache folder, for things that are costly to make and the same for every design."""

from __future__ import annotations

import os
from pathlib import Path

from hardwire.errors import HardwireError


def cache_folder(*parts: str) -> Path:
    """A folder below `HARDWIRE_CACHE_DIR` (default `~/.cache/hardwire`), made if it is not there."""
    base = os.environ.get("HARDWIRE_CACHE_DIR")
    folder = Path(base).expanduser() if base else Path.home() / ".cache" / "hardwire"
    folder = folder.joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HardwireError(
            f"the cache folder {folder} cannot be made: {error.strerror}", hint="set HARDWIRE_CACHE_DIR"
        ) from error
    return folder
