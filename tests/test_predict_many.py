"""`Design.predict` on more rows than are run at a time."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

import hardwire as hw
from hardwire import design as module
from hardwire.errors import DataError
from hardwire.fixed import FixedType, Overflow
from hardwire.network.graph import Network, NetworkBuilder
from hardwire.quantiser import Quantiser


def two_in_two_out() -> Network:
    rng = np.random.default_rng(0)
    net = NetworkBuilder("pair")
    kind = Quantiser.of_type(FixedType.parse("s6.2"), overflow=Overflow.SAT)
    a, b = (net.add("quantise", f"q{n}", [net.input(n, (2, 8))], {"quantiser": kind}) for n in ("a", "b"))
    y = net.add("dense", "fc", [net.add("add", "sum", [a, b])], {}, {"kernel": rng.integers(-7, 8, (8, 3)) / 4})
    return net.build([y, a])


def test_parts_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    design = hw.compile(two_in_two_out(), backend="emulator")
    x = tuple(np.random.default_rng(1).normal(0, 4, (1001, 2, 8)).astype(np.float32) for _ in range(2))
    whole = design.predict(x)
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(module, "_VALUES_AT_A_TIME", 1)
    monkeypatch.setattr(module, "_LEAST_ROWS", 300)
    parts = design.predict(x, progress=lambda done, rows: seen.append((done, rows)))
    assert seen == [(300, 1001), (600, 1001), (900, 1001), (1001, 1001)]
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)
    x[1][777, 1, 3] = np.nan
    with pytest.raises(DataError, match="'b': row 777 "):
        design.predict(x)
    with pytest.raises(DataError, match="different numbers of rows"):
        design.predict((x[0], x[0][:900]))
    with pytest.raises(DataError, match=r"expected \(N, 2, 8\)"):
        design.predict((x[0][:, :1], x[0][:, :1]))


def test_memory_beside_inputs_and_outputs_is_bounded() -> None:
    design = hw.compile(two_in_two_out(), backend="emulator")
    x = tuple(np.zeros((900_000, 2, 8), np.float32) for _ in range(2))
    design.predict(tuple(a[:10] for a in x))
    tracemalloc.start()
    y = design.predict(x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak - sum(array.nbytes for array in y) < 160e6, "the inputs as float64 are 230 MB"
