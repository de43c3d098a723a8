"""Checkpoints: all that a run depends on, in one file that is whole or absent. Reading one runs no code."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hardwire.errors import TrainingError

FORMAT = 1


def write(path: Path, state: dict[str, Any]) -> None:
    """Write beside, then rename: a kill at any moment leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    with beside.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)


def read(path: Path) -> dict[str, Any]:
    """Read tensors, numbers and texts, and nothing else; raises `TrainingError` for another or a damaged file."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # what PyTorch raises for what is no file of its own is of many kinds
        raise TrainingError(
            f"checkpoint {str(path)!r} cannot be read: {str(error).splitlines()[0]}",
            hint="remove it, or start anew without resuming",
        ) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise TrainingError(
            f"checkpoint {str(path)!r} is none of this version of hardwire",
            hint="remove it, or start anew without resuming",
        )
    return state


def digest(*tensors: Tensor) -> str:
    """SHA-256 of tensors' types, shapes and bytes."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        found.update(memoryview(tensor.detach().cpu().contiguous().numpy()).cast("B") if tensor.numel() else b"")
    return found.hexdigest()
