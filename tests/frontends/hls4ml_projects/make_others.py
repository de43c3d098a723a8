"""Writes projects of other readers and older releases of hls4ml, and what their C simulations compute. By hand.

python3 -m venv new && new/bin/pip install hls4ml==1.3.0 keras==3.15.1 torch==2.13.0 onnx qonnx hgq2==0.2.0 'da4ml<0.6'
python3 -m venv old && old/bin/pip install tensorflow==2.15.1 tf_keras==2.15.1 qkeras==0.9.0 sympy calmjs.parse
old/bin/pip install --no-deps --target rel/0.8.1 hls4ml==0.8.1                                  (… for each release)
new/bin/python make_others.py 1.3.0 torch_plane torch_gru qonnx_mlp qonnx_plane distributed hgq2_plane …
PYTHONPATH=rel/0.8.1 old/bin/python make_others.py 0.8.1 release08_plane …
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import hls4ml
import numpy as np
from packing import keep

RELEASE = sys.argv[1]
OLD = RELEASE < "1"
PRE = "ap_fixed" if OLD else "fixed"


def run(name, convert, rows=16):
    """Write one project, run it, keep what is text."""
    with tempfile.TemporaryDirectory() as folder:
        project = convert(folder)
        project.compile()
        rng, xs = np.random.default_rng(3), []
        for variable in project.get_input_variables():
            x = rng.normal(0, 2, (rows, *variable.shape))
            x[0] = 0
            x[1] *= 20
            xs.append(np.round(x * 4096) / 4096)
        ys = project.predict([np.ascontiguousarray(x) for x in xs] if len(xs) > 1 else xs[0])
        keep(Path(folder), name, xs, ys if isinstance(ys, list) else [ys])


def set_types(config, strategy=None, **kinds):
    """Set types by role, and a strategy, for all layers."""
    for settings in config["LayerName"].values():
        if strategy:
            settings["Strategy"] = strategy
        if isinstance(settings.get("Precision"), dict):
            settings["Precision"].update({role: kind for role, kind in kinds.items() if role in settings["Precision"]})
    return config


TIGHT = {"result": f"{PRE}<12,5>", "accum": f"{PRE}<12,5>", "weight": f"{PRE}<9,3>"}


# --- PyTorch (hls4ml 1.3.0)


def torch_project(name):
    import torch
    from torch import nn

    class Plane(nn.Module):
        def __init__(self):
            super().__init__()
            self.c1, self.bn, self.r, self.p = (
                nn.Conv2d(2, 4, 3, padding=1),
                nn.BatchNorm2d(4),
                nn.ReLU(),
                nn.MaxPool2d(2),
            )
            self.c2, self.av, self.f, self.d = nn.Conv2d(4, 3, 1), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, 3)

        def forward(self, x):
            return self.d(self.f(self.av(self.c2(self.p(self.r(self.bn(self.c1(x))))))))

    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.r = nn.GRU(4, 3, batch_first=True)

        def forward(self, x):
            return self.r(x)[0]

    plane = name == "torch_plane"
    model, shape = (Plane(), (None, 2, 8, 8)) if plane else (Recurrent(), (None, 5, 4))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * (0.7 if parameter.ndim > 1 else 0.4))
        for buffer_name, buffer in model.named_buffers():
            if "var" in buffer_name:
                buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.2)
            elif "mean" in buffer_name:
                buffer.copy_(torch.randn(buffer.shape, generator=generator) * 0.3)
    model.eval()
    config = hls4ml.utils.config_from_pytorch_model(
        model, shape, granularity="name", backend="Vivado", channels_last_conversion="full" if plane else "off"
    )
    if plane:
        set_types(config, **TIGHT)
    run(
        name,
        lambda folder: hls4ml.converters.convert_from_pytorch_model(
            model, hls_config=config, backend="Vivado", output_dir=folder
        ),
        20,
    )


# --- QONNX (hls4ml 1.3.0)


def qonnx_project(name):
    from onnx import TensorProto, helper, numpy_helper
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.transformation.channels_last import ConvertToChannelsLastAndClean
    from qonnx.util.cleanup import cleanup_model

    rng, stored, nodes = np.random.default_rng(1), [], []

    def constant(label, value):
        stored.append(numpy_helper.from_array(np.asarray(value, np.float32), label))
        return label

    def quant(x, y, scale, bits, signed=1):
        parts = [constant(f"{y}_{part}", value) for part, value in (("s", scale), ("z", 0.0), ("b", float(bits)))]
        options = {"signed": signed, "narrow": 0, "rounding_mode": "ROUND"}
        nodes.append(helper.make_node("Quant", [x, *parts], [y], domain="qonnx.custom_op.general", **options))
        return y

    def node(kind, inputs, y, **attributes):
        nodes.append(helper.make_node(kind, inputs, [y], name=f"n_{y}", **attributes))
        return y

    def weights(label, shape, scale, bits, size=0.7):
        return quant(constant(label, rng.normal(0, size, shape)), f"{label}q", scale, bits)

    x = quant("x", "xq", 0.0625, 8)
    if name == "qonnx_mlp":
        x = node("MatMul", [x, weights("w0", (6, 5), 0.125, 5)], "m0")
        x = node("Add", [x, weights("b0", 5, 0.125, 6, 0.5)], "a0")
        x = quant(node("Relu", [x], "r0"), "r0q", 0.125, 6, 0)
        quant(node("MatMul", [x, weights("w1", (5, 4), 0.25, 4)], "m1"), "y", 0.0625, 9)
        shapes = [1, 6], [1, 4]
    else:
        kernel = weights("w0", (3, 2, 3, 3), 0.125, 5)
        bias = constant("b0", np.round(rng.normal(0, 0.5, 3) * 8) / 8)
        sizes = {"kernel_shape": [3, 3], "pads": [1] * 4, "strides": [1, 1], "dilations": [1, 1], "group": 1}
        x = quant(node("Relu", [node("Conv", [x, kernel, bias], "c0", **sizes)], "r0"), "r0q", 0.125, 6, 0)
        x = node("MaxPool", [x], "p0", kernel_shape=[2, 2], strides=[2, 2], pads=[0] * 4)
        x = node("MatMul", [node("Flatten", [x], "f0", axis=1), weights("w1", (27, 3), 0.25, 4)], "m1")
        quant(x, "y", 0.125, 10)
        shapes = [1, 2, 6, 6], [1, 3]
    ends = [helper.make_tensor_value_info(e, TensorProto.FLOAT, shape) for e, shape in zip("xy", shapes, strict=True)]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], stored)
    versions = [helper.make_opsetid("", 13), helper.make_opsetid("qonnx.custom_op.general", 1)]
    model = cleanup_model(ModelWrapper(helper.make_model(graph, opset_imports=versions, ir_version=8)))
    if name == "qonnx_plane":
        model = cleanup_model(model.transform(ConvertToChannelsLastAndClean()))
    config = hls4ml.utils.config_from_onnx_model(model, granularity="name", backend="Vitis")
    run(
        name,
        lambda folder: hls4ml.converters.convert_from_onnx_model(
            model, hls_config=config, backend="Vitis", output_dir=folder
        ),
    )


# --- Keras 3: distributed arithmetic, HGQ2 (hls4ml 1.3.0)


def distributed_project(name):
    import keras

    layers = keras.layers
    if name == "distributed":
        x = keras.Input((6,), name="x")
        h = layers.Dense(5, activation="relu", name="f1")(x)
    else:
        x = keras.Input((6, 5, 2), name="x")
        h = layers.Conv2D(3, (3, 2), activation="relu", padding="same", strides=(2, 1), name="c1")(x)
        h = layers.Flatten()(layers.Conv2D(2, 1, name="c2")(h))
    model = keras.Model(x, layers.Dense(3, name="f2")(h))
    rng = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(np.round(rng.normal(0, 0.7, weight.shape) * 16) / 16)
    config = hls4ml.utils.config_from_keras_model(model, granularity="name", backend="Vitis")
    set_types(config, weight="fixed<7,3>", bias="fixed<7,3>", result="fixed<12,5,RND,SAT>")
    for layer, settings in config["LayerName"].items():
        if layer in ("f1", "f2", "c1", "c2"):
            settings["Strategy"] = "distributed_arithmetic"
        if layer == "x":
            settings["Precision"]["result"] = "fixed<10,4>"
    options = {"io_type": "io_stream" if name.endswith("stream") else "io_parallel", "backend": "Vitis"}
    run(
        name,
        lambda folder: hls4ml.converters.convert_from_keras_model(
            model, hls_config=config, output_dir=folder, **options
        ),
    )


def hgq_project(name):
    import keras
    from hgq.config import LayerConfigScope, QuantizerConfigScope
    from hgq.layers import QConv2D, QDense
    from hgq.utils import trace_minmax

    weights, data = {"default_q_type": "kbi", "overflow_mode": "SAT_SYM"}, {"default_q_type": "kif"}
    with (
        QuantizerConfigScope(place="all", **weights),
        QuantizerConfigScope(place="datalane", overflow_mode="WRAP", **data),
        LayerConfigScope(enable_ebops=True, beta0=1e-5),
    ):
        x = keras.Input((6, 6, 2))
        h = keras.layers.MaxPooling2D(2)(QConv2D(3, 3, activation="relu", name="c1")(x))
        model = keras.Model(x, QDense(3, name="f2")(keras.layers.Flatten()(h)))
    rng = np.random.default_rng(1)
    for weight in model.trainable_weights:
        if "kernel" in weight.path or "bias" in weight.path:
            weight.assign(rng.normal(0, 0.6, weight.shape))
    trace_minmax(model, rng.normal(0, 2, (64, 6, 6, 2)).astype(np.float32))
    config = {"Model": {"Precision": "fixed<-1,0>", "ReuseFactor": 1, "Strategy": "latency"}}
    run(
        name,
        lambda folder: hls4ml.converters.convert_from_keras_model(
            model, hls_config=config, backend="Vitis", output_dir=folder
        ),
    )


# --- Keras 2 and QKeras (TensorFlow, any release)


def keras_model(name):
    from tensorflow import keras

    layers = keras.layers

    def image(size):
        return keras.Input((size, 8, 2), name="x")

    if name == "plane":
        x = image(8)
        h = layers.BatchNormalization(name="bn")(layers.Conv2D(3, 3, padding="same", strides=(2, 1), name="c1")(x))
        h = layers.Activation("relu", name="r1")(h)
        c = layers.Conv2D(2, 1, name="c2")(layers.MaxPooling2D(2, name="p1")(h))
        outs = [layers.Dense(3, name="f1")(layers.Flatten()(c)), layers.Flatten()(layers.AveragePooling2D(2)(h))]
        return keras.Model(x, [*outs, layers.GlobalAveragePooling2D()(h), layers.GlobalMaxPooling2D()(h)])
    if name == "chain":  # releases before 0.7 take one output
        x = image(9)
        h = layers.Activation("relu", name="r1")(
            layers.BatchNormalization(name="bn")(layers.Conv2D(3, 3, name="c1")(x))
        )
        h = layers.Conv2D(4, 2, name="c2", padding="same")(layers.MaxPooling2D(2, name="p1")(h))
        h = layers.AveragePooling2D(3, name="p2")(layers.Activation("tanh", name="t2")(h))
        h = layers.Activation("sigmoid", name="s1")(layers.Dense(5, name="f1")(layers.Flatten(name="fl")(h)))
        return keras.Model(x, layers.Activation("softmax", name="sm")(layers.Dense(3, name="f2")(h)))
    if name == "functions":
        x = keras.Input((6,), name="x")
        h = layers.LeakyReLU(alpha=0.3, name="l1")(layers.Dense(7, name="f1")(x))
        h = layers.Activation("softplus", name="sp")(layers.Dense(5, name="f2")(h))
        h = layers.Activation("selu", name="se")(layers.Dense(5, name="f3")(h))
        return keras.Model(x, layers.Activation("softsign", name="ss")(layers.Dense(4, name="f4")(h)))
    if name == "line":
        x = keras.Input((9, 3), name="x")
        h = layers.Activation("relu", name="r1")(layers.Conv1D(4, 3, name="c1", padding="same")(x))
        outs = [layers.Dense(3, name="f1")(layers.Flatten()(layers.MaxPooling1D(2, name="p1")(h)))]
        outs += [layers.Flatten()(layers.AveragePooling1D(3, name="p2")(h))]
        outs += [layers.GlobalAveragePooling1D(name="g1")(h), layers.GlobalMaxPooling1D(name="g2")(h)]
        return keras.Model(x, [*outs, layers.Flatten()(layers.SeparableConv1D(2, 3, name="s1")(x))])
    return qkeras_model(name, keras)


def qkeras_model(name, keras):
    import qkeras

    def dense(units, kernel, bias="quantized_bits(6,1,alpha=1)", **options):
        return qkeras.QDense(units, kernel_quantizer=kernel, bias_quantizer=bias, **options)

    def activation(text):
        return qkeras.QActivation(text)

    if name == "qkeras":
        x = keras.Input((6,), name="x")
        h = activation("quantized_relu(6,2)")(dense(5, "quantized_bits(6,1,alpha=1)")(x))
        t, b = dense(4, "ternary(alpha=1)")(h), dense(4, "binary(alpha=1)")(h)
        s, p = dense(4, "quantized_bits(4,0,alpha='auto_po2')")(h), dense(4, "quantized_po2(4)")(h)
        outs = [activation("binary(alpha=1)")(b), activation("quantized_tanh(6)")(s)]
        outs += [activation("quantized_bits(7,3,alpha=1)")(t), p, activation("quantized_sigmoid(7)")(s)]
        if not OLD:
            outs.append(activation("quantized_relu(5,1,negative_slope=0.25)")(s))
        return keras.Model(x, outs)
    h = x = keras.Input((6,), name="x")
    for kernel, function in (
        ("binary(alpha=1)", "binary(alpha=1)"),
        ("binary(alpha=1)", "ternary(alpha=1,threshold=0.5)"),
    ):
        h = qkeras.QDense(5, kernel_quantizer=kernel, use_bias=False)(h)
        h = activation(function)(keras.layers.BatchNormalization()(h))
    h = qkeras.QDense(5, kernel_quantizer="ternary(alpha=1)", use_bias=False)(h)
    return keras.Model(x, keras.layers.BatchNormalization()(h))


MODELS = {
    "qkeras": "qkeras",
    "release04_plane": "chain",
    "release04_compressed": "functions",
    "release06_binary": "binary",
    "release08_plane": "plane",
    "release08_qkeras": "qkeras",
    "release10_line": "line",
}


def keras_project(name):
    model = keras_model(MODELS[name])
    rng = np.random.default_rng(1)
    for weight in model.weights:
        values = rng.normal(0, 0.7 if "kernel" in weight.name else 0.4, weight.shape)
        if "variance" in weight.name:
            values = values**2 + 0.1
        weight.assign(values + 1 if "gamma" in weight.name else values)
    config = hls4ml.utils.config_from_keras_model(model, granularity="name")
    if MODELS[name] in ("plane", "chain", "line", "functions"):
        set_types(config, **TIGHT)
    if RELEASE < "0.5":
        config["Model"] = {"Precision": "ap_fixed<16,6>", "ReuseFactor": 3, "Strategy": "Resource"}
        for settings in config["LayerName"].values():
            settings.update({"Strategy": "Resource", "ReuseFactor": 2 if name.endswith("compressed") else 3})
            if name.endswith("compressed"):
                settings["Compression"] = True
    options = {} if RELEASE < "0.6" else {"backend": "Vivado"}
    run(
        name,
        lambda folder: hls4ml.converters.convert_from_keras_model(
            model, hls_config=config, output_dir=folder, **options
        ),
    )


FAMILIES = {"torch": torch_project, "qonnx": qonnx_project, "distributed": distributed_project, "hgq2": hgq_project}

if __name__ == "__main__":
    for project in sys.argv[2:]:
        FAMILIES.get(project.partition("_")[0], keras_project)(project)
