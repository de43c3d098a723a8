"""hls4ml's GarNet layers, from their files, against stored outputs of their own forward and a second writing of it."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

import hardwire as hw
from hardwire.calibrate import fidelity_of
from hardwire.errors import ModelError, UnsupportedError
from hardwire.frontends import load
from hardwire.layers import import_rule
from hardwire.network.graph import NetworkBuilder
from hardwire.network.records import Record
from hardwire.network.reference import forward

STORED = Path(__file__).with_name("garnet_models")


@pytest.fixture
def vectors():
    with np.load(STORED / "garnet.npz") as stored:
        return [stored[f"x{n}"].astype(np.float64) for n in range(3)], [stored[f"y{n}"] for n in range(5)]


def model(folder, suffix=".h5", change=None):
    path = folder / f"garnet{suffix}"
    if suffix == ".keras":
        shutil.copy(STORED / "garnet.keras", path)
        return path
    path.write_bytes(gzip.decompress((STORED / "garnet.h5.gz").read_bytes()))
    if change:
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            layer = next(each for each in config["config"]["layers"] if each["class_name"] == change[0])
            layer["config"].update(change[1])
            file.attrs["model_config"] = json.dumps(config)
    return path


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_the_classes_mean_the_same(tmp_path, vectors, suffix):
    xs, ys = vectors
    for ours, theirs in zip(forward(load(model(tmp_path, suffix)), xs), ys, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_it_calibrates(tmp_path, vectors):
    xs, ys = vectors
    design = hw.compile(model(tmp_path), calibrate=tuple(xs), fidelity=0.99, backend="emulator")
    assert fidelity_of(ys, list(design.predict(tuple(xs)))) > 0.98


def second_writing(x, n, weights, counted, collapse):
    """Vertex by vertex and aggregator by aggregator."""
    y = []
    for vertices, number in zip(x, n[:, 0], strict=True):
        there = range(int(number))
        features = vertices @ weights[0] + weights[1]
        edges = np.exp(-((vertices @ weights[2] + weights[3]) ** 2))
        out = np.zeros((len(vertices), weights[5].size))
        for v in there:
            read = []
            for a in range(edges.shape[1]):
                total = sum(edges[w, a] * features[w] for w in there) / (number if counted else len(vertices))
                read.append(edges[v, a] * total)
            out[v] = np.tanh(np.tanh(np.concatenate(read) @ weights[4] + weights[5]))
        y.append({"sum": out.sum(0), "max": out.max(0), "mean": out.mean(0), None: out}[collapse])
    return np.array(y)


@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("collapse", [None, "sum", "max", "mean"])
def test_a_second_writing_of_it(counted, collapse):
    rng = np.random.default_rng(5)
    vertices, features, aggregators, propagated, filters = 5, 3, 2, 4, 3
    shapes = [(features, propagated), (propagated,), (features, aggregators), (aggregators,)]
    weights = [rng.normal(size=shape) for shape in (*shapes, (aggregators * propagated, filters), (filters,))]
    names = [f"{part}_{kind}" for part in ("FLR", "S", "Fout") for kind in ("kernel", "bias")]
    attrs = {
        **{"n_aggregators": aggregators, "n_filters": filters, "n_propagate": propagated, "simplified": True},
        **{"collapse": collapse, "mean_by_nvert": counted},
    }
    net = NetworkBuilder("garnet")
    inputs = (net.input("x", (vertices, features)), net.input("n", (1,)))
    record = Record("garnet", "GarNet", inputs, attrs, dict(zip(names, weights, strict=True)))
    rule = import_rule("keras", "GarNet")
    assert rule is not None
    if counted and collapse == "mean":
        with pytest.raises(UnsupportedError, match="'collapse' = 'mean'"):
            rule(record, net)
        return
    network = net.build([rule(record, net)])
    record.finish()
    x, n = rng.normal(size=(9, vertices, features)), rng.integers(1, vertices + 1, (9, 1)).astype(float)
    np.testing.assert_allclose(
        forward(network, [x, n])[0], second_writing(x, n, weights, counted, collapse), atol=1e-12
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("GarNet", {"simplified": False}), "'simplified' = False: the class builds its kernel for other sizes"),
        (("GarNet", {"quantize_transforms": True}), "does not write its bit widths"),
        (("GarNetStack", {"quantize_transforms": False}), "does not write its bit widths"),
        (("GarNet", {"input_format": "x"}), "2 inputs for the format 'x'"),
        (("GarNet", {"input_format": "xn2"}), "'input_format' = 'xn2'"),
        (("GarNet", {"collapse": "median"}), "'collapse' = 'median'"),
        (("GarNet", {"n_filters": 7}), "Fout in the file makes 2"),
        (("GarNetStack", {"n_filters": [2]}), "no.* settings|not as Keras writes"),
        (("GarNet", {"momentum": 1}), "'momentum' = 1 is not understood"),
    ],
)
def test_what_is_not_supported_is_named(tmp_path, change, message):
    with pytest.raises(ModelError, match=message):
        load(model(tmp_path, change=change))
