"""Write tiny QKeras models as files, and `models.npz` with inputs and the outputs of QKeras' own forward.

Run it where `make_quantisers.py` runs (its docstring has the recipe); TF_USE_LEGACY_KERAS=1 must be set.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import qkeras
import tensorflow as tf
from qkeras import QActivation, QBatchNormalization, QConv1D, QConv2D, QDense
from tensorflow_model_optimization.python.core.sparsity.keras import prune, pruning_schedule

# TensorFlow has renamed what QKeras calls.
qkeras.qrecurrent.nest.is_sequence = qkeras.qrecurrent.nest.is_nested
qkeras.qconvolutional.array_ops.stack = tf.stack

HERE = Path(__file__).parent
L = tf.keras.layers
bits = qkeras.quantized_bits


def settle(model: tf.keras.Model, seed: int) -> tf.keras.Model:
    """Give every variable seeded values of a trained model's size."""
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        shape, name = variable.shape, variable.name
        if "variance" in name:
            value = rng.uniform(0.3, 2.0, shape)
        elif "gamma" in name:
            value = rng.uniform(0.5, 1.5, shape)
        elif "mask" in name:
            value = rng.random(shape) < 0.6
        elif variable.dtype != tf.float32 or "threshold" in name:
            continue
        else:
            value = rng.normal(0, 0.45, shape)
        variable.assign(tf.cast(value, variable.dtype))
    return model


def tagger() -> tf.keras.Model:
    """Published jet tagger in small: strings for quantisers, softmax at the end."""
    x = i = L.Input((6,), name="jet")
    for n, units in enumerate((5, 4)):
        x = QDense(units, name=f"fc{n}", kernel_quantizer="quantized_bits(6,0,alpha=1)",
                   bias_quantizer="quantized_bits(6,0,alpha=1)")(x)  # fmt: skip
        x = QActivation("quantized_relu(6,2)", name=f"relu{n}")(x)
    x = QDense(3, name="logits", kernel_quantizer=bits(6, 0, alpha=1), bias_quantizer=bits(6, 0, alpha=1))(x)
    return tf.keras.Model(i, L.Activation("softmax", name="softmax")(x))


def dense(kernel: object, bias: object, activation: object, **more: object) -> tf.keras.Model:
    """One quantised dense layer between an input quantiser and a second layer."""
    return tf.keras.Sequential([
        L.Input((5,), name="x"),
        QActivation(bits(8, 3, alpha=1), name="q"),
        QDense(4, kernel_quantizer=kernel, bias_quantizer=bias, activation=activation, name="fc", **more),
        QDense(2, kernel_quantizer=bits(4, 0, 1, alpha=1), use_bias=False, name="last"),
    ])  # fmt: skip


def batch_norm(**quantisers: object) -> tf.keras.Model:
    """Dense layer, quantised batch normalisation, quantised ReLU."""
    return tf.keras.Sequential([
        L.Input((5,), name="x"),
        QDense(4, kernel_quantizer=bits(5, 0, 1, alpha=1), bias_quantizer=bits(5, 1, alpha=1), name="fc"),
        QBatchNormalization(name="bn", **quantisers),
        QActivation("quantized_relu(6,2)", name="relu"),
    ])  # fmt: skip


def images() -> tf.keras.Model:
    """Two-dimensional convolutions of every kind."""
    k = bits(5, 0, 1, alpha=1)
    x = i = L.Input((8, 6, 2), name="x")
    x = QConv2D(3, (3, 2), strides=(2, 1), padding="same", kernel_quantizer=k, bias_quantizer=k, name="conv")(x)
    x = QActivation("quantized_relu(6,2)", name="relu")(x)
    x = qkeras.QDepthwiseConv2D((2, 2), depth_multiplier=2, depthwise_quantizer="quantized_bits(4,0,1,alpha='auto')",
                                bias_quantizer=k, name="depth")(x)  # fmt: skip
    x = QActivation("quantized_bits(7,3,alpha=1)", name="q")(x)
    x = QConv2D(4, 1, kernel_quantizer="ternary(alpha='auto_po2')", bias_quantizer=k,
                activation="quantized_relu(5,2)", name="point")(x)  # fmt: skip
    x = qkeras.QAveragePooling2D((2, 2), average_quantizer=bits(8, 0, 1, alpha=1),
                                 activation=bits(8, 3, alpha=1), name="pool")(x)  # fmt: skip
    x = L.Flatten(name="flat")(x)
    return tf.keras.Model(i, QDense(2, kernel_quantizer="binary(alpha=1)", bias_quantizer=k, name="fc")(x))


def folded(mode: str) -> tf.keras.Model:
    """Convolutions with batch normalisation folded into them."""
    k = bits(6, 1, 1, alpha=1)
    return tf.keras.Sequential([
        L.Input((6, 6, 2), name="x"),
        qkeras.QConv2DBatchnorm(3, 3, kernel_quantizer=k, bias_quantizer=bits(8, 3, alpha=1), folding_mode=mode,
                                activation="quantized_relu(6,2)", name="conv"),
        qkeras.QDepthwiseConv2DBatchnorm(2, depthwise_quantizer=bits(6, 1, 1, alpha="auto_po2"), folding_mode=mode,
                                         bias_quantizer=bits(8, 3, alpha=1), name="depth"),
        QActivation("quantized_tanh(6)", name="tanh"),
        qkeras.QGlobalAveragePooling2D(average_quantizer=bits(8, 0, 1, alpha=1), name="mean"),
    ])  # fmt: skip


def sequence() -> tf.keras.Model:
    """One-dimensional convolutions, causal and separable."""
    k = bits(5, 0, 1, alpha=1)
    x = i = L.Input((9, 2), name="x")
    x = QConv1D(3, 3, padding="causal", dilation_rate=2, kernel_quantizer=k, bias_quantizer=k, name="conv")(x)
    x = QActivation("quantized_relu(6,2,negative_slope=0.25)", name="leaky")(x)
    x = qkeras.QSeparableConv1D(4, 3, depthwise_quantizer=k, pointwise_quantizer="quantized_bits(4,0,1,alpha='auto')",
                                bias_quantizer=k, activation="quantized_relu(6,2)", name="sep")(x)  # fmt: skip
    x = L.MaxPooling1D(2, name="pool")(x)
    x = QConv1D(2, 2, strides=2, kernel_quantizer=k, bias_quantizer=None, name="last")(x)
    return tf.keras.Model(i, QActivation("quantized_bits(8,3,alpha=1)", name="out")(x))


def separable() -> tf.keras.Model:
    """Two-dimensional separable and transposed convolution."""
    k = bits(5, 0, 1, alpha=1)
    return tf.keras.Sequential([
        L.Input((5, 4, 2), name="x"),
        qkeras.QSeparableConv2D(3, (2, 2), padding="same", depthwise_quantizer=k, pointwise_quantizer=k,
                                bias_quantizer=k, activation="quantized_relu(6,2)", name="sep"),
        qkeras.QConv2DTranspose(2, 3, strides=2, kernel_quantizer=k, bias_quantizer=k, name="up"),
        QActivation("quantized_bits(8,3,alpha=1)", name="out"),
    ])  # fmt: skip


def pruned() -> tf.keras.Model:
    """Pruning wrappers with masks that were not yet multiplied in."""
    constant = pruning_schedule.ConstantSparsity(0.5, begin_step=0)
    model = tf.keras.Sequential([
        L.Input((6, 3), name="x"),
        QConv1D(4, 1, kernel_quantizer=bits(6, 0, alpha=1), bias_quantizer=bits(6, 0, alpha=1), name="conv"),
        QActivation("quantized_relu(6,2)", name="relu"),
        L.Flatten(name="flat"),
        QDense(3, kernel_quantizer=bits(6, 0, alpha=1), bias_quantizer=bits(6, 0, alpha=1), name="fc"),
    ])  # fmt: skip
    return prune.prune_low_magnitude(model, pruning_schedule=constant)


def vectors() -> tf.keras.Model:
    """Pruning wrapper around a dense layer, without convolutions."""
    constant = pruning_schedule.ConstantSparsity(0.5, begin_step=0)
    model = tf.keras.Sequential([
        L.Input((6,), name="x"),
        QDense(3, kernel_quantizer=bits(6, 0, alpha=1), bias_quantizer=bits(6, 0, alpha=1), name="fc"),
    ])  # fmt: skip
    return prune.prune_low_magnitude(model, pruning_schedule=constant)


def recurrent(kind: str) -> tf.keras.Model:
    """A recurrent layer with quantised states and gates."""
    k = bits(6, 0, 1, alpha=1)
    more = {} if kind == "QSimpleRNN" else {"recurrent_activation": "quantized_sigmoid(6)"}
    more["state_quantizer"] = bits(7, 1, alpha=1)
    layer = getattr(qkeras, kind)(3, activation="quantized_tanh(6)", kernel_quantizer=k, recurrent_quantizer=k,
                                  bias_quantizer=k, name="rnn", **more)  # fmt: skip
    return tf.keras.Sequential([
        L.Input((4, 2), name="x"),
        layer,
        QDense(2, kernel_quantizer=k, bias_quantizer=k, name="fc"),
        QActivation("quantized_bits(8,3,alpha=1)", name="out"),
    ])  # fmt: skip


AUTO = "quantized_bits(4,0,1,alpha='auto')"
MODELS = {
    "tagger": tagger,
    "default": lambda: dense("quantized_bits(4,0)", "quantized_bits(5,1)", "quantized_relu(5,1)"),
    "auto": lambda: dense(AUTO, "quantized_bits(5,1,alpha=1)", "quantized_relu(5,2)"),
    "auto_bias": lambda: dense(AUTO, AUTO, None),
    "float_bias": lambda: dense("binary(alpha='auto')", None, "hard_tanh"),
    "ternary": lambda: dense("ternary(alpha='auto')", "quantized_po2(4)", "binary(alpha=1)"),
    "powers": lambda: dense("quantized_po2(4,max_value=1)", "quantized_bits(5,0,alpha=0.5)", "quantized_relu_po2(4)"),
    "stochastic": lambda: dense("stochastic_ternary", "quantized_bits(5)", "stochastic_binary(alpha=1)"),
    "objects": lambda: dense(qkeras.binary(), bits(4, 1, alpha=1), qkeras.quantized_tanh(5, symmetric=True)),
    "no_bias": lambda: dense(bits(3, 0, 1, alpha="auto_po2"), None, qkeras.ternary(), use_bias=False),
    "norm": batch_norm,
    "norm_bits": lambda: batch_norm(
        gamma_quantizer=bits(6, 1), beta_quantizer=bits(6, 1), mean_quantizer=bits(6, 1, alpha=1),
        variance_quantizer="quantized_relu(6,2)"),
    "norm_float": lambda: batch_norm(
        gamma_quantizer=None, beta_quantizer=None, mean_quantizer=None, variance_quantizer=None),
    "norm_plain": lambda: batch_norm(scale=False, center=False, epsilon=0.01),
    "vectors": vectors,
    "images": images,
    "folded_ema": lambda: folded("ema_stats_folding"),
    "folded_batch": lambda: folded("batch_stats_folding"),
    "sequence": sequence,
    "separable": separable,
    "pruned": pruned,
    "rnn": lambda: recurrent("QSimpleRNN"),
    "lstm": lambda: recurrent("QLSTM"),
    "gru": lambda: recurrent("QGRU"),
}  # fmt: skip
FORMATS = {
    "tagger": ("h5", "keras", "json"),
    "images": ("h5", "keras"),
    "pruned": ("h5", "keras"),
    "folded_ema": ("h5", "keras"),
    "norm": ("h5", "keras"),
}


def main() -> None:
    arrays = {}
    for seed, (name, build) in enumerate(MODELS.items()):
        tf.keras.backend.clear_session()
        model = settle(build(), seed)
        x = np.random.default_rng(seed + 100).integers(-96, 96, (24, *model.input_shape[1:])) / 32
        arrays[f"{name}/x"] = x
        arrays[f"{name}/y"] = np.asarray(model(x.astype(np.float32), training=False))
        # The forward multiplies masks in; the files keep what they were told.
        settle(model, seed)
        for suffix in FORMATS.get(name, ("h5",)):
            if suffix == "json":
                (HERE / f"{name}.json").write_text(model.to_json())
                model.save_weights(HERE / f"{name}.weights.h5")
            elif suffix == "keras":
                model.save(HERE / f"{name}.keras")
            else:
                model.save(HERE / f"{name}.h5", include_optimizer=False)
    np.savez_compressed(HERE / "models.npz", **arrays)


if __name__ == "__main__":
    main()
