"""The vendor's part number that a project is made for."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hardwire.projects import Project, ProjectError


def part_of(project: Project, title: str, parts: Mapping[str, str], example: str) -> str:
    """The part that the user names, or the project's default for the target.

    `parts`: part number by name of a target. Raises `ProjectError` where there is none, with an `example` of one.
    """
    part = project.part
    if part is None:
        part = parts.get(project.target.name)
    if part is None:
        tool = title.partition(":")[0]
        fitting = f", or a target of its parts: {', '.join(sorted(parts))}" if parts else ""
        raise ProjectError(
            f"{tool} has no part for target {project.target.name!r} ({project.target.title})",
            hint=f"name one: --part {example}{fitting}",
        )
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_./+-]*", part):
        raise ProjectError(f"{part!r} is no part number", hint=f"a full one, as {example}")
    return part
