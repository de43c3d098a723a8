"""Jets as data: files, splits, the sample that ships, and generation with its parallelism."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import platform
import subprocess
import sys
import time
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hardwire import datasets
from hardwire.datasets import Jets, Standardiser, generate_jets, load_jets, split_indices
from hardwire.datasets._parallel import Tick, run_chunks
from hardwire.datasets.physics.features import FEATURE_NAMES
from hardwire.errors import DataError, MissingToolError, ToolError

needs_pythia = pytest.mark.skipif(
    find_spec("pythia8mc") is None or find_spec("awkward") is None,
    reason="the extra `physics` (pythia8mc, awkward) is not installed",
)


def some_jets(n: int = 12, seed: int = 0) -> Jets:
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(n, 16)) * 10.0 ** rng.integers(-9, 3, 16)).astype(np.float32)
    return Jets(x, np.arange(n, dtype=np.int64) % 5, recipe={"seed": seed, "versions": {"a": "1"}})


def assert_same(a: Jets, b: Jets) -> None:
    np.testing.assert_array_equal(a.X, b.X)
    np.testing.assert_array_equal(a.y, b.y)
    assert (a.feature_names, a.class_names, dict(a.recipe)) == (b.feature_names, b.class_names, dict(b.recipe))


# Files


@pytest.mark.parametrize("n", [0, 1, 12])
def test_saved_jets_load_as_they_were_with_the_same_bytes(tmp_path: Path, n: int) -> None:
    jets = some_jets(n)
    jets.save(tmp_path / "a.npz")
    jets.save(tmp_path / "b")
    loaded = Jets.load(tmp_path / "a.npz")
    assert_same(loaded, jets)
    assert (loaded.X.dtype, loaded.y.dtype) == (np.float32, np.int64)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.npz", "b"]


@given(
    x=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 6), st.just(16)),
        elements=st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False),
    )
)
@settings(max_examples=60, deadline=None)
def test_half_precision_keeps_eleven_bits_of_what_is_not_negligible(
    x: np.ndarray, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("half") / "h.npz"
    jets = Jets(x, np.zeros(len(x), dtype=np.int64))
    jets.save(path, half=True)
    back = Jets.load(path).X.astype(np.float64)
    largest = np.abs(x).max(axis=0).astype(np.float64)
    bound = np.maximum(np.abs(x) * 2.0**-11, np.maximum(largest, 2.0**-111) * 2.0**-38)
    assert (np.abs(back - x) <= bound).all()
    Jets(back.astype(np.float32), jets.y).save(path, half=True)
    np.testing.assert_array_equal(Jets.load(path).X, back)


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot write .*nowhere.*No such file"):
        some_jets().save(tmp_path / "nowhere" / "x.npz")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "x").mkdir()
    with pytest.raises(DataError, match=r"cannot write"):
        some_jets().save(tmp_path / "d" / "x")
    assert [p.name for p in (tmp_path / "d").iterdir()] == ["x"]


def test_unreadable_files_are_named_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file .*absent\.npz"):
        Jets.load(tmp_path / "absent.npz")
    np.save(tmp_path / "array.npy", np.zeros(3))
    np.savez(tmp_path / "other.npz", X=np.zeros((2, 16)), y=np.zeros(2))
    np.savez(tmp_path / "pickle.npz", format=np.array([{}], dtype=object))
    (tmp_path / "text.npz").write_text("not an archive")
    (tmp_path / "empty.npz").write_bytes(b"")
    for name in ("array.npy", "other.npz", "pickle.npz", "text.npz", "empty.npz"):
        with pytest.raises(DataError, match=rf"{name}.*jets"):
            Jets.load(tmp_path / name)
    with pytest.raises(DataError, match="cannot be read as jets"):
        Jets.load(tmp_path)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_file_is_refused_by_name_or_harmless(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "jets.npz"
    some_jets(40).save(path, half=True)
    whole = Jets.load(path)
    raw = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        raw = raw[: data.draw(st.integers(0, len(raw) - 1))]
    else:
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(raw)
    message = ""
    try:
        loaded = Jets.load(path)
    except DataError as error:
        message = str(error)
    else:
        # The archive's checksums leave only bytes without a meaning, such as a date, free to change.
        assert_same(loaded, whole)
        return
    assert "jets.npz" in message


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((3, 15), np.float32), np.zeros(3, np.int64), r"shape \(N, 16\).*not \(3, 15\)"),
        (np.zeros(16, np.float32), np.zeros(1, np.int64), r"not \(16,\)"),
        (np.zeros((3, 16), np.float32), np.zeros(4, np.int64), r"each of 3 rows, not y of shape \(4,\)"),
        (np.full((1, 16), np.nan, np.float32), np.zeros(1, np.int64), "feature zlogz holds a NaN"),
        (np.zeros((2, 16), np.float32), np.array([0, 5]), r"0 … 4, not 0 … 5"),
    ],
)
def test_jets_that_do_not_fit_are_refused(x: np.ndarray, y: np.ndarray, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Jets(x, y)


# Preparation


@given(n=st.integers(10, 500), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_a_split_is_a_partition_and_repeats(n: int, seed: int) -> None:
    parts = split_indices(n, validation=0.1, test=0.2, seed=seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(n))
    assert [len(p) for p in parts[1:]] == [round(n * 0.1), round(n * 0.2)]
    for a, b in zip(parts, split_indices(n, validation=0.1, test=0.2, seed=seed), strict=True):
        np.testing.assert_array_equal(a, b)


def test_another_seed_splits_otherwise_and_rows_stay_together() -> None:
    jets = some_jets(50)
    train, _, test = jets.split(validation=0.0, test=0.5, seed=1)
    assert not np.array_equal(train.X, jets.split(validation=0.0, test=0.5, seed=2)[0].X)
    for part in (train, test):
        for row, label in zip(part.X, part.y, strict=True):
            assert jets.y[np.flatnonzero((row == jets.X).all(axis=1))[0]] == label


def test_impossible_splits_are_refused() -> None:
    with pytest.raises(DataError, match=r"validation = 0.5 and test = 0.5"):
        split_indices(100, validation=0.5, test=0.5)
    with pytest.raises(DataError, match="seed -1"):
        split_indices(100, validation=0.1, test=0.2, seed=-1)
    with pytest.raises(DataError, match="3 rows are too few"):
        split_indices(3, validation=0.1, test=0.1)


def test_the_standardiser_gives_zero_mean_and_unit_spread() -> None:
    x = np.random.default_rng(0).normal(5.0, 3.0, (1000, 4))
    x[:, 2] = 7.0
    scaled = Standardiser.fit(x)(x)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled.mean(axis=0), 0.0, atol=1e-6)
    np.testing.assert_allclose(scaled.std(axis=0), [1, 1, 0, 1], atol=1e-6)
    with pytest.raises(DataError, match=r"4 features, the input has shape \(2, 3\)"):
        Standardiser.fit(x)(np.zeros((2, 3)))
    with pytest.raises(DataError, match="column 1 holds a NaN"):
        Standardiser.fit(np.array([[0.0, np.nan]]))
    with pytest.raises(DataError, match=r"not to shape \(3,\)"):
        Standardiser.fit(np.zeros(3))


def test_every_data_set_can_be_loaded_and_generated() -> None:
    assert "jets" in datasets.names()
    for name in datasets.names():
        module = __import__(f"hardwire.datasets.{name}", fromlist=["load"])
        assert callable(module.load)
        assert callable(module.generate)


# The sample that ships


def test_the_sample_is_whole_balanced_and_small() -> None:
    jets = load_jets()
    assert len(jets) >= 50_000
    assert jets.X.shape == (len(jets), 16)
    assert (jets.X.dtype, jets.y.dtype) == (np.float32, np.int64)
    assert jets.feature_names == FEATURE_NAMES
    assert jets.class_names == ("g", "q", "t", "w", "z")
    counts = np.bincount(jets.y, minlength=5)
    assert counts.max() - counts.min() <= 1
    assert np.isfinite(jets.X).all()
    # No feature was flattened by its storage: the benchmark's ratios are positive, and hardly a value repeats.
    assert (jets.X[:, 1:] > 0).all()
    assert (jets.X[:, 0] < 0).all()
    assert len(np.unique(jets.X, axis=0)) == len(jets)
    path = Path(datasets.__file__).parent / "samples" / "jets.npz"
    assert 1.0e6 < path.stat().st_size < 3.0e6


def test_the_sample_says_how_it_was_made() -> None:
    recipe = load_jets().recipe
    assert recipe["n"] == len(load_jets())
    assert recipe["command"] == f"hardwire data jets -n {recipe['n']} --seed {recipe['seed']}"
    assert {"pythia8mc", "numpy", "numba", "hardwire"} <= set(recipe["versions"])
    assert json.loads(json.dumps(recipe)) == recipe


def test_the_sample_obeys_the_observables_bounds_and_identities() -> None:
    jets = load_jets()
    f = {name: jets.X[:, i].astype(np.float64) for i, name in enumerate(jets.feature_names)}
    # Half precision: each value is good to 2^-11.
    close = {"rtol": 5e-3}
    np.testing.assert_allclose(f["d2_b1_mmdt"], f["c2_b1_mmdt"] / f["c1_b1_mmdt"], **close)
    np.testing.assert_allclose(f["d2_b2_mmdt"], f["c2_b2_mmdt"] / f["c1_b2_mmdt"], **close)
    np.testing.assert_array_equal(f["d2_b1_mmdt"], f["d2_a1_b1_mmdt"])
    assert f["c1_b0_mmdt"].max() < 0.5
    # Σ z² ≥ 1/n, and zlogz ≥ -ln n.
    assert (f["zlogz"] > -np.log(f["multiplicity"]) * 1.001).all()
    assert (f["multiplicity"] == np.round(f["multiplicity"])).all()
    assert f["multiplicity"].min() >= 3
    # The W's, Z's and top's masses, in GeV, stand where they should.
    mass = {label: f["mass_mmdt"][jets.y == k] for k, label in enumerate(jets.class_names)}
    for label, low, high in (("w", 77, 83), ("z", 87, 94), ("t", 120, 190)):
        values, edges = np.histogram(mass[label], bins=np.arange(20, 250, 2))
        assert low < edges[np.argmax(values)] + 1 < high
    assert np.median(mass["q"]) < 20 < np.median(mass["t"])


# Generation


@needs_pythia
def test_generation_is_the_same_for_any_number_of_processes_and_made_the_sample(tmp_path: Path) -> None:
    sample = load_jets()
    seed = sample.recipe["seed"]
    for processes in (1, 2):
        seen: list[tuple[int, int]] = []
        jets = generate_jets(6, seed, processes=processes, progress=lambda *a, seen=seen: seen.append(a))
        assert (seen[0], seen[-1]) == ((0, 6), (6, 6))
        assert [done for done, _ in seen] == sorted(done for done, _ in seen)
        jets.save(tmp_path / str(processes))
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    assert jets.y.tolist() == [0, 1, 2, 3, 4, 0]
    assert not np.array_equal(generate_jets(1, seed + 1, processes=1).X, jets.X[:1])

    # Chaos makes another event of a last bit that differs: other versions or another kind of machine make other jets.
    versions = sample.recipe["versions"]
    here = {name: metadata.version(name) for name in ("pythia8mc", "numpy", "numba")}
    if platform.machine() == sample.recipe["machine"] and here.items() <= versions.items():
        np.testing.assert_allclose(jets.X, sample.X[:6], rtol=2.0**-11)


def test_chunks_interleave_and_every_run_starts_a_longer_one(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("hardwire.datasets.jets")

    def chunk(kind: int, index: int, count: int, seed: int, tick: Tick) -> np.ndarray:
        tick(count)
        rows = np.zeros((count, 16), dtype=np.float32)
        rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3] = kind, index, np.arange(count), seed
        return rows

    monkeypatch.setattr(module, "_chunk", chunk)
    monkeypatch.setattr(module, "generator_versions", dict)
    longest = generate_jets(5 * module.CHUNK_JETS * 2 + 4, seed=9, processes=1)
    assert len(np.unique(longest.X, axis=0)) == len(longest)
    np.testing.assert_array_equal(longest.X[:, 0], longest.y)
    assert set(longest.X[:, 3]) == {9}
    for n in (1, 5, 12, 5 * module.CHUNK_JETS - 1, 5 * module.CHUNK_JETS + 1):
        np.testing.assert_array_equal(generate_jets(n, seed=9, processes=1).X, longest.X[:n])


@pytest.mark.parametrize("missing", ["pythia8mc", "awkward"])
def test_a_missing_generator_names_the_extra(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, "pythia8mc", sys) if missing != "pythia8mc" else None
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingToolError, match=rf"package {missing}(.|\n)*pip install 'hardwire\[physics\]'"):
        generate_jets(5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n = 0.*at least 1"),
        ({"n": 2.5}, "n = 2.5"),
        ({"n": True}, "n = True"),
        ({"n": 5, "seed": -1}, "seed = -1.*at least 0"),
        ({"n": 5, "processes": 0}, "processes = 0"),
    ],
)
def test_impossible_requests_are_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(DataError, match=message):
        generate_jets(**arguments)


def test_loading_jets_imports_no_generator() -> None:
    code = "import sys, hardwire.datasets as d; d.load_jets(); assert not {'pythia8mc', 'awkward'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# Parallelism, with work that costs nothing


def count(first: int, n: int, tick: Tick) -> list[int]:
    out = []
    for i in range(first, first + n):
        time.sleep(0.001)
        tick(1)
        out.append(i)
    return out


def fail(first: int, n: int, tick: Tick) -> list[int]:
    raise DataError(f"chunk {first} is bad")


def die(first: int, n: int, tick: Tick) -> list[int]:
    import os

    os._exit(3)


CHUNKS = [(10 * k, 10) for k in range(6)]


@pytest.mark.parametrize("processes", [1, 2])
def test_chunks_come_back_in_order(processes: int) -> None:
    seen: list[tuple[int, int]] = []
    got = run_chunks(count, CHUNKS, total=60, processes=processes, progress=lambda *a: seen.append(a))
    assert [i for part in got for i in part] == list(range(60))
    assert seen[0] == (0, 60)
    assert seen[-1] == (60, 60)


@pytest.mark.parametrize("processes", [1, 2])
def test_an_interrupt_stops_the_workers(processes: int) -> None:
    def interrupt(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_chunks(count, [(0, 100_000)] * 4, total=400_000, processes=processes, progress=interrupt)
    assert not multiprocessing.active_children()
    assert time.monotonic() - start < 60


def test_a_workers_error_arrives_as_itself() -> None:
    with pytest.raises(DataError, match=r"chunk \d+ is bad"):
        run_chunks(fail, CHUNKS, total=60, processes=2)
    assert not multiprocessing.active_children()


def test_a_dead_worker_is_a_tool_error() -> None:
    with pytest.raises(ToolError, match="one of 2 worker processes died"):
        run_chunks(die, CHUNKS, total=60, processes=2)
