"""Wrappers: one file an interface around the core module, found by its presence in this folder.

The core takes a vector every cycle, has a fixed latency and cannot be held up. A wrapper gives it the interface that a
system wants: a stream with back-pressure, other buses, another reset. A wrapper module has `NAME`, `TITLE`, `OPTIONS`
(the options that it takes, see `hardwire.wrappers._options`), `top(module)` (the name of the wrapped module) and
`emit(circuit, module, options=Options()) -> dict[file name, text]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import ModuleType

from hardwire.presence import modules_in
from hardwire.schedule.circuit import Circuit
from hardwire.wrappers._options import Options, WrapperError, parse

__all__ = ["Wrapper", "WrapperError", "wrapper", "wrappers"]


@cache
def _registry() -> dict[str, ModuleType]:
    return {module.NAME: module for module in modules_in(__name__, __path__).values()}


@dataclass(frozen=True)
class Wrapper:
    """A wrapper and the options that were chosen for it."""

    module: ModuleType
    options: Options

    @property
    def NAME(self) -> str:
        """What it is called on the command line."""
        return str(self.module.NAME)

    @property
    def TITLE(self) -> str:
        """One line for people."""
        return str(self.module.TITLE)

    def top(self, module: str) -> str:
        """Name of the module that wraps the core `module`."""
        return str(self.module.top(module))

    def emit(self, circuit: Circuit, module: str) -> dict[str, str]:
        """Verilog around the core `module`, its layout, constraints and test bench: file name → text.

        Raises `WrapperError` for options that do not fit the circuit.
        """
        files: dict[str, str] = self.module.emit(circuit, module, self.options)
        return files


def wrappers() -> list[str]:
    """Names of the wrappers, sorted."""
    return sorted(_registry())


def wrapper(text: str) -> Wrapper:
    """Return the wrapper `NAME` or `NAME:OPTION=VALUE,…`, such as `axi_stream:data_width=32,reset=async-low`.

    Raises `WrapperError` that lists the known wrappers, or the options of this one.
    """
    name, _, options = text.partition(":")
    module = _registry().get(name)
    if module is None:
        raise WrapperError(f"wrapper {name!r} is unknown", hint=f"one of {', '.join(wrappers())}")
    return Wrapper(module, parse(options, name, module.OPTIONS))
