"""Makes QKeras' model and vectors of this folder. Run in an environment of its own, in this folder:

    python3 -m venv qkeras && qkeras/bin/pip install tensorflow==2.21.0 tf_keras==2.21.0 qkeras
    TF_USE_LEGACY_KERAS=1 qkeras/bin/python make_qkeras.py

`qkeras.npz` holds inputs `x0` and the outputs `y0`… of QKeras' own forward on them.
"""

import gzip
from pathlib import Path

import numpy as np
import tf_keras as keras
from qkeras import QGRU, QLSTM, QBidirectional, QDense, QSimpleRNN
from tensorflow.python.util import nest

nest.is_sequence = nest.is_nested  # as it was called when QKeras was written

HERE = Path(__file__).parent
rng = np.random.default_rng(11)
names = ("kernel_quantizer", "recurrent_quantizer", "bias_quantizer", "state_quantizer")
bits = dict.fromkeys(names, "quantized_bits(5,1,1,alpha=1)")
curve = {"activation": "quantized_tanh(5)", "recurrent_activation": "quantized_sigmoid(5)"}

steps = keras.Input((4, 2), name="steps")
seen = keras.layers.Masking(-2.0)(steps)
seen = QDense(3, kernel_quantizer="quantized_bits(4,0,1,alpha=1)", bias_quantizer="quantized_bits(4,0,1)")(seen)
last = QLSTM(2, **bits, **curve)(seen)
every = QSimpleRNN(2, return_sequences=True, activation="quantized_relu(5,2)", **bits)(seen)
both = QBidirectional(QGRU(2, return_sequences=True, reset_after=False, **bits, **curve))(every)
model = keras.Model(steps, [last, every, both])
model.set_weights([np.round(rng.normal(size=w.shape) * 8) / 8 for w in model.get_weights()])
data = (np.round(rng.normal(size=(24, 4, 2)) * 8) / 8).astype(np.float32)
data[rng.random((24, 4)) < 0.35] = -2.0
data[0] = -2.0
outputs = model.predict(data, verbose=0)
path = HERE / "qkeras.h5"
model.save(path, include_optimizer=False)
(HERE / "qkeras.h5.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
path.unlink()
np.savez_compressed(HERE / "qkeras.npz", x0=data, **{f"y{n}": y for n, y in enumerate(outputs)})
print([y.shape for y in outputs])
