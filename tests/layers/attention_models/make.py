"""Makes the models and vectors of this folder with Keras 2. Run in an environment of its own, in this folder:

    python3 -m venv keras2 && keras2/bin/pip install tensorflow==2.21.0 tf_keras==2.21.0
    TF_USE_LEGACY_KERAS=1 keras2/bin/python make.py

`keras2.npz` holds inputs `x0`, `x1` and the outputs `y0`… of Keras' own forward on them, for both files.
"""

from pathlib import Path

import numpy as np
import tf_keras as keras

HERE = Path(__file__).parent
layers = keras.layers
rng = np.random.default_rng(7)

particles, others = keras.Input((4, 6), name="particles"), keras.Input((3, 5), name="others")
# By position and by name, with scores, causal, several axes, a layer that is called twice.
mixed, scores = layers.MultiHeadAttention(2, 3, value_dim=4, name="cross")(
    particles, value=others, key=others, return_attention_scores=True
)
shared = layers.MultiHeadAttention(2, 2, output_shape=5, use_bias=False, name="self")
seen = shared(shared(layers.Dense(5)(mixed), layers.Dense(5)(particles)), others, use_causal_mask=True)
grid = layers.Reshape((2, 2, 5))(seen)
grid = layers.MultiHeadAttention(2, 2, attention_axes=(2,), name="rows")(grid, grid)
luong = layers.Attention(use_scale=True, name="luong")([seen, others])
both = layers.Attention(use_scale=True, score_mode="concat", name="concat")([luong, seen], use_causal_mask=True)
summed = layers.AdditiveAttention(name="bahdanau")([both, others])
model = keras.Model([particles, others], [mixed, scores, grid, luong, summed])
model.set_weights([rng.normal(size=w.shape) * 0.5 for w in model.get_weights()])
data = [rng.normal(size=(6, *tensor.shape[1:])).astype("f4") for tensor in (particles, others)]
answers = model.predict(data, verbose=0)
model.save(HERE / "keras2.h5")
model.save(HERE / "keras2.keras")
arrays = {f"x{k}": x for k, x in enumerate(data)} | {f"y{k}": y for k, y in enumerate(answers)}
np.savez_compressed(HERE / "keras2.npz", **arrays)
