"""Which tables are added along one chain, where the adder behind a table takes the table in.

On a fabric whose adder bit has a whole LUT in front of the carry chain, the sum of a running total and a table is one
LUT a bit, table and all; only the sum of two totals is an adder of its own. So tables are added one after the other, in
as few chains as the levels allow.
"""

from __future__ import annotations

from collections.abc import Sequence


def chains(tops: Sequence[int], taken_in: Sequence[bool], others: int, levels: int) -> list[list[int]]:
    """Chains of summands, each in the order in which they are added.

    `tops`: where the highest bit of each summand lies; chains hold neighbours, so that their totals overlap little.
    `taken_in`: whether an adder takes it in; one that it does not is better first. `others`: further summands of the
    whole sum. `levels`: of adders that the sum may take, or the least that it needs if that is more.

    >>> chains([3, 4, 3, 5], [True] * 4, 0, levels=3)
    [[0, 2, 1, 3]]
    """
    count = len(tops)
    if not count:
        return []
    levels = max(levels, (count + others - 1).bit_length())
    order = sorted(range(count), key=lambda n: (tops[n], n))
    for parts in range(1, count + 1):
        ends = [count * part // parts for part in range(parts + 1)]
        lengths = [end - start for start, end in zip(ends, ends[1:], strict=False)]
        # A total of 2^l of the earliest counts as 2^l of them.
        if max(lengths) <= levels + 1 and sum(1 << (length - 1) for length in lengths) + others <= 1 << levels:
            break
    pieces = [order[start:end] for start, end in zip(ends, ends[1:], strict=False)]
    return [sorted(piece, key=lambda n: (taken_in[n], tops[n], n)) for piece in pieces]
