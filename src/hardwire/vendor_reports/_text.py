"""Tables and numbers in reports, with the line that each stands in."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from hardwire.errors import HardwireError


class VendorReportError(HardwireError):
    """A vendor's report is unreadable, truncated, of another kind, or contradicts another one."""

    exit_code = 2


@dataclass
class Row:
    """One row of a table; `line` counts from 1."""

    line: int
    cells: list[str]


@dataclass
class Table:
    """A table that is drawn with `+---+` rules: its title (of the line above, or of its first row), header and rows."""

    title: str
    line: int
    header: list[str]
    rows: list[Row] = field(default_factory=list)

    def column(self, *names: str) -> int:
        """The number of the column of one of these names."""
        for name in names:
            if name in self.header:
                return self.header.index(name)
        raise VendorReportError(f"line {self.line}: table {self.title!r} has no column {' or '.join(names)!r}")

    def cell(self, row: Row, column: int) -> str:
        """A row's cell; raises `VendorReportError` for a row that was cut off."""
        if column >= len(row.cells):
            raise VendorReportError(
                f"line {row.line}: the row has {len(row.cells)} cells of {len(self.header)}: the report is truncated",
                hint="write the report anew",
            )
        return row.cells[column]


def drawn_tables(text: str, bar: str) -> list[Table]:
    """All tables whose rules are `+---+` and whose cells lie between `bar`s.

    A first row of a single cell is the title; else the last line of plain words above is (`1. CLB Logic`).
    """
    tables: list[Table] = []
    above, title, open_, ruled, rules = "", "", False, False, 0
    header: Row | None = None
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if re.fullmatch(r"\+[-=+]+\+?", stripped):
            # One rule right below another begins the next table.
            rules = 1 if ruled or not open_ else rules + 1
            if rules == 1:
                open_, header, title = True, None, above
            ruled = True
            continue
        ruled = False
        if open_ and stripped.startswith(bar):
            cells = [cell.strip() for cell in stripped.strip(bar).split(bar)]
            if not stripped.endswith(bar) or len(stripped) == 1:
                cells = cells[:-1]
            if not cells:
                continue
            row = Row(number, cells)
            if header is None and len(cells) == 1 and rules == 1:
                title = cells[0]
            elif header is None:
                header = row
                tables.append(Table(title, number, cells))
            else:
                tables[-1].rows.append(row)
            continue
        open_ = False
        if re.search(r"\w", stripped):
            above = re.sub(r"^[\d.]+\s+", "", stripped)
    return tables


def amount(text: str, line: int, name: str) -> float:
    """A number as `1,234`, `2.5`, or the first of `54,959 / 251,680 ( 22 % )`."""
    match = re.match(r"\s*(-?[\d,]*\.?\d+)", text)
    if match is None:
        raise VendorReportError(f"line {line}: {name} is {text.strip()!r}, no number", hint="write the report anew")
    return float(match[1].replace(",", ""))


def count(text: str, line: int, name: str) -> int | float:
    """An amount that is whole but for halves of block memories."""
    value = amount(text, line, name)
    return int(value) if value == int(value) else value


def of_many(text: str, line: int, name: str) -> int | float | None:
    """The second number of `54,959 / 251,680 ( 22 % )`; None where there is none."""
    _, slash, rest = text.partition("/")
    return count(rest, line, name) if slash else None


def lines_of(text: str) -> Iterator[tuple[int, str]]:
    """Numbered lines, from 1."""
    return enumerate(text.splitlines(), 1)


def missing(text: str, what: str, where: str) -> VendorReportError:
    """The error for something that every report of a kind has, and this one has not."""
    last = len(text.splitlines())
    return VendorReportError(
        f"{what} is not told ({where}); the report ends at line {last}: truncated, or of another kind",
        hint="write the report anew",
    )


def xml_root(text: str) -> ET.Element:
    """The root of an XML report; one with entities of its own is refused."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise VendorReportError("the XML declares a document type, which no report does")
    try:
        return ET.fromstring(text)
    except ET.ParseError as error:
        line, column = error.position
        raise VendorReportError(
            f"line {line}, column {column}: the XML is broken or truncated ({error.msg.split(':')[0]})",
            hint="write the report anew",
        ) from error


def limiting(clocks: dict[str, dict[str, float | None]]) -> str | None:
    """The clock with the least slack, the first by name of several; None where no clock has any."""
    known = {name: float(slack) for name, row in clocks.items() if (slack := row.get("wns_ns")) is not None}
    return min(sorted(known), key=lambda name: known[name]) if known else None


def fmax(period_ns: float, slack_ns: float) -> float | None:
    """The clock at which a path with that slack just holds, in MHz."""
    return round(1000.0 / (period_ns - slack_ns), 3) if period_ns > slack_ns else None


def first_match(pattern: str, lines: Sequence[str]) -> str | None:
    """The first group of the first line that a pattern matches."""
    for line in lines:
        match = re.search(pattern, line)
        if match:
            return match[1].strip()
    return None
