"""Write `models.zip`: models trained a little by tensorflow-model-optimization, and their own outputs.

Run it outside this repository's environment: TensorFlow 2.21, tf_keras 2.21, tensorflow-model-optimization 0.8.1,
with TF_USE_LEGACY_KERAS=1.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot

L = tf.keras.layers
quantize = tfmot.quantization.keras


def plain() -> tf.keras.Model:
    """A perceptron with every activation that the default scheme knows."""
    x = i = L.Input((5,), name="x")
    for k, activation in enumerate(("relu", "linear", "tanh")):
        x = L.Dense(4, activation=activation, name=f"fc{k}")(x)
    x = L.Dense(3, name="last")(x)
    return tf.keras.Model(i, L.Activation("softmax", name="softmax")(x))


def image() -> tf.keras.Model:
    """Convolutions with batch normalisation and ReLU, depthwise and pointwise, pooling."""
    x = i = L.Input((5, 5, 2), name="x")
    x = L.Conv2D(3, 2, padding="same", use_bias=False, name="conv")(x)
    x = L.ReLU(name="relu")(L.BatchNormalization(name="bn")(x))
    x = L.DepthwiseConv2D(2, name="depth")(x)
    x = L.Activation("relu", name="act")(L.BatchNormalization(name="bn2")(x))
    x = L.SeparableConv2D(2, 2, name="sep")(x)
    x = L.MaxPooling2D(2, strides=1, name="max")(x)
    x = L.Flatten(name="flat")(x)
    return tf.keras.Model(i, L.Dense(2, name="fc")(x))


def branches() -> tf.keras.Model:
    """A sum, a concatenation, a global average, a transposed convolution."""
    x = i = L.Input((4, 4, 2), name="x")
    a = L.Conv2D(2, 1, activation="relu", name="a")(x)
    x = L.Add(name="add")([a, L.Conv2D(2, 1, name="b")(x)])
    x = L.Concatenate(name="cat")([x, L.Conv2D(2, 3, padding="same", activation="relu", name="c")(x)])
    x = L.Conv2DTranspose(3, 2, strides=2, name="up")(x)
    x = L.GlobalAveragePooling2D(name="mean")(x)
    return tf.keras.Model(i, L.Dense(2, activation="sigmoid", name="fc")(x))


def main() -> None:
    arrays = {}
    with (
        zipfile.ZipFile(Path(__file__).with_name("models.zip"), "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
        tempfile.TemporaryDirectory() as folder,
    ):
        for make in (plain, image, branches):
            tf.keras.utils.set_random_seed(1)
            model, name = quantize.quantize_model(make()), make.__name__
            x = np.random.default_rng(0).normal(size=(256, *model.input_shape[1:])).astype("f4")
            y = np.random.default_rng(1).normal(size=(256, *model.output_shape[1:]))
            model.compile(tf.keras.optimizers.Adam(0.02), "mse")
            model.fit(x, y, epochs=30, verbose=0)
            arrays |= {f"{name}/x": x[:64], f"{name}/y": np.asarray(model(x[:64], training=False))}
            for suffix in ("h5", "keras"):
                path = Path(folder) / f"{name}.{suffix}"
                model.save(path, **({"include_optimizer": False} if suffix == "h5" else {}))
                archive.write(path, path.name)
        data = io.BytesIO()
        np.savez_compressed(data, **arrays)
        archive.writestr("answers.npz", data.getvalue())


if __name__ == "__main__":
    main()
