"""Recipe of `models.zip`: HDF5 and `.keras` of Keras 2, many outputs each, with inputs and the framework's own outputs.

Made once with TensorFlow 2.21 and tf_keras 2.21 (`python make_models.py`), which are no dependencies here.
"""

import tempfile
import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras as keras

layers = keras.layers


def on(shape, *makers):
    """One input, an output for each maker of a layer or function of the input."""
    x = layers.Input(shape, name="x")
    return keras.Model(x, [maker(x) for maker in makers])


def functions():
    nn, math = tf.nn, tf.math
    positive = lambda x: tf.abs(x) + 1.0  # noqa: E731
    return on(
        (3, 4),
        *(nn.relu, nn.relu6, nn.elu, nn.selu, nn.silu, nn.gelu, nn.leaky_relu, nn.softmax, nn.log_softmax, nn.softsign),
        *(tf.sigmoid, tf.tanh, tf.exp, tf.abs, tf.square, tf.sign, tf.floor, tf.round, tf.sin, math.erf, math.softplus),
        lambda x: nn.leaky_relu(x, 0.1),
        lambda x: keras.activations.hard_sigmoid(x),
        lambda x: math.log(positive(x)),
        lambda x: math.rsqrt(positive(x)),
        lambda x: tf.sqrt(positive(x)),
        lambda x: tf.pow(x, 2.0),
        lambda x: tf.clip_by_value(x, -1, 0.5),
        lambda x: tf.maximum(0.0, x),
        lambda x: tf.identity(tf.stop_gradient(tf.cast(x, tf.float32))),
    )


def arithmetic():
    x, y = layers.Input((3, 4), name="x"), layers.Input((3, 4), name="y")
    outputs = [x + y, x - y, x * y, 2.0 * x, 1.0 - x, x / 2.0, -x, x + 1, x / (y * y + 1.0), 3.0 / (y * y + 1.0)]
    outputs += [x + tf.constant([1.0, 2, 3, 4]), tf.nn.bias_add(x, [1.0, 2, 3, 4]), tf.add_n([x, y, x])]
    outputs += [tf.minimum(x, y), tf.maximum(x, y), tf.math.squared_difference(x, y), tf.math.divide_no_nan(x, 4.0)]
    outputs += [tf.where(x > y, x, 0.0), tf.cast(tf.logical_and(x > 0, x < 1), tf.float32), tf.where(x > 0, x, y)]
    outputs += [tf.matmul(x, y, transpose_b=True), tf.matmul(x, tf.ones((4, 2))), x // 2.0, x % 2.0]
    return keras.Model([x, y], outputs)


def shapes():
    return on(
        (3, 4),
        *(lambda x: x[:, 0], lambda x: x[:, 1:3], lambda x: x[..., ::-1], lambda x: x[:, :, None, :]),
        *(lambda x: x[:, -1, 1:], lambda x: x[:, 0::2, 1], lambda x: x[..., tf.newaxis]),
        *(lambda x: tf.reshape(x, (-1, 12)), lambda x: tf.transpose(x, (0, 2, 1)), lambda x: tf.expand_dims(x, 1)),
        *(lambda x: tf.concat([x, x], axis=-1), lambda x: tf.stack([x, x], axis=1), lambda x: tf.split(x, 2, -1)[1]),
        lambda x: tf.split(x, [1, 3], axis=-1)[1],
        *(lambda x: tf.unstack(x, axis=1)[2], lambda x: tf.pad(x, ((0, 0), (1, 1), (0, 2)))),
        *(lambda x: tf.reverse(x, axis=[1]), lambda x: tf.tile(x, (1, 2, 1)), lambda x: tf.repeat(x, 2, axis=1)),
        *(lambda x: tf.gather(x, [0, 2], axis=1), lambda x: tf.slice(x, [0, 1, 0], [-1, 2, -1])),
        lambda x: tf.squeeze(tf.expand_dims(x, 1), 1),
        lambda x: tf.reshape(x, (tf.shape(x)[0], 6, -1)),
        lambda x: tf.nn.depth_to_space(tf.reshape(x, (-1, 1, 3, 4)), 2),
        lambda x: tf.nn.space_to_depth(tf.reshape(x, (-1, 2, 2, 3)), 2),
        lambda x: tf.image.resize(tf.expand_dims(x, -1), (6, 8)),
        lambda x: tf.nn.avg_pool1d(x, 2, 1, "VALID"),
        lambda x: tf.nn.max_pool2d(tf.expand_dims(x, -1), 2, 2, "SAME"),
    )


def reductions():
    return on(
        (3, 4),
        *(lambda x: tf.reduce_mean(x, axis=1), lambda x: tf.reduce_sum(x, axis=-1, keepdims=True)),
        *(lambda x: tf.reduce_max(x, axis=1), lambda x: tf.reduce_min(x, axis=[1, 2]), lambda x: tf.reduce_prod(x, 1)),
        *(lambda x: tf.math.reduce_variance(x, axis=1), lambda x: tf.math.reduce_std(x, axis=1)),
        *(lambda x: tf.math.l2_normalize(x, axis=-1), lambda x: tf.norm(x, axis=-1), lambda x: tf.argmax(x, axis=-1)),
        *(lambda x: tf.nn.moments(x, [1])[1], lambda x: tf.math.cumsum(x, axis=1)),
        *(lambda x: tf.one_hot(tf.argmax(x, -1), 4), lambda x: keras.backend.mean(x, axis=1)),
    )


def images():
    return on(
        (6, 5, 4),
        *(layers.Conv2D(2, 3, groups=2), layers.Conv2D(3, 2, dilation_rate=2, use_bias=False, activation="relu")),
        *(layers.DepthwiseConv2D(3, strides=2, padding="same"), layers.SeparableConv2D(3, 2, depth_multiplier=2)),
        layers.Conv2DTranspose(2, 3, strides=2, padding="same"),
        *(layers.AveragePooling2D(3, strides=2, padding="same"), layers.MaxPooling2D(2), layers.GlobalMaxPooling2D()),
        *(layers.ZeroPadding2D(((1, 2), (0, 1))), layers.Cropping2D(1), layers.UpSampling2D(2)),
        layers.UpSampling2D(2, interpolation="bilinear"),
        *(layers.Resizing(8, 8), layers.Resizing(3, 7, interpolation="nearest"), layers.CenterCrop(4, 3)),
        *(layers.RandomFlip(), layers.RandomRotation(0.1), layers.RandomZoom(0.1), layers.RandomContrast(0.1)),
        *(layers.BatchNormalization(axis=1), layers.BatchNormalization(axis=[2, 3]), layers.GroupNormalization(2)),
        *(layers.GroupNormalization(-1, axis=1), layers.UnitNormalization(), layers.LayerNormalization()),
        *(layers.Flatten(data_format="channels_first"), layers.SpatialDropout2D(0.5), layers.PReLU(shared_axes=[1, 2])),
        *(layers.ThresholdedReLU(0.5), layers.ReLU(1.5, 0.1, 0.2), layers.Permute((3, 1, 2)), layers.Softmax(axis=1)),
    )


def sequences():
    stacked = layers.RNN([layers.LSTMCell(2), layers.GRUCell(3)], return_sequences=True)
    other = layers.LSTM(2, return_sequences=True), layers.GRU(2, return_sequences=True, go_backwards=True)
    return on(
        (4, 3),
        *(layers.RNN(layers.LSTMCell(2)), layers.RNN(layers.GRUCell(2), return_sequences=True, go_backwards=True)),
        *(stacked, layers.RNN(layers.StackedRNNCells([layers.SimpleRNNCell(2), layers.SimpleRNNCell(3)]))),
        layers.Bidirectional(other[0], backward_layer=other[1]),
        *(layers.Bidirectional(layers.LSTM(2), merge_mode=mode) for mode in ("sum", "mul", "ave")),
        layers.GRU(2, reset_after=False, unroll=True),
    )


def steps():
    distributed = layers.TimeDistributed
    return on(
        (3, 4, 4, 2),
        *(distributed(layers.Conv2D(2, 2, strides=2, padding="same")), distributed(layers.MaxPooling2D(2))),
        *(distributed(layers.DepthwiseConv2D(2)), distributed(layers.SeparableConv2D(2, 2))),
        *(distributed(layers.BatchNormalization()), distributed(layers.LayerNormalization())),
        *(distributed(layers.Flatten()), distributed(layers.GlobalAveragePooling2D())),
        *(distributed(layers.Reshape((8, 4))), distributed(layers.Permute((3, 1, 2))), distributed(layers.Softmax())),
        distributed(
            keras.Sequential([layers.Input((4, 4, 2)), layers.Conv2D(2, 2), layers.Flatten(), layers.Dense(2)])
        ),
    )


def merging():
    a, b = layers.Input((3, 4), name="a"), layers.Input((4,), name="b")
    merges = [layers.Add(), layers.Multiply(), layers.Maximum(), layers.Average()]
    outputs = [merge([a, b]) for merge in merges] + [layers.Dot(axes=(2, 1), normalize=True)([a, b])]
    edges = layers.Discretization([-0.5, 0.0, 0.7])(b)
    return keras.Model([a, b], [*outputs, edges, layers.CategoryEncoding(4, output_mode="count")(edges)])


def main():
    arrays = {}
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile("models.zip", "w", zipfile.ZIP_DEFLATED) as out:
        for make in (functions, arithmetic, shapes, reductions, images, sequences, steps, merging):
            keras.utils.set_random_seed(1)
            model, name = make(), make.__name__
            rng = np.random.default_rng(0)
            model.set_weights([np.abs(rng.normal(size=w.shape)) + 0.1 for w in model.get_weights()])
            xs = [rng.normal(size=(5, *part.shape[1:])).astype("f4") for part in model.inputs]
            ys = model.predict(xs, verbose=0)
            arrays |= {f"{name}_x{i}": x for i, x in enumerate(xs)} | {f"{name}_y{i}": y for i, y in enumerate(ys)}
            model.save(Path(folder) / f"{name}.h5")
            if name not in ("functions", "shapes"):  # Keras 2 cannot write `...` into .keras
                model.save(Path(folder) / f"{name}.keras")
        np.savez(Path(folder) / "answers.npz", **arrays)
        for path in sorted(Path(folder).iterdir()):
            out.writestr(zipfile.ZipInfo(path.name), path.read_bytes(), zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    main()
