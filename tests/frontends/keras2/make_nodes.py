"""Recipe of `nodes.zip`: operations of TensorFlow as Keras of TensorFlow 2.0 to 2.3 wrote them (`TensorFlowOpLayer`).

Made once with TensorFlow 2.21 and tf_keras 2.21 (`python make_nodes.py`), which still write them in TensorFlow 1's way.
"""

import tempfile
import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras as keras

tf.compat.v1.disable_v2_behavior()


def main():
    x, y = keras.layers.Input((3, 4), name="x"), keras.layers.Input((3, 4), name="y")
    outputs = [x + y, x * 2.0, 1.0 - x, tf.square(x) / 4.0, tf.maximum(x, 0.5), tf.clip_by_value(x, -1.0, 1.0)]
    outputs += [tf.nn.relu(x), tf.nn.leaky_relu(x, 0.1), tf.sigmoid(x), tf.nn.softmax(x), tf.cast(x > 0.0, tf.float32)]
    outputs += [tf.reduce_mean(x, axis=1), tf.reduce_sum(x, axis=-1, keepdims=True), tf.reduce_max(x, axis=[1, 2])]
    outputs += [tf.concat([x, y], -1), tf.stack([x, y], axis=1), tf.split(x, 2, axis=-1)[0], tf.unstack(x, axis=1)[1]]
    outputs += [
        tf.reshape(x, (-1, 12)),
        tf.transpose(x, (0, 2, 1)),
        tf.expand_dims(x, -1),
        tf.gather(x, [2, 0], axis=1),
    ]
    outputs += [tf.squeeze(tf.expand_dims(x, 1), axis=1), tf.pad(x, [[0, 0], [1, 1], [0, 0]]), tf.tile(x, (1, 2, 1))]
    outputs += [x[:, 1], x[:, :, 1:3], x[..., None], x[:, ::-1, 0], tf.matmul(x, tf.transpose(y, (0, 2, 1)))]
    outputs += [tf.where(x > y, x, y), tf.matmul(x, y, transpose_b=True), tf.reverse(x, [1]), tf.cumsum(x, axis=2)]
    model = keras.Model([x, y], outputs)
    rng = np.random.default_rng(0)
    xs = [rng.normal(size=(4, 3, 4)).astype("f4") for _ in range(2)]
    ys = model.predict(xs)
    arrays = {f"nodes_x{i}": a for i, a in enumerate(xs)} | {f"nodes_y{i}": a for i, a in enumerate(ys)}
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile("nodes.zip", "w", zipfile.ZIP_DEFLATED) as out:
        model.save(Path(folder) / "nodes.h5")
        np.savez(Path(folder) / "answers.npz", **arrays)
        for path in sorted(Path(folder).iterdir()):
            out.writestr(zipfile.ZipInfo(path.name), path.read_bytes(), zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    main()
