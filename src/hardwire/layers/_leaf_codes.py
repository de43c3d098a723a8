"""Codes for the leaves of a decision tree: few bits that are cheap to select and cheap to look up.

A tree with deep leaf values is smallest as a code of the leaf that is reached, by nested selections of a few bits, and
a table from codes to values: the selections then do not grow with the values' width. Which code a leaf gets decides
how many of the code's bits each selection must handle, and how many address bits the table has.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

Leaf = tuple[int, ...]


class Split(NamedTuple):
    """A decision: the value id of a condition (0 or 1), and the sides where it is 1 and 0."""

    condition: int
    yes: Tree
    no: Tree


class CodedSplit(NamedTuple):
    """A decision over leaf codes."""

    condition: int
    yes: CodedTree
    no: CodedTree


Tree = Split | Leaf
CodedTree = CodedSplit | int

_MUX = 0.6
"""LUTs of one bit of a selection: two often share one."""
_FREE_ADDRESS = 5
"""Address bits of a table up to which one LUT a bit of its values does."""


def leaf_codes(tree: Tree, width: int) -> tuple[CodedTree, dict[int, Leaf]]:
    """Return the tree over codes from 0 on, and the leaf of each code; `width` is the bits of all values of a leaf.

    Deterministic: the cheapest by an estimate of path codes (a bit a level), codes in order, and codes in aligned
    blocks.
    """
    leaves = list(leaves_of(tree))
    best: tuple[float, list[int]] | None = None
    for codes in (_by_path(tree), list(range(len(leaves))), _in_blocks(tree)):
        cost = _MUX * _muxes(tree, codes) + width * 2.0 ** max(0, max(codes).bit_length() - _FREE_ADDRESS)
        if best is None or cost < best[0]:
            best = cost, codes
    assert best is not None
    codes = best[1]
    return _coded(tree, iter(codes)), dict(zip(codes, leaves, strict=True))


def leaves_of(tree: Tree) -> Iterator[Leaf]:
    """Leaves in order, the side where a condition holds first."""
    if isinstance(tree, Split):
        yield from leaves_of(tree.yes)
        yield from leaves_of(tree.no)
    else:
        yield tree


def _coded(tree: Tree, codes: Iterator[int]) -> CodedTree:
    if not isinstance(tree, Split):
        return next(codes)
    yes = _coded(tree.yes, codes)
    return CodedSplit(tree.condition, yes, _coded(tree.no, codes))


def _by_path(tree: Tree) -> list[int]:
    """A bit a level, counted from the deepest leaf below."""
    if not isinstance(tree, Split):
        return [0]
    yes, no = _by_path(tree.yes), _by_path(tree.no)
    top = 1 << max(max(yes).bit_length(), max(no).bit_length())
    return yes + [top + code for code in no]


def _in_blocks(tree: Tree) -> list[int]:
    """The side with more codes first, the other from the next multiple of its own block, a power of two."""
    if not isinstance(tree, Split):
        return [0]
    yes, no = _in_blocks(tree.yes), _in_blocks(tree.no)
    big, small = max(yes, no, key=max), min(no, yes, key=max)
    block = 1 << max(small).bit_length()
    start = -(-(max(big) + 1) // block) * block
    if big is yes:
        return yes + [start + code for code in no]
    return [start + code for code in yes] + no


def _muxes(tree: Tree, codes: list[int]) -> int:
    """Bits that the selections of a coding handle: those that vary on a side; others are conditions or constants."""
    at = iter(codes)

    def walk(part: Tree) -> tuple[int, int, int]:
        """Muxes, bits that vary, and the value of the others."""
        if not isinstance(part, Split):
            return 0, 0, next(at)
        count_yes, vary_yes, fixed_yes = walk(part.yes)
        count_no, vary_no, fixed_no = walk(part.no)
        inside = vary_yes | vary_no
        return count_yes + count_no + inside.bit_count(), inside | (fixed_yes ^ fixed_no), fixed_yes

    return walk(tree)[0]
