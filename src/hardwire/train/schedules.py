"""Learning-rate schedules: the share of `Options.rate` at a share of the run, from 0 to 1. Add one to `SCHEDULES`.

They keep no state: the rate of a step follows from the step alone, so that a resumed run takes the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[float], float]


def cosine(done: float) -> float:
    """Half a cosine from 1 to 0 (Loshchilov & Hutter 2017, without restarts)."""
    return 0.5 * (1.0 + math.cos(math.pi * done))


def one_cycle(done: float) -> float:
    """From 1/25 up to 1 over the first 30 %, then down to nearly 0, by half cosines (Smith & Topin 2019)."""
    start, end, top = 1 / 25, 1 / 250_000, 0.3
    if done < top:
        return 1.0 - (1.0 - start) * cosine(done / top)
    return end + (1.0 - end) * cosine((done - top) / (1.0 - top))


def warm_cosine(done: float) -> float:
    """Up in a straight line over the first 5 %, then half a cosine down to 0."""
    return done / 0.05 if done < 0.05 else cosine((done - 0.05) / 0.95)


def restarts(done: float) -> float:
    """Twelve half cosines from 1 to 0, all of the same height (Loshchilov & Hutter 2017): for a cost that grows."""
    return cosine(done * 12.0 % 1.0) if done < 1.0 else 0.0


SCHEDULES: dict[str, Schedule] = {
    "constant": lambda done: 1.0,
    "cosine": cosine,
    "exponential": lambda done: 1e-3**done,
    "linear": lambda done: 1.0 - done,
    "one-cycle": one_cycle,
    "restarts": restarts,
    "warm-cosine": warm_cosine,
}
"""By the name that `Options.schedule` takes."""
