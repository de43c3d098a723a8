"""Makes the models and vectors of this folder. Run in an environment of its own, in this folder:

    python3 -m venv hgq2 && hgq2/bin/pip install torch==2.13.0 keras==3.15.1 hgq2==0.2.0
    KERAS_BACKEND=torch hgq2/bin/python make.py

Each model is tiny and has random weights and bit widths; `NAME.npz` holds inputs `x0`… and the outputs `y0`… of HGQ2's
own forward on them.
"""

from __future__ import annotations

import gzip
import os
import sys
import zipfile
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import hgq.layers as q
import keras
import numpy as np
from hgq.config import QuantizerConfig, QuantizerConfigScope

HERE = Path(__file__).parent
ROUNDINGS = ("TRN", "RND", "RND_CONV", "TRN_ZERO", "RND_ZERO", "RND_MIN_INF", "RND_INF")


def config(place="datalane", q_type=None, **settings):
    return QuantizerConfig(q_type or ("kif" if place == "datalane" else "kbi"), place, **settings)


def randomise(model, seed):
    """Give every variable a random value that HGQ2 could have trained."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        name, shape = variable.path.rsplit("/", 1)[-1], variable.shape
        if "quantizer" in variable.path:
            if name == "k":
                value = rng.random(shape) < 0.85
            elif name == "i":
                value = rng.integers(0, 4, shape) + rng.uniform(-0.4, 0.4, shape)
            elif name in ("f", "b"):
                value = rng.integers(-1, 6, shape) + 3 * (name == "b") + rng.uniform(-0.4, 0.4, shape)
            else:
                continue
        elif name in ("ebops", "beta") and shape == ():
            continue
        elif "variance" in name:
            value = rng.uniform(0.3, 2, shape)
        else:
            value = rng.normal(0, 1.2, shape)
        variable.assign(np.asarray(value).astype(variable.dtype))


def save(name, model, seed=0, formats=(".keras",), rows=48, prepare=None):
    randomise(model, seed)
    if prepare:
        prepare(model)
    rng = np.random.default_rng(seed + 100)
    data = [np.round(rng.normal(0, 3, (rows, *x.shape[1:])) * 64).astype(np.float32) / 64 for x in model.inputs]
    outputs = model.predict(data if len(data) > 1 else data[0], verbose=0)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    for suffix in formats:
        path = HERE / f"{name}{suffix.removesuffix('.gz')}"
        model.save(path)
        if suffix.endswith(".gz"):
            path.with_suffix(".h5.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
            path.unlink()
        if suffix == ".keras":
            members = {}
            with zipfile.ZipFile(path) as archive:
                members = {item: archive.read(item) for item in archive.namelist()}
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                for item, content in members.items():
                    archive.writestr(zipfile.ZipInfo(item), content, zipfile.ZIP_DEFLATED)
    arrays = {f"x{n}": x for n, x in enumerate(data)} | {f"y{n}": y for n, y in enumerate(outputs)}
    np.savez_compressed(HERE / f"{name}.npz", **arrays)
    print(name, [y.shape for y in outputs], [len(np.unique(y)) for y in outputs])


def quantisers():
    """Every rounding with every overflow, both parametrisations, types by element, by channel and by tensor."""
    x = keras.Input((3, 2))
    outputs = []
    for n, mode in enumerate(ROUNDINGS):
        for m, over in enumerate(("WRAP", "SAT", "SAT_SYM")):
            axes = [{"homogeneous_axis": (0,)}, {"heterogeneous_axis": (-1,)}, {"heterogeneous_axis": ()}][(n + m) % 3]
            q_type = ("kif", "kbi")[(n + m) % 2]
            conf = config(q_type=q_type, round_mode=mode, overflow_mode=over, **axes)
            outputs.append(q.Quantizer(conf, name=f"q_{mode}_{over}".lower())(x))
    outputs.append(q.Quantizer(config(round_mode="S_RND", overflow_mode="SAT", scaler=0.5, affine=(0.25, 0.5)))(x))
    save("quantisers", keras.Model(x, keras.layers.Concatenate(axis=1)(outputs)), 1)


def dense():
    """Dense layers, with the normalisation of their input, and all kinds of weight quantisers."""
    x = keras.Input((5,), name="features")
    y = q.QDense(4, activation="relu", name="first")(x)
    with QuantizerConfigScope(place=("weight", "bias"), q_type="kif", default_q_type="kif", overflow_mode="WRAP"):
        y = q.QBatchNormDense(4, activation="relu", name="second", iq_conf=config(overflow_mode="SAT"))(y)
    with QuantizerConfigScope(place=("weight", "bias"), overflow_mode="WRAP", round_mode="RND_CONV"):
        y = q.QDense(3, name="third", enable_oq=True, oq_conf=config(overflow_mode="SAT"), use_bias=False)(y)
    with QuantizerConfigScope(place=("weight", "bias"), overflow_mode="WRAP"):
        y = q.QDense(2, name="fourth", enable_ebops=False)(y)
    save("dense", keras.Model(x, y), 21, (".keras", ".h5"))


def einsum():
    """Einsum layers over channels and over positions, normalised or not, residuals and sums between them."""
    x = keras.Input((4, 3), name="particles")
    a = q.QEinsumDenseBatchnorm("bnc,cC->bnC", (4, 3), bias_axes="C", activation="relu")(x)
    b = q.QEinsumDenseBatchnorm("bnc,nN->bNc", (4, 3), bias_axes="N")(a)
    c = q.QAdd()([a, b])
    d = q.QEinsumDense("bnc,n->bc", (3,))(c)
    e = q.QEinsumDense("bnc,ncd->bnd", (4, 2), bias_axes="nd", iq_conf=config(heterogeneous_axis=(-1,)))(c)
    f = q.QSum(axes=(1, 2), scale=0.25, keepdims=True)(e)
    g = q.QMeanPow2(axes=1)(e)
    save("einsum", keras.Model(x, [d, f, g]), 6, (".keras", ".h5"))


def merging():
    """Layers of several inputs, and a batch normalisation."""
    x, y = keras.Input((2, 3), name="x"), keras.Input((1, 3), name="y")
    a = q.QBatchNormalization()(x)
    b = q.QBatchNormalization(axis=1, center=False)(y)
    outputs = [layer()([a, b]) for layer in (q.QMultiply, q.QSubtract, q.QMaximum, q.QMinimum, q.QAveragePow2)]
    save("merging", keras.Model([x, y], [q.QAdd()([a, b, x]), *outputs]), 7)


def tables():
    """Unary functions and softmax by tables, products of two tensors, an index."""
    x = keras.Input((3, 4), name="x")
    a = q.QUnaryFunctionLUT("tanh", oq_conf=config("table"))(x[:, :, 1:3])
    b = q.QUnaryFunctionLUT("sigmoid", allow_heterogeneous_table=False)(x)
    # The softmax forces the rounding and overflow of some settings that it is given: its own ones each.
    c = q.QSoftmax(axis=-1, exp_iq_conf=config(overflow_mode="SAT"), inv_iq_conf=config(overflow_mode="SAT"))(b)
    d = q.QSoftmax(axis=(1, 2), stable=False, enable_iq=True, input_scaler=0.3)(b)
    e = q.QDot(axes=(1, 1))([c, d])
    f = q.QEinsum("bij,bkj->bik")([c, b])

    def positive(model):
        """Bit widths with which the tables' inputs and outputs are worth something."""
        for variable in model.variables:
            if "table" in variable.path and variable.path.endswith(("/i", "/f", "/b")):
                given = {"i": 1.2, "f": 3.1, "b": 6.2}[variable.path[-1]]
                variable.assign(np.full(variable.shape, given))
            if "table" in variable.path and variable.path.endswith("/k"):
                variable.assign(np.full(variable.shape, "_iq" in variable.path))

    save("tables", keras.Model(x, [a, b, c, d, e, f]), 30, (".keras", ".h5"), prepare=positive)


def attention():
    """Multi-head attention with two heads, of itself and of another sequence, fused and not."""
    x, y = keras.Input((3, 4), name="x"), keras.Input((2, 4), name="y")
    sat = {"softmax_exp_iq_conf": config(overflow_mode="SAT"), "softmax_inv_iq_conf": config(overflow_mode="SAT")}
    a = q.QMultiHeadAttention(2, 3, name="self", **sat)(x, x)
    sat = {"softmax_exp_iq_conf": config(overflow_mode="SAT"), "softmax_inv_iq_conf": config(overflow_mode="SAT")}
    b = q.QMultiHeadAttention(1, 2, value_dim=3, use_bias=False, fuse="kv", name="cross", **sat)(a, y)

    def moderate(model):
        for variable in model.variables:
            if "_table" in variable.path and variable.path.endswith(("/i", "/f", "/b")):
                given = {"i": 2.1, "f": 3.2, "b": 6.2}[variable.path[-1]]
                variable.assign(np.full(variable.shape, given))

    save("attention", keras.Model([x, y], [a, b]), 40, (".keras", ".h5"), prepare=moderate)


def linformer():
    """Linformer attention: keys and values projected along the sequence, by one kernel or one each."""
    x, y = keras.Input((4, 3), name="x"), keras.Input((5, 3), name="y")

    def tables():
        sat = {"overflow_mode": "SAT"}
        return {"softmax_exp_iq_conf": config(**sat), "softmax_inv_iq_conf": config(**sat)}

    a = q.QLinformerAttention(2, 2, 3, name="self", **tables())(x)
    b = q.QLinformerAttention(1, [3], 2, value_dim=4, share_kv_proj=True, name="cross", **tables())(a, y)

    def moderate(model):
        for variable in model.variables:
            if "_table" in variable.path and variable.path.endswith(("/i", "/f", "/b")):
                given = {"i": 2.1, "f": 3.2, "b": 6.2}[variable.path[-1]]
                variable.assign(np.full(variable.shape, given))

    save("linformer", keras.Model([x, y], [a, b]), 41, (".keras", ".h5.gz"), prepare=moderate)


def convolutions():
    """Convolutions of every padding, grouped and dilated, and pooling."""
    x, y = keras.Input((8, 2), name="x"), keras.Input((4, 4, 2), name="y")
    a = q.QConv1D(2, 3, padding="same", activation="relu")(x)
    b = q.QConv1D(2, 2, padding="causal", dilation_rate=2, iq_conf=config(heterogeneous_axis=(-1,)))(a)
    c = q.QMaxPooling1D(2)(b)
    d = q.QGlobalAveragePooling1D()(b)
    e = q.QConv2D(4, (3, 2), strides=2, padding="same", groups=2, use_bias=False)(y)
    f = q.QAveragePooling2D(2)(e)
    save("convolutions", keras.Model([x, y], [a, c, d, f]), 50)


def lut_dense():
    """Lookup-table layers: hidden layers or none, with and without normalisation and biases."""
    x = keras.Input((4,), name="features")
    a = q.QDenseT(3, n_hl=1, d_hl=4, batch_norm=True, activation="relu")(x)
    table = config("table", overflow_mode="WRAP", round_mode="TRN", heterogeneous_axis=(-2, -1))
    sat = config(overflow_mode="SAT")
    b = q.QDenseT(2, n_hl=2, d_hl=2, subnn_activation="relu", use_bias=False, iq_conf=sat, toq_conf=table)(a)
    c = q.QDenseT(2, n_hl=0, batch_norm=True, bn_center=False)(b)
    save("lut_dense", keras.Model(x, [b, c]), 60, (".keras", ".h5.gz"))


def lut_spatial():
    """Lookup-table layers over particles and windows, their types by edge, by position and edge."""
    x = keras.Input((4, 3), name="particles")
    edges = {"heterogeneous_axis": (-2, -1)}
    a = q.QEinsumDenseT("bnc,cd->bnd", (4, 2), d_hl=3, bias_axes="d", batch_norm=True, iq_conf=config(**edges))(x)
    b = q.QEinsumDenseT("bnc,ndm->bmdc", (2, 2, 2), d_hl=3, activation="relu")(a)
    c = q.QConvT1D(2, 3, padding="same", strides=2, d_hl=3, subnn_activation="tanh")(x)
    d = q.QDenseT(2, d_hl=4, iq_conf=config(**edges))(c)
    save("lut_spatial", keras.Model(x, [a, b, c, d]), 61)


def lut_conv():
    """A lookup-table layer over the windows of an image."""
    x = keras.Input((4, 5, 2), name="image")
    settings = {"padding": "same", "dilation_rate": (1, 2), "d_hl": 3, "subnn_activation": "tanh", "batch_norm": True}
    y = q.QConvT2D(2, (2, 3), **settings, iq_conf=config(heterogeneous_axis=(-2, -1)))(x)
    save("lut_conv", keras.Model(x, y), 62)


def recurrent():
    """Recurrent layers: whole sequences and last states, forwards and backwards, both resets, states quantised."""
    x = keras.Input((4, 3), name="x")
    a = q.QSimpleRNN(2, return_sequences=True)(x)
    b = q.QSimpleRNN(3, go_backwards=True, activation="relu", use_bias=False, enable_sq=True)(a)
    c = q.QGRU(2, return_sequences=True)(x)
    d = q.QGRU(2, reset_after=False, go_backwards=True, return_sequences=True, return_state=True)(c)
    sigmoid = config(overflow_mode="SAT", round_mode="RND_CONV")
    e = q.QGRU(2, use_bias=False, activation="tanh", recurrent_activation="sigmoid", praq_conf=sigmoid)(x)

    def bounded(model):
        """Bit widths that saturate near one, as hard functions have them."""
        for variable in model.variables:
            if variable.path.rpartition("/")[2] == "i" and ("_paq" in variable.path or "/paq" in variable.path):
                variable.assign(np.zeros(variable.shape))
            if variable.path.rpartition("/")[2] == "i" and "_praq" in variable.path:
                variable.assign(np.ones(variable.shape))

    save("recurrent", keras.Model(x, [a, b, c, *d, e]), 70, (".keras", ".h5.gz"), prepare=bounded)


def functions():
    """Functions by tables, with trained factor and shift; whose results in float32 are whole where they are not."""
    x = keras.Input((3, 2), name="x")
    table = config("table", round_mode="TRN", overflow_mode="SAT")
    a = q.QAffinedUnaryFunctionLUT("tanh")(x)
    b = q.QAffinedUnaryFunctionLUT("silu", allow_heterogeneous_input=False)(x)
    c = q.QUnaryFunctionLUT("sigmoid", iq_conf=config(overflow_mode="SAT", i0=5), oq_conf=table)(x)
    d = q.QUnaryFunctionLUT("tanh", iq_conf=config(overflow_mode="SAT", i0=5), oq_conf=table)(x)
    e = q.QUnaryFunctionLUT("softplus", oq_conf=config("table", overflow_mode="WRAP"))(x)

    def wide(model):
        for variable in model.variables:
            name = variable.path.rpartition("/")[2]
            if "_iq" in variable.path and name in "if":
                variable.assign(np.full(variable.shape, {"i": 5, "f": 3}[name]))
            if "_iq" in variable.path and name == "k":
                variable.assign(np.ones(variable.shape))

    save("functions", keras.Model(x, [a, b, c, d, e]), 71, prepare=wide)


def spiking():
    """Spiking layers with and without leak, every reset."""
    x = keras.Input((5, 2), name="x")
    common = {"return_sequences": True, "surrogate_disable": True}
    a = q.QSimpleSNN(2, threshold=1.5, **common)(x)
    b = q.QLIF(2, threshold=[0.75, 1.25], reset_mechanism="zero", learn_threshold=True, **common)(x)
    c = q.QLIF(2, reset_mechanism="none", enable_oq=True, go_backwards=True, surrogate_disable=True)(x)

    def sensible(model):
        for variable in model.variables:
            given = {"graded_spikes_factor": 0.8, "beta": 0.6, "threshold": 1.25}
            name = variable.path.rpartition("/")[2]
            if name in given and "cell" in variable.path:
                variable.assign(np.full(variable.shape, given[name]))
            if "quantizer" in variable.path and name in "ifb":
                variable.assign(np.full(variable.shape, {"i": 3, "f": 3, "b": 7}[name]))
            if "quantizer" in variable.path and name == "k":
                variable.assign(np.ones(variable.shape))

    save("spiking", keras.Model(x, [a, b, c]), 72, (".keras", ".h5.gz"), prepare=sensible)


def floats():
    """Floating-point quantisers of weights and tensors."""

    class Release(QuantizerConfig):
        """HGQ2 0.1 and 0.2 hand a setting to these quantisers that they do not know: left out here."""

        def get_quantizer(self):
            self.config.pop("is_weight", None)
            return super().get_quantizer()

    x = keras.Input((4,), name="x")
    kq, bq, iq = Release("float", "weight"), Release("float", "weight"), Release("float", "datalane")
    a = q.QDense(3, kq_conf=kq, bq_conf=bq, iq_conf=iq)(x)
    b = q.Quantizer(Release("float", "datalane", affine=(0.5, 0.25)))(a)

    def small(model):
        rng = np.random.default_rng(5)
        for variable in model.variables:
            name = variable.path.rpartition("/")[2]
            span = {"m": (0, 5), "e": (1, 5), "e0": (-3, 4)}.get(name)
            if "quantizer" in variable.path and span:
                variable.assign(rng.integers(*span, variable.shape).astype(np.float32))

    model = keras.Model(x, [a, b])
    for layer in model._flatten_layers():
        if isinstance(getattr(layer, "config", None), Release):
            layer.config.__class__ = QuantizerConfig
    save("floats", model, 73, (".keras", ".h5.gz"), prepare=small)


def wrapped():
    """A layer over the rows of a tensor, within Keras' own wrapper; Keras' layers between."""
    x = keras.Input((3, 4), name="x")
    y = keras.layers.TimeDistributed(q.QDense(2, activation="relu"))(x)
    save("wrapped", keras.Model(x, q.QDense(2)(keras.layers.Permute((2, 1))(y))), 74, (".keras", ".h5.gz"))


MODELS = {
    "quantisers": quantisers,
    "dense": dense,
    "einsum": einsum,
    "merging": merging,
    "tables": tables,
    "attention": attention,
    "linformer": linformer,
    "convolutions": convolutions,
    "lut_dense": lut_dense,
    "lut_spatial": lut_spatial,
    "lut_conv": lut_conv,
    "recurrent": recurrent,
    "functions": functions,
    "spiking": spiking,
    "floats": floats,
    "wrapped": wrapped,
}

if __name__ == "__main__":
    for name in sys.argv[1:] or MODELS:
        MODELS[name]()
