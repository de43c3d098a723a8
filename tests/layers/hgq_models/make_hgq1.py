"""Makes the models and vectors of this folder that are called `hgq1_…`. Run in an environment of its own, here:

    python3 -m venv hgq1 && hgq1/bin/pip install tensorflow-cpu==2.13.1 HGQ==0.2.6
    hgq1/bin/python make_hgq1.py

Each model is tiny and has random weights and bit widths. `hgq1_NAME_native` is the model itself, `hgq1_NAME_proxy` what
`to_proxy_model` makes of it; `.npz` holds inputs `x0`… and the outputs `y0`… of TensorFlow's own forward on them.
"""

from __future__ import annotations

import gzip
import os
import sys
import zipfile
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np
from HGQ import to_proxy_model, trace_minmax
from HGQ.layers import (
    HActivation,
    HAdd,
    HConv1D,
    HConv2DBatchNorm,
    HDense,
    HDenseBatchNorm,
    HQuantize,
    PAveragePooling1D,
    PConcatenate,
    PFlatten,
    PMaxPooling2D,
    PReshape,
    Signature,
)
from HGQ.utils import get_default_kq_conf, get_default_paq_conf
from tensorflow import keras

HERE = Path(__file__).parent


def kernels(**changes):
    return get_default_kq_conf() | {"regularizer": None} | changes


def types(**changes):
    return get_default_paq_conf() | {"regularizer": None} | changes


def randomise(model, seed):
    """Give every variable a random value that HGQ could have trained."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        for variable in layer.weights:
            name, shape = variable.name.rsplit("/", 1)[-1].split(":")[0], variable.shape
            if name in ("beta", "bops"):
                continue
            if name.endswith("_bw"):
                value = rng.integers(-1, 6, shape) + rng.uniform(-0.4, 0.4, shape)
            elif "variance" in name:
                value = rng.uniform(0.3, 2, shape)
            else:
                value = rng.normal(0, 1, shape)
            variable.assign(value.astype(np.float32))


def save(name, model, x, formats):
    path = HERE / name
    ys = model.predict(x, verbose=0)
    ys = ys if isinstance(ys, list) else [ys]
    for suffix in formats:
        file = HERE / f"{name}{suffix.removesuffix('.gz')}"
        model.save(file)
        if suffix.endswith(".gz"):
            file.with_suffix(".h5.gz").write_bytes(gzip.compress(file.read_bytes(), mtime=0))
            file.unlink()
        else:
            with zipfile.ZipFile(file) as archive:
                members = {item: archive.read(item) for item in archive.namelist()}
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                for item, content in members.items():
                    archive.writestr(zipfile.ZipInfo(item), content, zipfile.ZIP_DEFLATED)
    arrays = {f"x{n}": part for n, part in enumerate(x)} | {f"y{n}": part for n, part in enumerate(ys)}
    np.savez_compressed(path.with_suffix(".npz"), **arrays)
    print(name, [y.shape for y in ys], [len(np.unique(y)) for y in ys])


def both(name, model, seed, scale=8, **proxy):
    """Save a model and its proxy; the vectors are from the data that its ranges were traced on."""
    randomise(model, seed)
    rng = np.random.default_rng(seed + 100)
    data = [(np.round(rng.normal(0, 1.5, (48, *x.shape[1:])) * 64) / 64).astype(np.float32) for x in model.inputs]
    data = [np.clip(x, -8, 8 - 1 / 64) for x in data]
    trace_minmax(model, data if len(data) > 1 else data[0], verbose=False)
    save(f"hgq1_{name}_native", model, data, (".keras", ".h5.gz"))
    wide = [(x * scale).astype(np.float32) for x in data]
    save(f"hgq1_{name}_proxy", to_proxy_model(model, **proxy), wide, (".keras", ".h5.gz"))


def dense():
    """Dense layers with and without normalisation, every way of rounding, a function by table, a sum."""
    x = keras.Input((4,), name="x")
    a = HQuantize(paq_conf=types(skip_dims=(0,)))(x)
    b = HDense(3, activation="relu", kq_conf=kernels(), paq_conf=types(rnd_strategy="auto", skip_dims=(0, 1)))(a)
    c = HDenseBatchNorm(3, activation="relu", kq_conf=kernels(skip_dims=(0,)), paq_conf=types())(b)
    d = HDense(3, use_bias=False, kq_conf=kernels(trainable=False), paq_conf=types(rnd_strategy="auto"))(b)
    e = HAdd(paq_conf=types(rnd_strategy="floor"))([c, d])
    f = HActivation("tanh", paq_conf=types(skip_dims=(0, 1)))(d)
    g = HDenseBatchNorm(2, kq_conf=kernels(rnd_strategy="floor"), paq_conf=types(trainable=False))(
        PConcatenate()([e, f])
    )
    both("dense", keras.Model(x, [g, f]), 1, unary_lut_max_table_size=4096)


def spatial():
    """Convolutions of images and sequences, pools, an input with a stated type; saturating proxies."""
    x, s = keras.Input((5, 5, 1), name="x"), keras.Input((6, 2), name="s")
    a = HQuantize(paq_conf=types(skip_dims=(0, 1, 2, 3)))(x)
    a = HConv2DBatchNorm(
        2, 2, padding="same", activation="relu", kq_conf=kernels(), paq_conf=types(skip_dims=(0, 1, 2))
    )(a)
    a = PFlatten()(PMaxPooling2D(2)(a))
    b = Signature(1, 10, 4)(s)
    b = HConv1D(2, 3, strides=2, padding="same", kq_conf=kernels(), paq_conf=types(rnd_strategy="auto"))(b)
    b = PReshape((2, 3))(PReshape((6,))(b))
    b = PAveragePooling1D(2)(b)
    both("spatial", keras.Model([x, s], [a, b]), 3, scale=4, aggressive=False)


MODELS = {"dense": dense, "spatial": spatial}

if __name__ == "__main__":
    for name in sys.argv[1:] or MODELS:
        MODELS[name]()
