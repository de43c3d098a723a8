"""Where each element of a resized axis comes from: source elements and exact weights.

Coordinates are exact rationals, so that linear weights are what the formats' documents say, not what float32 makes of
them (a difference of one unit in the last place of float32 at most).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from math import ceil, floor

Rows = tuple[tuple[tuple[int, Fraction], ...], ...]
"""For each output element: (source index, weight) pairs."""

Coordinate = Callable[[int], Fraction]
"""Output index → place among the inputs."""


def coordinates(mode: str, n_in: int, n_out: int, scale: Fraction | None = None) -> Coordinate:
    """Return the coordinate rule of ONNX `Resize` named `mode`; `scale` is outputs per input, n_out / n_in if None.

    `half_pixel`, `half_pixel_symmetric`, `pytorch_half_pixel`, `tf_half_pixel_for_nn`, `align_corners`, `asymmetric`;
    `ValueError` for others.
    """
    ratio = 1 / (Fraction(n_out, n_in) if scale is None else scale)
    half = Fraction(1, 2)
    if mode == "align_corners":
        step = Fraction(n_in - 1, n_out - 1) if n_out > 1 else Fraction(0)
        return lambda i: i * step
    if mode == "asymmetric":
        return lambda i: i * ratio
    if mode == "half_pixel" or (mode == "pytorch_half_pixel" and n_out > 1):
        return lambda i: (i + half) * ratio - half
    if mode == "pytorch_half_pixel":
        return lambda i: Fraction(0)
    if mode == "tf_half_pixel_for_nn":
        return lambda i: (i + half) * ratio
    if mode == "half_pixel_symmetric":
        # The middle of what the exact scale would give stays in the middle of the input.
        start = Fraction(n_in, 2) * (1 - Fraction(n_out) * ratio / n_in)
        return lambda i: start + (i + half) * ratio - half
    raise ValueError(f"no coordinate mode {mode!r}")


def nearest_rows(n_in: int, n_out: int, place: Coordinate, rounding: str = "floor") -> Rows:
    """Nearest source by `floor`, `ceil`, `round_prefer_floor` or `round_prefer_ceil` (of halves)."""
    half = Fraction(1, 2)
    rules: dict[str, Callable[[Fraction], int]] = {
        "floor": floor,
        "ceil": ceil,
        "round_prefer_floor": lambda x: ceil(x - half),
        "round_prefer_ceil": lambda x: floor(x + half),
    }
    rule = rules[rounding]
    return tuple(((min(max(rule(place(i)), 0), n_in - 1), Fraction(1)),) for i in range(n_out))


def linear_rows(n_in: int, n_out: int, place: Coordinate) -> Rows:
    """Linear interpolation between the two neighbours; beyond the ends, the end."""
    rows = []
    for i in range(n_out):
        x = min(max(place(i), Fraction(0)), Fraction(n_in - 1))
        low = floor(x)
        rows.append(merged([(low, 1 - (x - low)), (min(low + 1, n_in - 1), x - low)]))
    return tuple(rows)


def cubic_rows(n_in: int, n_out: int, place: Coordinate, a: Fraction = Fraction(-3, 4), outside: bool = True) -> Rows:
    """Cubic convolution over four neighbours (Keys 1981); beyond the ends, the end, or (`outside` False) left out."""

    def near(d: Fraction) -> Fraction:
        return ((a + 2) * d - (a + 3)) * d * d + 1

    def far(d: Fraction) -> Fraction:
        return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a

    rows = []
    for i in range(n_out):
        x = place(i)
        low = floor(x)
        t = x - low
        taps = [(low - 1, far(t + 1)), (low, near(t)), (low + 1, near(1 - t)), (low + 2, far(2 - t))]
        if not outside:
            taps = [(j, w) for j, w in taps if 0 <= j < n_in]
            total = sum(w for _, w in taps)
            taps = [(j, w / total) for j, w in taps]
        rows.append(merged([(min(max(j, 0), n_in - 1), w) for j, w in taps]))
    return tuple(rows)


def merged(taps: Sequence[tuple[int, Fraction]]) -> tuple[tuple[int, Fraction], ...]:
    """Add weights of equal sources and drop zeros; at least one source stays."""
    total: dict[int, Fraction] = {}
    for source, weight in taps:
        total[source] = total.get(source, Fraction(0)) + weight
    kept = tuple((source, weight) for source, weight in sorted(total.items()) if weight)
    return kept or ((taps[0][0], Fraction(0)),)
