"""Writes the projects of this folder with hls4ml and stores what its C simulation computes. Run once, by hand.

    python3 -m venv env && env/bin/pip install hls4ml==1.3.0 keras==3.15.1 torch==2.13.0
    env/bin/python make_projects.py [name …]        (needs g++)

An archive a project (`mlp`: a directory): hls4ml's own text (types, configs, weights, top function, configuration;
neither its libraries nor `ap_types`). Beside it a `.npz`: inputs `x0, x1, …` (float64) and the outputs `y0, y1, …` of
`hls_model.predict`.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"

import hls4ml
import keras
import numpy as np
from packing import KEPT, keep

L = keras.layers


def seeded(model, seed=1):
    """Give every weight seeded values of a size that makes types overflow now and then."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        values = rng.normal(0, 0.7 if "kernel" in weight.path else 0.4, weight.shape)
        if "variance" in weight.path:
            values = values**2 + 0.1
        weight.assign(values + 1 if "gamma" in weight.path else values)
    return model


def inputs(model, rows, seed=2):
    """Random inputs of several sizes, zeros, and ones that overflow everything."""
    rng = np.random.default_rng(seed)
    xs = [rng.normal(0, 3, (rows, *tensor.shape[1:])) for tensor in model.inputs]
    for x in xs:
        x[0], x[1], x[2], x[3] = 0, 40, -40, x[3] * 30
    for tensor, x in zip(model.inputs, xs, strict=True):
        if tensor.name == "i":  # rows of an embedding
            x[:] = rng.integers(0, 6, x.shape)
    return [np.round(x * 4096) / 4096 for x in xs]


def write(name, model, types=None, rows=24, **options):
    """Write one project, run it, keep what is text."""
    backend, strategy = options.pop("backend", "Vivado"), options.pop("strategy", None)
    reuse = options.pop("reuse", 1)
    config = hls4ml.utils.config_from_keras_model(
        model, granularity="name", backend=backend, default_precision="fixed<16,6>", default_reuse_factor=reuse
    )
    for layer, settings in config["LayerName"].items():
        if strategy:
            settings["Strategy"] = strategy
        if types is not None:
            types(layer, settings)
    if strategy:
        config["Model"]["Strategy"] = strategy
    with tempfile.TemporaryDirectory() as folder:
        hls_model = hls4ml.converters.convert_from_keras_model(
            model, hls_config=config, backend=backend, output_dir=folder, **options
        )
        hls_model.compile()
        xs = inputs(model, rows)
        ys = hls_model.predict([np.ascontiguousarray(x) for x in xs] if len(xs) > 1 else xs[0])
        keep(Path(folder), name, xs, ys if isinstance(ys, list) else [ys])


# --- models


def mlp():
    x = keras.Input((8,), name="x")
    h = L.BatchNormalization(name="bn")(L.Dense(6, activation="relu", name="fc1")(x))
    return seeded(keras.Model(x, L.Softmax(name="sm")(L.Dense(3, name="fc2")(h))))


def activations():
    x = keras.Input((5,), name="x")
    h = [L.Dense(4, name=f"fc{k}")(x) for k in range(3)]
    names = ("sigmoid", "tanh", "softplus", "softsign", "relu", "elu", "selu", "hard_sigmoid", "linear")
    outs = [L.Activation(name, name=f"a_{name}")(h[k // 5]) for k, name in enumerate(names)]
    outs += [L.LeakyReLU(negative_slope=0.3, name="a_leaky")(h[2]), L.ELU(alpha=0.7, name="a_elu2")(h[2])]
    return seeded(keras.Model(x, [*outs, L.PReLU(name="a_prelu")(h[2])]))


def activation_types(result, table, size, output):
    def types(name, settings):
        if name.startswith("fc"):
            settings["Precision"]["result"] = result
        elif name.startswith("a_"):
            settings["Precision"]["result"] = output
            if "table" in settings["Precision"]:
                settings["Precision"]["table"] = table
            if "TableSize" in settings:
                settings["TableSize"] = size

    return types


DENSE = (
    ("fixed<16,6>", "fixed<16,6>", "fixed<16,6>"),
    ("fixed<12,5>", "fixed<8,2>", "fixed<10,6>"),
    ("fixed<12,5,RND,SAT>", "fixed<8,2>", "fixed<10,6,RND,SAT>"),
    ("fixed<10,4,TRN,SAT>", "fixed<6,1,RND,SAT>", "fixed<10,6,RND_CONV,WRAP>"),
    ("fixed<20,8>", "fixed<6,1>", "ufixed<10,6,RND_INF,SAT>"),
    ("fixed<11,5,RND_ZERO,SAT_SYM>", "fixed<7,2>", "fixed<6,3,RND_MIN_INF,SAT_ZERO>"),
    ("fixed<9,5,RND_CONV>", "fixed<7,2>", "fixed<8,4,TRN_ZERO>"),
    ("int<12>", "fixed<9,3>", "int<6>"),
    ("fixed<10,4,RND_INF,SAT_ZERO>", "fixed<6,2>", "fixed<14,5>"),
    ("ufixed<10,4,RND,SAT>", "fixed<6,2>", "fixed<14,5>"),
)
"""Accumulator, weight and result of each layer of `dense`."""


def dense():
    xs = [keras.Input((6,), name=f"x{k}") for k in range(2)]
    return seeded(keras.Model(xs, [L.Dense(3, name=f"d{k}")(xs[k // 5]) for k in range(len(DENSE))]))


def dense_types(name, settings):
    p = settings["Precision"]
    if name.startswith("d"):
        p["accum"], p["weight"], p["result"] = DENSE[int(name[1:])]
        p["bias"] = "fixed<9,3>"
    elif name.startswith("x"):
        p["result"] = "fixed<9,4>"


SOFTMAX = (
    ("stable", {}, "fixed<16,6>"),
    ("latency", {}, "fixed<12,4>"),
    ("legacy", {}, "fixed<10,5>"),
    ("argmax", {}, "fixed<16,6>"),
    (
        "stable",
        {
            "exp_table": "fixed<12,2,RND,SAT>",
            "inv_table": "fixed<14,4,RND,SAT>",
            "accum": "fixed<14,4>",
            "inv_inp": "fixed<10,4>",
        },
        "fixed<14,5,RND,SAT>",
    ),
    (
        "latency",
        {
            "exp_table": "ufixed<12,6,RND,SAT>",
            "inv_table": "ufixed<14,2,RND,SAT>",
            "accum": "ufixed<14,7,TRN,SAT>",
            "inv_inp": "ufixed<12,8,RND,SAT>",
        },
        "fixed<11,3>",
    ),
    ("stable", {"exp_table": "fixed<18,8,TRN>", "accum": "fixed<10,3,RND,SAT>"}, "ufixed<12,4>"),
    ("legacy", {"table": "fixed<14,5,RND,SAT>"}, "fixed<16,6>"),
)
"""Implementation, types and input type of each softmax."""


def softmax():
    xs = [keras.Input((3,), name=f"x{k}") for k in range(2)]
    outs = [L.Softmax(name=f"s{k}")(L.Dense(4, name=f"d{k}")(xs[k // 5])) for k in range(len(SOFTMAX))]
    return seeded(keras.Model(xs, outs))


def softmax_types(name, settings):
    if name.startswith("s"):
        implementation, kinds, _ = SOFTMAX[int(name[1:])]
        settings["Implementation"] = implementation
        settings["Precision"].update(kinds, result="ufixed<12,1,RND,SAT>")
        settings["TableSize"] = 128
    elif name.startswith("d"):
        settings["Precision"]["result"] = SOFTMAX[int(name[1:])][2]


def merges():
    a, b, c = (keras.Input((4,), name=name) for name in "abc")
    h, d = L.Dense(4, name="fa")(a), L.Dense(4, name="fd")(c)
    outs = [kind()([h, b]) for kind in (L.Add, L.Subtract, L.Multiply, L.Average)]
    return seeded(keras.Model([a, b, c], outs + [kind()([d, c]) for kind in (L.Maximum, L.Minimum, L.Concatenate)]))


def merge_types(name, settings):
    settings["Precision"]["result"] = "fixed<9,5>" if name[0] in "mac" else "fixed<11,5,RND,SAT>"


def plane(same, depthwise=True):
    x = keras.Input((9, 7, 2), name="x")
    pad = "same" if same else "valid"
    h = L.Conv2D(3, (3, 2), padding=pad, strides=(2, 1), activation="relu", name="c1")(x)
    a = L.Conv2D(2, 1, name="c2")(L.MaxPooling2D((2, 2), name="p1")(h))
    b = L.AveragePooling2D((2, 2), name="p2")(h)
    b = L.DepthwiseConv2D((2, 2), name="c3")(b) if depthwise else b  # hls4ml has no resource strategy for it
    return seeded(
        keras.Model(
            x,
            [
                L.Flatten()(a),
                L.GlobalAveragePooling2D(name="p3")(h),
                L.GlobalMaxPooling2D(name="p4")(h),
                L.Flatten()(b),
            ],
        )
    )


def line(same):
    x = keras.Input((9, 3), name="x")
    h = L.ReLU(name="r")(L.Conv1D(4, 3, padding="same" if same else "valid", name="c1")(x))
    a, b = L.MaxPooling1D(2, name="p1")(h), L.AveragePooling1D(3, name="p2")(h)
    pools = [L.GlobalAveragePooling1D(name="p3")(h), L.GlobalMaxPooling1D(name="p4")(h)]
    return seeded(keras.Model(x, [L.Dense(3, name="f1")(L.Flatten()(a)), L.Flatten()(b), *pools]))


def conv_types(accum, result):
    def types(name, settings):
        p = settings["Precision"]
        if "accum" in p:
            p["accum"] = accum
        if name[0] in "cpf":
            p["result"] = result
        if "weight" in p:
            p["weight"] = p["bias"] = "fixed<8,2>"
        if name == "x":
            p["result"] = "fixed<9,4>"

    return types


def views():
    x = keras.Input((4, 5, 2), name="x")
    kinds = (L.ZeroPadding2D(((1, 2), (0, 1))), L.UpSampling2D((2, 2)), L.Permute((3, 1, 2)))
    outs = [L.Flatten()(kind(x)) for kind in (*kinds, L.Cropping2D(((1, 0), (1, 1))))]
    return seeded(keras.Model(x, outs))


def recurrent():
    x = keras.Input((4, 3), name="x")
    outs = [
        L.LSTM(2, name="r0")(x),
        L.LSTM(2, return_sequences=True, recurrent_activation="sigmoid", activation="relu", name="r1")(x),
        L.GRU(3, name="r2")(x),
        L.GRU(2, return_sequences=True, name="r3")(x),
        L.Bidirectional(L.LSTM(2), name="r4")(x),
    ]
    return seeded(keras.Model(x, [L.Flatten()(out) if len(out.shape) > 2 else out for out in outs]))


def recurrent_types(state, accum, table):
    """hls4ml's LSTM compiles only where input, accumulator and state have one type; its GRU takes any."""

    def types(name, settings):
        p = settings["Precision"]
        if name[0] == "r":
            p.update({key: accum if name in ("r2", "r3") else state for key in p if key.endswith("accum")})
            p.update({key: "fixed<9,3>" for key in p if key.endswith(("weight", "bias"))})
            p["result"] = "fixed<10,4,RND>" if name in ("r2", "r3") else state
        if "table" in p:
            p["table"] = table
        if "TableSize" in settings:
            settings["TableSize"] = 256
        if name == "x":
            p["result"] = state

    return types


def tensors():
    x, y, i = keras.Input((3, 4), name="x"), keras.Input((4, 2), name="y"), keras.Input((3,), name="i")
    outs = [
        L.EinsumDense("bac,cd->bad", (3, 2), bias_axes="d", name="e0")(x),
        L.LayerNormalization(axis=2, name="e1")(x),
        L.Embedding(6, 3, name="e2")(i),
        L.EinsumDense("bac,acd->bda", (2, 3), bias_axes="da", name="e3")(x),
        L.Dense(2, name="e4")(y),
    ]
    return seeded(keras.Model([x, y, i], [L.Flatten()(out) for out in outs]))


def tensor_types(name, settings):
    p = settings["Precision"]
    if name == "i":
        p["result"] = "uint<3>"
    elif name in ("x", "y"):
        p["result"] = "fixed<9,4>"
    elif name[0] == "e":
        p["result"] = "fixed<12,5>"
        if "accum" in p:
            p["accum"] = "fixed<14,6>"
        if "table" in p:
            p["table"] = "fixed<12,4>"


PRODUCTS = {
    "d0": ("ap_uint<1>", "weight_binary", (0, 1)),
    "d1": ("ap_int<2>", "weight_ternary", (-1, 0, 1)),
    "d5": (None, "data_binary", None),
    "d6": ("ap_uint<1>", "both_binary", (0, 1)),
}
"""Binary and ternary layers: weight type, product, values. Its Keras reader makes none, so the text is changed."""


def products(name):
    """Change types and products of the project `dense`, compile it with its own script, run it by its bridge."""
    model, rng = dense(), np.random.default_rng(5)
    config = hls4ml.utils.config_from_keras_model(model, granularity="name", backend="Vivado")
    for layer, settings in config["LayerName"].items():
        dense_types(layer, settings)
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        hls4ml.converters.convert_from_keras_model(
            model, hls_config=config, backend="Vivado", output_dir=directory
        ).write()
        firmware = folder / "firmware"
        types, configs = ((firmware / file).read_text() for file in KEPT)
        top = (firmware / "myproject.cpp").read_text()
        second = re.search(r"myproject\(\s*\w+ \w+\[6\], (\w+) ", top)[1]
        types = re.sub(rf"typedef [^;]* {second};", f"typedef ap_uint<1> {second};", types)
        types = re.sub(r"typedef [^;]* d6_(accum|bias)_t;", r"typedef ap_int<8> d6_\1_t;", types)
        for layer, (kind, product, values) in PRODUCTS.items():
            struct, w = re.search(rf"nnet::dense<\w+, \w+, (\w+)>\(\w+, \w+, (\w+), \w+\); // {layer}\b", top).groups()
            at = configs.index("product::mult", configs.index(f"struct {struct} "))
            configs = f"{configs[:at]}product::{product}{configs[at + len('product::mult') :]}"
            if values is not None:
                types = re.sub(rf"typedef [^;]* {layer}_weight_t;", f"typedef {kind} {layer}_weight_t;", types)
                text = ", ".join(map(str, rng.choice(values, 18)))
                (firmware / "weights" / f"{w}.txt").write_text(text)
                header = firmware / "weights" / f"{w}.h"
                header.write_text(re.sub(r"= \{[^}]*\}", f"= {{{text}}}", header.read_text()))
        (firmware / "defines.h").write_text(types)
        (firmware / "parameters.h").write_text(configs)
        subprocess.run(["bash", "build_lib.sh"], cwd=folder, check=True, capture_output=True)
        library = ctypes.CDLL(str(next(firmware.glob("*.so"))))
        xs = [inputs(model, 24)[0], rng.integers(0, 2, (24, 6)).astype(float)]
        ys = [np.zeros((24, 3)) for _ in model.outputs]
        for n in range(24):
            rows = [array[n] for array in (*xs, *ys)]
            library.myproject_double(*(row.ctypes.data_as(ctypes.POINTER(ctypes.c_double)) for row in rows))
        keep(folder, name, xs, ys)


WRAP, SATURATE = "fixed<13,6>", "fixed<11,5,RND,SAT>"
PROJECTS = {
    "mlp": lambda name: write(name, mlp()),
    "mlp_resource": lambda name: write(name, mlp(), backend="Vitis", strategy="Resource", reuse=4),
    "activations": lambda name: write(
        name, activations(), activation_types("fixed<12,5>", "fixed<12,4>", 512, "fixed<10,4>")
    ),
    "activations_unsigned": lambda name: write(
        name,
        activations(),
        activation_types("ufixed<10,4,RND,SAT>", "fixed<10,3,RND,SAT>", 256, "fixed<9,4,RND_CONV,SAT>"),
        backend="Vitis",
    ),
    "activations_stream": lambda name: write(
        name,
        activations(),
        activation_types("fixed<11,5,TRN_ZERO,SAT_SYM>", "ufixed<9,1>", 2048, "ufixed<8,3>"),
        io_type="io_stream",
    ),
    "dense": lambda name: write(name, dense(), dense_types),
    "dense_resource": lambda name: write(name, dense(), dense_types, strategy="Resource", reuse=3),
    "dense_reused": lambda name: write(name, dense(), dense_types, strategy="Resource", reuse=18, backend="Vitis"),
    "dense_unrolled": lambda name: write(
        name, dense(), dense_types, strategy="resource_unrolled", reuse=2, backend="Vitis"
    ),
    "dense_stream": lambda name: write(
        name, dense(), dense_types, io_type="io_stream", backend="Vitis", strategy="Resource", reuse=2
    ),
    "softmax": lambda name: write(name, softmax(), softmax_types),
    "softmax_stream": lambda name: write(name, softmax(), softmax_types, io_type="io_stream"),
    "merges": lambda name: write(name, merges(), merge_types),
    "merges_stream": lambda name: write(name, merges(), merge_types, io_type="io_stream"),
    "plane": lambda name: write(name, plane(True), conv_types(WRAP, "fixed<10,4,TRN,SAT>"), rows=12),
    "plane_resource": lambda name: write(
        name, plane(False, False), conv_types(SATURATE, "fixed<9,5>"), rows=12, strategy="Resource", reuse=3
    ),
    "plane_stream": lambda name: write(
        name, plane(False), conv_types(SATURATE, "fixed<9,5>"), rows=12, io_type="io_stream", backend="Vitis"
    ),
    "line": lambda name: write(name, line(False), conv_types("fixed<9,3>", "fixed<9,5>"), rows=12, backend="Vitis"),
    "line_stream": lambda name: write(
        name,
        line(True),
        conv_types(SATURATE, "fixed<10,4>"),
        rows=12,
        io_type="io_stream",
        strategy="Resource",
        reuse=3,
    ),
    "recurrent": lambda name: write(
        name, recurrent(), recurrent_types("fixed<12,5>", "fixed<13,5>", "fixed<12,2>"), rows=12
    ),
    "recurrent_resource": lambda name: write(
        name,
        recurrent(),
        recurrent_types("fixed<11,4,RND,SAT>", "fixed<14,6,RND,SAT>", "fixed<12,2>"),
        rows=12,
        backend="Vitis",
        strategy="Resource",
        reuse=1,
    ),
    "tensors": lambda name: write(name, tensors(), tensor_types, rows=12),
    "products": products,
    "views": lambda name: write(name, views(), rows=6),
    "views_stream": lambda name: write(name, views(), rows=6, io_type="io_stream"),
}

if __name__ == "__main__":
    for project in sys.argv[1:] or PROJECTS:
        PROJECTS[project](project)
