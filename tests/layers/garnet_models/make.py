"""Makes the model and vectors of this folder with hls4ml's GarNet layers. Run in an environment of its own, here:

    python3 -m venv garnet && garnet/bin/pip install tensorflow==2.21.0 tf_keras==2.21.0 qkeras hls4ml==1.1.0
    TF_USE_LEGACY_KERAS=1 garnet/bin/python make.py

`garnet.npz` holds inputs `x0`… and the outputs `y0`… of the layers' own forward on them.
"""

import gzip
import zipfile
from pathlib import Path

import numpy as np
import tf_keras as keras
from hls4ml.contrib.garnet import GarNet, GarNetStack

HERE = Path(__file__).parent
layers = keras.layers
rng = np.random.default_rng(3)

data, count, extra = keras.Input((4, 4), name="data"), keras.Input((1,), name="count"), keras.Input((4,), name="extra")
outputs = [
    GarNet(3, 2, 2, simplified=True, name="plain")([data, count]),
    GarNet(2, 2, 3, simplified=True, mean_by_nvert=True, collapse="sum", output_activation="relu", name="sum")(
        [data, count]
    ),
    GarNet(2, 3, 2, simplified=True, collapse="max", output_activation=None, input_format="xen", name="max")(
        [data, extra, count]
    ),
    GarNet(2, 2, 2, simplified=True, collapse="mean", input_format="x", name="mean")(data),
    GarNetStack([2, 1], [2, 3], [2, 2], simplified=True, collapse="mean", quantize_transforms=None, name="stack")(
        [data, count]
    ),
]
model = keras.Model([data, count, extra], outputs)
model.set_weights([rng.normal(size=w.shape) * 0.6 for w in model.get_weights()])
x = [np.round(rng.normal(size=(24, 4, 4)) * 8) / 8, rng.integers(1, 5, (24, 1)), rng.normal(size=(24, 4))]
x[0][rng.random((24, 4)) < 0.3, 3] = 0.0
x = [part.astype(np.float32) for part in x]
y = model.predict(x, verbose=0)
path = HERE / "garnet.h5"
model.save(path, include_optimizer=False)
(HERE / "garnet.h5.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
path.unlink()
model.save(HERE / "garnet.keras")
with zipfile.ZipFile(HERE / "garnet.keras") as archive:
    members = {item: archive.read(item) for item in archive.namelist()}
with zipfile.ZipFile(HERE / "garnet.keras", "w", zipfile.ZIP_DEFLATED) as archive:
    for item, content in members.items():
        archive.writestr(zipfile.ZipInfo(item), content, zipfile.ZIP_DEFLATED)
np.savez_compressed(
    HERE / "garnet.npz", **{f"x{n}": part for n, part in enumerate(x)}, **{f"y{n}": part for n, part in enumerate(y)}
)
print([part.shape for part in y])
