"""C++ text: lines with indentation, names, literals, constant arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardwire.backends._names import legal
from hardwire.fixed import width_of

_LOOSE, _TIGHT = ",?:+-", ",?:+-*=&|^<>"
"""Ends of lines that are cut, the first ones where there is one in the line's second half; outside brackets if so."""

WIDTH = 110
"""Longest line that is filled with numbers or terms."""

RESERVED = frozenset(
    """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl concept const constexpr
    const_cast continue decltype default delete do double dynamic_cast else enum explicit export extern false float for
    friend goto if inline int long main mutable namespace new noexcept not not_eq nullptr operator or or_eq private
    protected public register reinterpret_cast requires return short signed sizeof static static_assert static_cast
    struct switch template this thread_local throw true try typedef typeid typename union unsigned using virtual void
    volatile wchar_t while xor xor_eq std sycl hls hw abort abs acos asin atan ceil cos div exit exp fabs floor free
    index j0 j1 jn log malloc pow printf random read remove rename round signal sin sqrt system tan time trunc
    write y0 y1 yn
    """.split()  # noqa: SIM905
)
"""Key words of C++, and names of the C library that a function of this kind could meet."""


class Names:
    """Hands out identifiers, each once."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.taken = {*RESERVED, *taken}

    def __call__(self, name: str) -> str:
        """An identifier made from a layer's name."""
        stem = fresh = legal(name)
        count = 1
        while fresh in self.taken:
            count += 1
            fresh = f"{stem}_{count}"
        self.taken.add(fresh)
        return fresh

    def free(self, name: str) -> str:
        """A name of this kind that hides no other, for one block alone."""
        fresh = self(name)
        self.taken.remove(fresh)
        return fresh


class Lines:
    """Text under construction: lines with indentation, and loop variables that do not hide each other."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.depth = 0
        self.loops: list[str] = []

    def add(self, *lines: str) -> None:
        """Append lines at the present depth; pragmas and empty lines stand at the left."""
        for line in lines:
            if not line or line.startswith("#"):
                self.lines.append(line)
            else:
                self.lines += _wrapped("    " * self.depth, line)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """`head {` … `}`."""
        self.add(f"{head} {{" if head else "{")
        self.depth += 1
        yield
        self.depth -= 1
        self.add("}")

    @contextmanager
    def loop(self, count: int, pragmas: tuple[list[str], list[str]] = ([], [])) -> Iterator[str]:
        """A loop of `count` rounds; gives its variable."""
        variable = next(name for name in _variables() if name not in self.loops)
        self.loops.append(variable)
        before, inside = pragmas
        self.add(*before)
        with self.block(f"for (int {variable} = 0; {variable} < {count}; ++{variable})"):
            self.add(*inside)
            yield variable
        self.loops.pop()

    def text(self) -> str:
        """All of it."""
        return "\n".join(self.lines) + "\n"


def _wrapped(indent: str, line: str) -> list[str]:
    """A line, continued behind operators and commas where it is too long."""
    lines = []
    while len(indent) + len(line) > WIDTH:
        room = WIDTH - len(indent)
        spaces = [n for n in range(20, room) if line[n] == " "]
        depth = [line.count("(", 0, n) - line.count(")", 0, n) for n in range(room)]
        loose = [n for n in spaces if line[n - 1] in _LOOSE and n > room // 2]
        cut = max(loose or [n for n in spaces if line[n - 1] in _TIGHT], key=lambda n: (-depth[n], n), default=-1)
        if cut < 0:
            break
        lines.append(indent + line[:cut])
        line = "    " + line[cut + 1 :]
    return [*lines, indent + line]


def _variables() -> Iterator[str]:
    yield from "ijklmn"
    number = 0
    while True:
        yield f"i{number}"
        number += 1


def literal(value: int) -> str:
    """An integer constant of C++ that holds the value."""
    return str(value) if -(1 << 31) < value < 1 << 31 else f"{value}LL"


def size_of(lo: int, hi: int) -> tuple[int, bool]:
    """Bits (at least 1) and sign of the type that holds a range."""
    return max(1, width_of(lo, hi)), lo < 0


def native(lo: int, hi: int) -> str:
    """The C++ type of a constant array whose values lie in a range."""
    sign = "" if lo < 0 else "u"
    bits, signed = size_of(lo, hi)
    for size in (8, 16, 32):
        if bits <= size:
            return f"{sign}int{size}_t"
    return "int64_t" if signed else "uint64_t"


def constant_array(head: str, name: str, values: NDArray[Any]) -> list[str]:
    """Lines that define an integer array of one or two dimensions."""
    lo, hi = int(values.min()), int(values.max())
    sizes = "".join(f"[{n}]" for n in values.shape)
    lines = [f"{head} {native(lo, hi)} {name}{sizes} = {{"]
    if values.ndim == 1:
        lines += filled(values, "    ", "")
    else:
        for row in values:
            inside = filled(row, "     ", "")
            inside[0] = f"    {{{inside[0].lstrip()}"
            inside[-1] += "},"
            lines += inside
    return [*lines, "};"]


def filled(values: Sequence[Any] | NDArray[Any], indent: str, end: str) -> list[str]:
    """Numbers separated by commas, in lines of at most `WIDTH` characters."""
    texts = [literal(int(v)) for v in np.asarray(values).tolist()]
    lines, line = [], indent
    for n, text in enumerate(texts):
        piece = text + ("," if n + 1 < len(texts) else end)
        if len(line) + len(piece) + 1 > WIDTH:
            lines.append(line.rstrip())
            line = indent
        line += piece + " "
    return [*lines, line.rstrip()]
