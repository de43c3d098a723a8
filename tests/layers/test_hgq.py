"""HGQ2 models from the file alone, against stored outputs of HGQ2's own forward (recipe: `hgq_models/make.py`)."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardwire import frontends
from hardwire.errors import ModelError, UnsupportedError
from hardwire.fixed import Overflow, Rounding
from hardwire.ir import interpreter
from hardwire.ir.ops import OpCode
from hardwire.ir.verify import verify_program
from hardwire.layers import _minifloat
from hardwire.layers._lowering import lower
from hardwire.network._ports import joint_quantiser
from hardwire.network.graph import NetworkBuilder
from hardwire.network.prepare import input_quantisers, prepare
from hardwire.network.reference import forward
from hardwire.quantiser import Quantiser

MODELS = Path(__file__).parent / "hgq_models"


def vectors(name):
    with np.load(MODELS / f"{name}.npz") as stored:
        inputs = [stored[f"x{n}"].astype(np.float64) for n in range(9) if f"x{n}" in stored]
        return inputs, [stored[f"y{n}"].astype(np.float64) for n in range(9) if f"y{n}" in stored]


def program_outputs(network, xs, types=None):
    """Run the network's Program in the reference interpreter on real inputs."""
    program = lower(network, input_quantisers(network, types))
    verify_program(program)
    codes = []
    for port, x in zip(program.inputs, xs, strict=True):
        assert port.quantiser is not None
        codes.append(port.quantiser.codes(x).reshape(len(x), -1))
    out = interpreter.run(program, codes)
    return [
        (rows * program.port_scale(port)).astype(np.float64).reshape(len(xs[0]), *port.shape)
        for port, rows in zip(program.outputs, out, strict=True)
    ]


STORED = sorted(
    path.name
    for path in MODELS.iterdir()
    if path.suffix in (".keras", ".h5", ".gz") and not path.name.startswith("hgq1")
)


@pytest.mark.parametrize("file", STORED)
def test_stored_models_give_hgq2s_outputs_to_the_bit(file, tmp_path):
    xs, ys = vectors(file.partition(".")[0])
    path = MODELS / file
    if path.suffix == ".gz":
        path = tmp_path / path.stem
        path.write_bytes(gzip.decompress((MODELS / file).read_bytes()))
    network = frontends.load(path)
    for ours, theirs in zip(forward(network, xs), ys, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    # An input that quantisers of every rounding read, or a slice of which one reads, has no type of its own.
    types = "s13.6" if file.startswith(("quantisers", "tables", "functions", "floats")) else None
    for ours, theirs in zip(program_outputs(prepare(network), xs, types), ys, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@settings(max_examples=60, deadline=None)
@given(st.integers(-1, 4), st.integers(0, 4), st.integers(-5, 5), st.integers(0, 99))
def test_a_floating_point_type_is_its_staircase(m, e, e0, seed):
    stairs = _minifloat.staircase(m, e, e0)
    assert (stairs is None) == (m < 0 and e > 1)
    if stairs is None:
        return
    thresholds, levels = stairs
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=500) * np.exp2(rng.uniform(-12, 12, 500))).astype(np.float32)
    x = np.concatenate([x, levels.astype(np.float32), np.float32([0])])
    ours = levels[np.searchsorted(thresholds, x.astype(np.float64), side="right")]
    np.testing.assert_array_equal(ours, _minifloat.quantised(x, m, e, e0))


@st.composite
def several(draw):
    """Different quantisers of one tensor that one port can serve."""
    shape = tuple(draw(st.lists(st.integers(1, 3), max_size=2)))
    one_grid = draw(st.booleans())
    overflows = draw(st.sampled_from([[Overflow.WRAP], [Overflow.SAT, Overflow.SAT_SYM]]))
    roundings = [draw(st.sampled_from(Rounding))] if one_grid else [Rounding.TRN, Rounding.RND]
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    frac = rng.integers(-2, 4, shape)
    made = []
    for _ in range(draw(st.integers(2, 4))):
        bits = rng.integers(0, 6, shape)
        own = frac if one_grid else rng.integers(-2, 4, shape)
        signed = (rng.random(shape) < 0.5) & (bits > 0)
        made.append(
            Quantiser.of_arrays(signed, bits, own, draw(st.sampled_from(roundings)), draw(st.sampled_from(overflows)))
        )
    return made, shape


@settings(max_examples=150, deadline=None)
@given(several())
def test_one_port_serves_several_quantisers(given_rules):
    quantisers, shape = given_rules
    joint = joint_quantiser(quantisers, shape)
    assert joint is not None
    grid = np.arange(-2000, 2001).reshape(-1, *(1,) * len(shape)) / 64 + np.zeros(shape)
    for rule in quantisers:
        np.testing.assert_array_equal(rule(joint(grid)), rule(grid))


def test_no_port_serves_ties_to_even_on_two_grids_or_wrapping_beside_saturation():
    even = [Quantiser.of_arrays(True, 6, f, Rounding.RND_CONV, Overflow.SAT) for f in (2, 3)]
    mixed = [Quantiser.of_arrays(True, 6, 3, Rounding.TRN, over) for over in (Overflow.SAT, Overflow.WRAP)]
    assert joint_quantiser(even, ()) is None
    assert joint_quantiser(mixed, ()) is None


def edited(tmp_path, change):
    """Copy of the stored dense model with `change` applied to the settings of its first layer."""
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(MODELS / "dense.keras") as archive, zipfile.ZipFile(path, "w") as out:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config["config"]["layers"][1]["config"])
                content = json.dumps(config).encode()
            out.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("attr", "key", "value", "message"),
    [
        ("iq_conf", "overflow_mode", "WRAP_SM", r"'first' \(hgq>QDense\): attribute 'iq_conf' = .*only WRAP, SAT"),
        ("kq_conf", "round_mode", "CEIL", r"attribute 'kq_conf' = .*only TRN, RND"),
        ("bq_conf", "q_type", "posit", r"attribute 'bq_conf' = .*only kif, kbi, float and dummy"),
        ("bq_conf", "scaler", -1, r"attribute 'bq_conf' = .*positive number"),
        ("iq_conf", "novel", 1, r"attribute 'iq_conf' = .'novel': 1.*not understood"),
    ],
)
def test_settings_that_are_not_understood_are_named(tmp_path, attr, key, value, message):
    def change(layer):
        layer[attr]["config"][key] = value

    with pytest.raises(UnsupportedError, match=message):
        frontends.load(edited(tmp_path, change))


def test_variables_in_another_order_are_named(tmp_path):
    def change(layer):
        layer["kq_conf"]["config"]["overflow_mode"] = "WRAP"

    with pytest.raises(ModelError, match=r"'first' .*variables of quantiser 'kq' are not in HGQ2's order"):
        frontends.load(edited(tmp_path, change))


def test_units_that_contradict_the_kernel_are_named(tmp_path):
    with pytest.raises(UnsupportedError, match="attribute 'units' = 7"):
        frontends.load(edited(tmp_path, lambda layer: layer.update(units=7)))


def test_the_older_package_name_is_read_too(tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(MODELS / "dense.keras") as archive, zipfile.ZipFile(path, "w") as out:
        for name in archive.namelist():
            out.writestr(name, archive.read(name).replace(b'"hgq>', b'"hgq2>'))
    xs, ys = vectors("dense")
    np.testing.assert_array_equal(forward(frontends.load(path), xs)[0], ys[0])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_port_serves_quantisers_behind_views(data):
    """Slices, repetitions and transposes of an input, each with a quantiser of its own."""
    net = NetworkBuilder("views")
    x = net.input("x", (3, 2))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    outputs = []
    for n in range(data.draw(st.integers(1, 3))):
        axis = data.draw(st.integers(0, 1))
        chosen = data.draw(st.lists(st.integers(0, (3, 2)[axis] - 1), min_size=1, max_size=4))
        y = net.add("take", f"take{n}", [x], {"axis": axis, "indices": tuple(chosen)})
        if data.draw(st.booleans()):
            y = net.add("transpose", f"turn{n}", [y], {"perm": (1, 0)})
        shape = net.shape(y)
        bits, rounding = rng.integers(0, 6, shape), data.draw(st.sampled_from([Rounding.TRN, Rounding.RND]))
        q = Quantiser.of_arrays(bits > 2, bits, rng.integers(-1, 4, shape), rounding, Overflow.WRAP)
        outputs.append(net.add("quantise", f"q{n}", [y], {"quantiser": q}))
    network = net.build(outputs)
    values = rng.integers(-400, 400, (64, 3, 2)) / 32
    for ours, theirs in zip(program_outputs(network, [values]), forward(network, [values]), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("name", ["lut_dense", "lut_spatial"])
def test_lookup_table_layers_are_tables_and_no_multiplications(name):
    network = prepare(frontends.load(MODELS / f"{name}.keras"))
    program = lower(network, input_quantisers(network))
    assert sum(kernel.count(OpCode.TABLE) for kernel in program.kernels.values()) > 5
    assert not any(kernel.count(OpCode.MUL) for kernel in program.kernels.values())
    assert program.notes["table_network"].keys() == {n.name for n in network.nodes if n.kind == "table_network"}


def test_a_type_of_the_port_serves_every_edge():
    """An input of a lookup-table layer needs no stated type, whatever the types of its edges."""
    for name in ("lut_dense", "lut_spatial", "lut_conv"):
        network = prepare(frontends.load(MODELS / f"{name}.keras"))
        (quantiser,) = input_quantisers(network).values()
        assert quantiser.bits.max() <= 24
