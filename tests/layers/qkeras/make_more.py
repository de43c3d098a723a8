"""Write `more.zip`: layers around QKeras' own layers, adaptive activations, and drawn options of quantisers.

Run it where `make_quantisers.py` runs (its docstring has the recipe); TF_USE_LEGACY_KERAS=1 must be set.
"""

from __future__ import annotations

import io
import json
import random
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import qkeras
import tensorflow as tf
from make_models import settle
from qkeras import QActivation, QBatchNormalization, QConv1D, QConv2D, QConv2DTranspose, QDense

L = tf.keras.layers
bits = qkeras.quantized_bits
K = bits(5, 0, 1, alpha=1)
WEIGHTS = {"kernel_quantizer": K, "bias_quantizer": K}
CELL = {**WEIGHTS, "recurrent_quantizer": K, "activation": "quantized_tanh(6)"}
GATES = {**CELL, "recurrent_activation": "quantized_sigmoid(6)"}
STATE = {"state_quantizer": bits(7, 1, alpha=1)}
EXTREMES = {
    "adaptive_bits": (-3.2, 2.9),
    "adaptive_relu": (0, 2.9),
    "adaptive_leaky": (-0.5, 2.9),
    "adaptive_channels": ([-1, -2, -5], [1, 3, 0.4]),
}
"""Moving extremes that training would have found."""


def line(*layers: Any, shape: tuple[int, ...] = (4,)) -> tf.keras.Model:
    """Layers behind an input quantiser."""
    return tf.keras.Sequential([L.Input(shape, name="x"), QActivation(bits(8, 3, alpha=1), name="q"), *layers])


def adaptive(kind: str, **more: Any) -> tf.keras.Model:
    act = qkeras.QAdaptiveActivation(kind, 6, quantization_delay=1, name="act", **more)
    return line(QDense(3, name="fc", **WEIGHTS), act)


def nested() -> tf.keras.Model:
    """A block of QKeras layers, called twice."""
    block = tf.keras.Sequential(
        [L.Input((4,)), QDense(4, name="fc", **WEIGHTS), QActivation("quantized_relu(5,2)", name="act")], name="block"
    )
    x = i = L.Input((4,), name="x")
    x = block(block(QActivation("quantized_bits(8,3,alpha=1)", name="q")(x)))
    return tf.keras.Model(i, QDense(2, name="out", **WEIGHTS)(x))


def mobile() -> tf.keras.Model:
    """What `QMobileNetSeparableConv2D` makes of itself."""
    x = i = L.Input((4, 4, 2), name="x")
    block = qkeras.QMobileNetSeparableConv2D(
        3, (2, 2), depthwise_quantizer=bits(4, 0, 1, alpha=1), pointwise_quantizer=K, bias_quantizer=K, padding="same",
        depthwise_activation="quantized_relu(6,2)", activation=QActivation("quantized_relu(5,2)"),
        depthwise_dropout_rate=0.2, name="m",
    )  # fmt: skip
    return tf.keras.Model(i, block(QActivation(bits(8, 3, alpha=1), name="q")(x)))


def bidirectional(wrapper: Any, kind: str, settings: dict[str, Any], **more: Any) -> tf.keras.Model:
    own = {key: more.pop(key) for key in ("return_sequences", "go_backwards") if key in more}
    inner = getattr(qkeras, kind)(3, name="rnn", **settings, **STATE, **own)
    return line(wrapper(inner, name="both", **more), shape=(4, 2))


def cells(*made: Any) -> tf.keras.Model:
    return line(L.RNN(list(made) if len(made) > 1 else made[0], name="rnn"), shape=(4, 2))


MODELS = {
    "adaptive_bits": lambda: adaptive("quantized_bits"),
    "adaptive_relu": lambda: adaptive("quantized_relu", po2_rounding=True),
    "adaptive_leaky": lambda: adaptive("quantized_relu", relu_neg_slope=0.25),
    "adaptive_channels": lambda: adaptive("quantized_bits", per_channel=True, symmetric=False),
    "both_simple": lambda: bidirectional(qkeras.QBidirectional, "QSimpleRNN", CELL, return_sequences=True),
    "both_lstm": lambda: bidirectional(qkeras.QBidirectional, "QLSTM", GATES),
    "both_gru": lambda: bidirectional(qkeras.QBidirectional, "QGRU", GATES, merge_mode="ave"),
    "both_keras": lambda: bidirectional(L.Bidirectional, "QLSTM", GATES, merge_mode="mul", return_sequences=True),
    "cell_lstm": lambda: cells(qkeras.QLSTMCell(3, **GATES, **STATE)),
    "cell_stack": lambda: cells(qkeras.QSimpleRNNCell(3, **CELL, **STATE), qkeras.QSimpleRNNCell(2, **CELL, **STATE)),
    "steps": lambda: line(
        L.TimeDistributed(QConv1D(3, 2, name="conv", **WEIGHTS), name="windows"),
        L.TimeDistributed(QActivation("quantized_relu(4,1)", name="act"), name="acts"),
        L.TimeDistributed(L.Flatten(), name="flat"),
        L.TimeDistributed(QDense(2, kernel_quantizer="quantized_bits(4,0,1,alpha='auto')", bias_quantizer=K),
                          name="rows"),
        shape=(3, 4, 2),
    ),
    "nested": nested,
    "mobile": mobile,
    "names": lambda: line(
        QDense(5, activation="relu", name="a", **WEIGHTS), QActivation("relu", name="b"),
        QDense(3, activation="linear", name="c", **WEIGHTS), L.Activation(qkeras.quantized_relu(4, 2), name="d"),
        L.Dense(3, activation=bits(9, 4, alpha=1), name="e", kernel_initializer="zeros"),
        QActivation(qkeras.quantized_hswish(8, 3, 1, alpha=1), name="f"),
    ),
    "numbers": lambda: line(
        QDense(3, kernel_quantizer=bits(4, 0, 1, alpha=np.array([0.5, 2.0, 1.0])), bias_quantizer=K, name="a"),
        QDense(2, kernel_quantizer=qkeras.binary(alpha=0.5), bias_quantizer=bits(4, 1, alpha="auto_po2"), name="b"),
    ),
    "options": lambda: line(
        QConv2D(3, (3, 2), dilation_rate=2, padding="same", kernel_quantizer=bits(4, 0, 1, alpha="auto_po2"),
                bias_quantizer="quantized_po2(4)", activation="quantized_tanh(6)", name="a"),
        QBatchNormalization(gamma_quantizer=qkeras.quantized_relu_po2(6, 2048), name="b",
                            beta_quantizer=qkeras.quantized_po2(5), mean_quantizer=qkeras.quantized_po2(5),
                            variance_quantizer=qkeras.quantized_relu_po2(6, quadratic_approximation=True)),
        QActivation(bits(8, 3, alpha=1, use_variables=True, use_ste=False, var_name="v"), name="c"),
        QConv2DTranspose(2, (3, 2), strides=(2, 1), padding="same", output_padding=(1, 0), kernel_quantizer=K,
                         bias_quantizer=K, name="d"),
        shape=(3, 3, 2),
    ),
}  # fmt: skip
FORMATS = dict.fromkeys(("adaptive_channels", "both_lstm", "cell_stack", "nested"), ("h5", "keras"))


def drawn(r: random.Random) -> tuple[str, dict[str, Any]]:
    """A quantiser with options, all of them honoured at inference."""
    c = lambda *choices: r.choice(choices)  # noqa: E731
    flags = {"use_ste": c(True, False), "use_variables": c(True, False), "qnoise_factor": c(1, 1.0)}
    powers = {"bits": c(2, 3, 4, 5), "max_value": c(None, 1, 2, 4, 3.0), "log2_rounding": c("rnd", "floor"),
              "quadratic_approximation": c(True, False)}  # fmt: skip
    slope = c(0, 0.0, 0.25, 0.5, 0.125, 2.0, 0.015625)
    kinds: dict[str, dict[str, Any]] = {
        "quantized_bits": {"bits": c(1, 2, 3, 5, 8, 12), "integer": c(0, 1, 2, 5), "symmetric": c(0, 1, True),
                           "keep_negative": c(True, False, 0, 1), "alpha": c(None, 1, 0.5, 2.0), **flags},
        "quantized_relu": {"bits": c(2, 3, 5, 8), "integer": c(0, 1, 3), "negative_slope": slope,
                           "relu_upper_bound": c(None, 1.5, 0.3, 6), "is_quantized_clip": c(True, False), **flags},
        "quantized_po2": {**powers, **flags},
        "quantized_relu_po2": {**powers, "negative_slope": c(0, 0.25, 0.5)},
        "binary": {"use_01": c(True, False, 1), "alpha": c(None, 0.5), "use_stochastic_rounding": c(True, False)},
        "ternary": {"alpha": c(None, 0.5, 2.0), "threshold": c(None, 0.25, 0.7, 0)},
        "stochastic_ternary": {"alpha": c(None, 0.5), "threshold": c(None, 0.25), "temperature": c(8.0, 2.0)},
        "stochastic_binary": {"alpha": c(None, 0.5), "temperature": c(6.0, 2.0), "use_real_sigmoid": c(True, False)},
        "quantized_tanh": {"bits": c(1, 2, 4, 8), "symmetric": c(True, False)},
        "quantized_sigmoid": {"bits": c(1, 2, 4, 8), "symmetric": c(True, False)},
        "quantized_hswish": {"bits": c(4, 6, 8), "integer": c(1, 2), "relu_shift": c(2, 3), "symmetric": c(0, 1),
                             "relu_upper_bound": c(4, 6), "alpha": c(None, 1), **flags},
    }  # fmt: skip
    kind = r.choice(sorted(kinds))
    return kind, kinds[kind]


def quantisers() -> dict[str, np.ndarray]:
    """What drawn quantisers return, by their settings as a model file has them."""
    rng = np.random.default_rng(3)
    powers = 2.0 ** np.arange(-14, 12)
    x = np.concatenate([
        rng.integers(-(2**13), 2**13, 120) / 2**9, rng.integers(-40, 40, 40) / 8, powers, -powers,
        [0.0, -0.0, 0.33, -0.33, 1e-30, -1e-30, 700, -700],
    ]).astype(np.float32)  # fmt: skip
    arrays, r = {"x": x}, random.Random(4)
    while len(arrays) < 91:
        kind, config = drawn(r)
        value = getattr(qkeras, kind)(**config)(tf.constant(x))
        arrays[json.dumps({"class_name": kind, "config": config})] = np.asarray(value, np.float32)
    return arrays


def main() -> None:
    found: dict[str, np.ndarray] = {}
    with (
        zipfile.ZipFile(Path(__file__).with_name("more.zip"), "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
        tempfile.TemporaryDirectory() as folder,
    ):
        for seed, (name, build) in enumerate(MODELS.items()):
            tf.keras.backend.clear_session()
            model = settle(build(), seed)
            x = np.random.default_rng(seed + 100).integers(-96, 96, (16, *model.input_shape[1:])) / 32
            if name in EXTREMES:
                act = model.get_layer("act")
                for variable, value in zip((act.ema_min, act.ema_max), EXTREMES[name], strict=True):
                    variable.assign(np.reshape(value, variable.shape).astype(np.float32))
                model(x.astype(np.float32), training=False)  # it counts its bits behind its first call
            found[f"{name}/x"] = x
            found[f"{name}/y"] = np.asarray(model(x.astype(np.float32), training=False))
            for suffix in FORMATS.get(name, ("h5",)):
                path = Path(folder) / f"{name}.{suffix}"
                model.save(path, **({"include_optimizer": False} if suffix == "h5" else {}))
                archive.write(path, path.name)
        for name, arrays in (("models.npz", found), ("quantisers.npz", quantisers())):
            data = io.BytesIO()
            np.savez_compressed(data, **arrays)
            archive.writestr(name, data.getvalue())


if __name__ == "__main__":
    main()
