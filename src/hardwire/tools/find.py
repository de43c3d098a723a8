"""Where external tools come from: an override variable, the search path, or a Python package, in this order.

Each tool module declares one `TOOL`; `status` finds them all, so a new tool is one new file.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from hardwire.errors import MissingToolError, ToolError
from hardwire.presence import modules_in
from hardwire.tools.process import run

PROBE_SECONDS = 120.0
"""A WebAssembly tool compiles itself on its first start, for up to some twenty seconds of processor time."""


@dataclass(frozen=True)
class PythonPackage:
    """A Python package that brings the tool, and the command line that starts it."""

    module: str
    arguments: tuple[str, ...]
    """What follows the Python interpreter; `{package}` stands for the package's folder."""
    environment: Mapping[str, str] = field(default_factory=dict)
    program: str | None = None
    """A program inside the package to start instead of the interpreter."""
    distribution: str | None = None
    """The distribution whose version is the tool's, for a program that does not state its own."""

    def folder(self) -> Path | None:
        """The package's folder, found without importing the package; None if it is not installed."""
        try:
            spec = importlib.util.find_spec(self.module)
        except (ImportError, ValueError):
            return None
        if spec is None or not spec.submodule_search_locations:
            return None
        return Path(next(iter(spec.submodule_search_locations)))


def entry_point(module: str, function: str) -> tuple[str, ...]:
    """Interpreter arguments that call a package's console function, wherever its scripts were installed."""
    return ("-P", "-c", f"import sys; from {module} import {function} as main; sys.exit(main())")


@dataclass(frozen=True)
class Tool:
    """One external tool: how it is found, and who brings it."""

    name: str
    purpose: str
    commands: tuple[str, ...]
    """Program names to look for on the search path, the preferred one first."""
    packages: tuple[PythonPackage, ...] = ()
    pip: str | None = None
    apt: str | None = None
    version_arguments: tuple[str, ...] = ("--version",)
    version_statuses: tuple[int, ...] = (0,)
    """Exit statuses with these arguments; a program that has no such option may call that a failure."""
    version_pattern: str = r"(\d+\.\d+(?:[.+][\w.+-]+)?)"
    """Empty for a program that states no version."""
    minimum: tuple[int, ...] = ()
    """A program on the search path that is older is passed over; an overridden one never is."""

    @property
    def variable(self) -> str:
        """The environment variable that overrides the search: a program, or a command line."""
        return "HARDWIRE_" + re.sub(r"\W", "_", self.name.replace("+", "x")).upper()

    def find(self) -> Found:
        """Find the tool. Raises `MissingToolError`, which names the package and the variable."""
        reasons = []
        override = os.environ.get(self.variable)
        if override:
            words = shlex.split(override)
            program = shutil.which(words[0]) if words else None
            if program is None:
                raise MissingToolError(
                    f"{self.name} is not where {self.variable}={override!r} says: no such program",
                    hint=f"correct or unset {self.variable}",
                )
            return Found(self, (program, *words[1:]), f"{self.variable}")
        for command in self.commands:
            program = shutil.which(command)
            if program is None:
                continue
            found = Found(self, (program,), "search path")
            if self.minimum:
                try:
                    version = found.version
                except ToolError as error:
                    reasons.append(f"{program} does not run ({error.what.splitlines()[0]})")
                    continue
                if _numbers(version) < self.minimum:
                    reasons.append(f"{program} is {version}, older than {'.'.join(map(str, self.minimum))}")
                    continue
            return found
        for package in self.packages:
            folder = package.folder()
            if folder is None:
                continue
            start = sys.executable if package.program is None else package.program.format(package=folder)
            command_line = (start, *(part.format(package=folder) for part in package.arguments))
            environment = {name: value.format(package=folder) for name, value in package.environment.items()}
            return Found(self, command_line, f"Python package {package.module}", environment, package.distribution)
        raise MissingToolError(
            f"{self.name} ({self.purpose}) is not installed" + "".join(f"; {reason}" for reason in reasons),
            hint=f"{self.install_hint()}, or set {self.variable} to a program",
        )

    def install_hint(self) -> str:
        """The commands that bring the tool."""
        ways = []
        if self.pip is not None:
            ways.append(f"pip install {self.pip}")
        if self.apt is not None:
            ways.append(f"apt-get install {self.apt}")
        return " or ".join(ways)


@dataclass(frozen=True)
class Found:
    """A tool that was found: the command line that starts it and the environment that it wants."""

    tool: Tool
    command: tuple[str, ...]
    origin: str
    environment: Mapping[str, str] = field(default_factory=dict)
    distribution: str | None = None

    @cached_property
    def version(self) -> str:
        """The version that the program states. Raises `ToolError` if it does not run or states none."""
        lines: list[str] = []
        run(
            [*self.command, *self.tool.version_arguments],
            env=self.environment,
            timeout=PROBE_SECONDS,
            progress=lines.append,
            tool=self.tool.name,
            statuses=self.tool.version_statuses,
        )
        if self.distribution is not None:
            return importlib.metadata.version(self.distribution)
        if not self.tool.version_pattern:
            return "no version stated"
        match = re.search(self.tool.version_pattern, "\n".join(lines))
        if match is None:
            raise ToolError(f"{self.tool.name} states no version: {' '.join(self.command)} printed {lines[:3]}")
        return match.group(1)


@dataclass(frozen=True)
class ToolStatus:
    """One line of `hardwire doctor`."""

    name: str
    purpose: str
    command: tuple[str, ...] | None
    origin: str | None
    version: str | None
    problem: str | None
    """Why it cannot be used, and how to get it; None if it can."""

    @property
    def ok(self) -> bool:
        """Whether the tool is there and runs."""
        return self.problem is None


def _numbers(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in match.group(0).split(".")) if match else ()


def tools() -> list[Tool]:
    """Every tool that a module of this package declares as `TOOL` or in `TOOLS`, by name."""
    import hardwire.tools as package

    found: list[Tool] = []
    for module in modules_in(package.__name__, package.__path__).values():
        declared = [getattr(module, "TOOL", None), *getattr(module, "TOOLS", ())]
        found += [tool for tool in declared if isinstance(tool, Tool)]
    return sorted(found, key=lambda tool: tool.name)


def status(*, versions: bool = True) -> list[ToolStatus]:
    """What is installed, what is missing and how to get it; with `versions`, each program is started once."""
    rows = []
    for tool in tools():
        try:
            found = tool.find()
            version = found.version if versions else None
        except (MissingToolError, ToolError) as error:
            rows.append(ToolStatus(tool.name, tool.purpose, None, None, None, str(error)))
        else:
            rows.append(ToolStatus(tool.name, tool.purpose, found.command, found.origin, version, None))
    return rows
