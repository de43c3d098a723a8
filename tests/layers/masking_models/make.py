"""Makes the model and vectors of this folder with Keras 2. Run in an environment of its own, in this folder:

    python3 -m venv keras2 && keras2/bin/pip install tensorflow==2.21.0 tf_keras==2.21.0
    TF_USE_LEGACY_KERAS=1 keras2/bin/python make.py

`keras2.npz` holds inputs `x0`, `x1` and the outputs `y0`… of Keras' own forward on them.
"""

import gzip
from pathlib import Path

import numpy as np
import tf_keras as keras

HERE = Path(__file__).parent
layers = keras.layers
rng = np.random.default_rng(7)

steps, tokens = keras.Input((5, 3), name="steps"), keras.Input((5,), name="tokens")
seen = layers.Masking(-2.0)(steps)
known = layers.Embedding(4, 3, mask_zero=True)(tokens)
both = layers.Bidirectional(layers.GRU(2, return_sequences=True))(seen)
# In Keras 2 the joined mask keeps what both keep, and what has no mask does not change it.
joined = layers.Concatenate()([both, known, layers.Conv1D(2, 1)(steps)])
last = layers.LSTM(2, go_backwards=True, return_state=True)(layers.Dropout(0.5)(joined))
added = layers.SimpleRNN(2, return_sequences=True)(layers.Add()([seen, known]))
product = layers.SimpleRNN(2, return_sequences=True, zero_output_for_mask=True)(layers.Multiply()([known, steps]))
along = layers.GRU(2)(layers.Concatenate(axis=1)([seen, known]))
average = layers.GlobalAveragePooling1D()(layers.TimeDistributed(layers.Dense(2))(seen))
scored = layers.Attention()([seen, known])
heads = layers.GlobalAveragePooling1D()(layers.MultiHeadAttention(2, 2)(known, seen))
stated = layers.LSTM(2)(steps, mask=keras.backend.not_equal(tokens, 0.0))
model = keras.Model([steps, tokens], [both, *last, added, product, along, average, scored, heads, stated])
model.set_weights([rng.normal(size=w.shape) * 0.6 for w in model.get_weights()])
data = [np.round(rng.normal(size=(24, 5, 3)) * 8) / 8, rng.integers(0, 4, (24, 5))]
data[0][rng.random((24, 5)) < 0.3] = -2.0
data[0][0], data[1][1] = -2.0, 0
data = [x.astype(np.float32) for x in data]
outputs = model.predict(data, verbose=0)
model.save(HERE / "keras2.h5", include_optimizer=False)
path = HERE / "keras2.h5"
(HERE / "keras2.h5.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
path.unlink()
np.savez_compressed(
    HERE / "keras2.npz",
    **{f"x{n}": x for n, x in enumerate(data)},
    **{f"y{n}": y for n, y in enumerate(outputs)},
)
print([y.shape for y in outputs])
