"""The errors that users meet.

Every message says what was found (layer or field and its value), why it cannot be used, and what to try.
The command line prints the message alone and exits with the error's `exit_code`.
"""

from __future__ import annotations


class HardwireError(Exception):
    """Base of every error that hardwire raises on purpose.

    `what` names the thing and the reason in one sentence; `hint` says what to try next.
    """

    exit_code = 1

    def __init__(self, what: str, *, hint: str | None = None) -> None:
        self.what = what
        self.hint = hint
        super().__init__(what if hint is None else f"{what}\n  try: {hint}")


class ModelError(HardwireError):
    """The model file or object cannot be read, or asks for something that hardwire does not know."""

    exit_code = 2


class UnsupportedError(ModelError):
    """A layer, operator or attribute that hardwire does not implement; names it."""


class TypeStringError(HardwireError):
    """A type such as `s8.4` is malformed or impossible."""

    exit_code = 2


class DataError(HardwireError):
    """An input array has the wrong shape, dtype or values."""

    exit_code = 2


class RangeError(HardwireError):
    """A value needs more bits than the Program can hold (62), or a range is empty.

    `layer` is the name of the node at whose lowering that was found, where it was found there.
    """

    exit_code = 3
    layer: str | None = None


class ContractError(HardwireError):
    """The clock or latency contract cannot be met; says by how much and what to change."""

    exit_code = 4


class MissingToolError(HardwireError):
    """An external tool is not installed; names the package that brings it and the variable that overrides it."""

    exit_code = 5


class ToolError(HardwireError):
    """An external tool ran and failed; carries the end of its log."""

    exit_code = 6


class VerificationError(HardwireError):
    """Two representations of the same design disagree, or a proof failed."""

    exit_code = 7


class TrainingError(HardwireError):
    """A training run cannot start, go on or be resumed; names the option, the callback or the checkpoint."""

    exit_code = 8


class InternalError(HardwireError):
    """A verifier found hardwire itself wrong (a pass broke a Program); please report it."""

    exit_code = 70
