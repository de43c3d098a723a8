"""Makes the models and vectors of this folder. Run in an environment of its own, in this folder:

    python3 -m venv hgq2 && hgq2/bin/pip install torch==2.13.0 keras==3.15.1 hgq2==0.2.0
    KERAS_BACKEND=torch hgq2/bin/python make.py

One tiny model a case, with random weights and few bits; `vectors.npz` holds inputs `NAME x0`… and the outputs
`NAME y0`… of HGQ2's own forward.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import hgq.layers as q
import keras
import numpy as np
from hgq.config import QuantizerConfig

HERE = Path(__file__).parent


def data(**settings):
    return QuantizerConfig("kif", "datalane", **settings)


def on(layer, *shapes):
    """Model of one layer on inputs of shapes."""

    def build():
        inputs = [keras.Input(shape) for shape in shapes]
        return keras.Model(inputs, layer()(inputs if len(inputs) > 1 else inputs[0]))

    return build


def nested():
    x = keras.Input((2,))
    inner = keras.Sequential([keras.Input((2,)), q.QDense(2, activation="relu"), q.QDense(2)], name="inner")
    return keras.Model(x, q.QAdd()([inner(x), x]))


def shared():
    x = keras.Input((2,))
    layer = q.QDense(2, activation="relu")
    return keras.Model(x, layer(layer(x)))


def outputs():
    x = keras.Input((3,))
    y = q.QDense(2)(x)
    return keras.Model(x, [y, q.QSum()(y), q.QMeanPow2()(x)])


def sequential():
    stack = [q.QConv1D(2, 2, activation="relu"), q.QMaxPool1D(2), keras.layers.Flatten(), q.QBatchNormDense(2)]
    return keras.Sequential([keras.Input((4, 1)), *stack])


CASES = {
    "dense": on(lambda: q.QDense(2, activation="relu"), (3,)),
    "dense_batch_norm": on(lambda: q.QBatchNormDense(2, enable_oq=True, iq_conf=data(overflow_mode="SAT")), (2,)),
    "einsum": on(lambda: q.QEinsumDense("bnc,cd->bnd", (2, 2), bias_axes="d"), (2, 2)),
    "einsum_batch_norm": on(lambda: q.QEinsumDenseBatchnorm("bnc,nm->bmc", (1, 2), bias_axes="m"), (2, 2)),
    "conv1d": on(lambda: q.QConv1D(2, 2, padding="causal", iq_conf=data(heterogeneous_axis=(-1,))), (3, 1)),
    "conv2d": on(lambda: q.QConv2D(2, 2, padding="same", data_format="channels_first"), (1, 2, 2)),
    "conv3d": on(lambda: q.QConv3D(1, (1, 2, 1), activation="relu"), (1, 2, 2, 1)),
    "max_pool": on(lambda: q.QMaxPooling1D(2, strides=1), (3, 1)),
    "average_pool": on(lambda: q.QAveragePooling2D(2), (2, 2, 2)),
    "global_pool": on(lambda: q.QGlobalMaxPooling1D(), (3, 2)),
    "batch_norm": on(lambda: q.QBatchNormalization(), (3,)),
    "simple_rnn": on(lambda: q.QSimpleRNN(1, return_sequences=True), (2, 1)),
    "gru": on(lambda: q.QGRU(1), (2, 1)),
    "add": on(lambda: q.QAdd(), (2,), (2,)),
    "subtract": on(lambda: q.QSubtract(), (2,), (2,)),
    "multiply": on(lambda: q.QMultiply(), (2,), (2,)),
    "average": on(lambda: q.QAveragePow2(), (2,), (2,)),
    "minimum": on(lambda: q.QMinimum(), (2,), (2,)),
    "maximum": on(lambda: q.QMaximum(), (2,), (2,)),
    "dot": on(lambda: q.QDot(axes=(1, 1)), (2, 1), (2, 2)),
    "matmul": on(lambda: q.QEinsum("bij,bjk->bik"), (1, 2), (2, 2)),
    "sum": on(lambda: q.QSum(axes=1, scale=0.5), (2, 2)),
    "mean": on(lambda: q.QMeanPow2(axes=1), (3, 1)),
    "tanh": on(lambda: q.QUnaryFunctionLUT("tanh"), (2,)),
    "sigmoid": on(lambda: q.QAffinedUnaryFunctionLUT("sigmoid"), (2,)),
    "softmax": on(lambda: q.QSoftmax(enable_iq=True, exp_iq_conf=data(overflow_mode="SAT")), (3,)),
    "quantiser": on(lambda: q.Quantizer(data(round_mode="RND_CONV", overflow_mode="SAT_SYM")), (3,)),
    "table_dense": on(lambda: q.QDenseT(2, d_hl=3), (2,)),
    "table_einsum": on(
        lambda: q.QEinsumDenseT("bnc,cd->bnd", (2, 1), d_hl=4, bias_axes="d", subnn_activation="relu"), (2, 2)
    ),
    "table_conv": on(lambda: q.QConvT1D(1, 2, d_hl=2, subnn_activation="tanh", padding="same"), (3, 1)),
    "nested": nested,
    "shared": shared,
    "several_outputs": outputs,
    "sequential": sequential,
}


def randomise(model, rng):
    """Give every variable a random value, and few bits."""
    for variable in model.variables:
        name, shape = variable.path.rsplit("/", 1)[-1], variable.shape
        if "quantizer" in variable.path:
            few = {"k": np.ones(shape), "i": rng.integers(1, 3, shape), "f": rng.integers(1, 4, shape)}
            few["b"] = few["i"] + few["f"]
            if name not in few:
                continue
            value = few[name]
        elif name in ("ebops", "beta") and shape == ():
            continue
        else:
            value = rng.uniform(0.3, 2, shape) if "variance" in name else rng.normal(0, 1, shape)
        variable.assign(np.asarray(value).astype(variable.dtype))


def main():
    stored = {}
    for number, (name, build) in enumerate(CASES.items()):
        rng = np.random.default_rng(number + 100)
        model = build()
        randomise(model, rng)
        xs = [np.round(rng.normal(0, 2, (24, *x.shape[1:])) * 16).astype(np.float32) / 16 for x in model.inputs]
        ys = model.predict(xs if len(xs) > 1 else xs[0], verbose=0)
        ys = ys if isinstance(ys, list) else [ys]
        path = HERE / f"{name}.keras"
        model.save(path)
        with zipfile.ZipFile(path) as archive:
            members = {item: archive.read(item) for item in archive.namelist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for item, content in members.items():
                archive.writestr(zipfile.ZipInfo(item), content, zipfile.ZIP_DEFLATED)
        stored |= {f"{name} x{n}": x for n, x in enumerate(xs)} | {f"{name} y{n}": y for n, y in enumerate(ys)}
        print(name, [len(np.unique(y)) for y in ys])
    np.savez_compressed(HERE / "vectors.npz", **stored)


if __name__ == "__main__":
    main()
