"""Recipe of `savedmodels.zip`: SavedModels and checkpoints of Keras 2, with inputs and the framework's own outputs.

Made once with TensorFlow 2.21 and tf_keras 2.21 (`python make_savedmodels.py`), which are no dependencies here.
"""

import tempfile
import zipfile
from pathlib import Path

import numpy as np
import tf_keras as keras

layers = keras.layers


def sequential():
    return keras.Sequential([layers.Dense(4, activation="relu", input_shape=(3,)), layers.Dense(2)], name="small")


def nested():
    x = layers.Input((6, 4), name="track")
    h = layers.Bidirectional(layers.LSTM(2, return_sequences=True))(x)
    inner = keras.Sequential([layers.Dense(4, activation="relu"), layers.BatchNormalization()], name="inner")
    h = layers.Add()([inner(h), inner(x)])
    h = layers.Conv1D(3, 2, strides=2, padding="same")(h)
    return keras.Model(x, layers.Dense(2, activation="sigmoid", name="head")(layers.Flatten()(h)), name="nested")


def main():
    arrays = {}
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile("savedmodels.zip", "w", zipfile.ZIP_DEFLATED) as out:
        for make in (sequential, nested):
            keras.utils.set_random_seed(1)
            model, name = make(), make.__name__
            rng = np.random.default_rng(0)
            model.set_weights([np.abs(rng.normal(size=w.shape)) + 0.1 for w in model.get_weights()])
            x = rng.normal(size=(5, *model.input_shape[1:])).astype("f4")
            arrays |= {f"{name}_x": x, f"{name}_y": model.predict(x, verbose=0)}
            place = Path(folder) / name
            model.save(place / "saved", save_format="tf", save_traces=name == "sequential")
            model.save_weights(place / "weights" / "model.ckpt")
            (place / "model.json").write_text(model.to_json())
        np.savez(Path(folder) / "answers.npz", **arrays)
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file() and path.name != "fingerprint.pb":
                out.writestr(zipfile.ZipInfo(str(path.relative_to(folder))), path.read_bytes(), zipfile.ZIP_DEFLATED)


if __name__ == "__main__":
    main()
