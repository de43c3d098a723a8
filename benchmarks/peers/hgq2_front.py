"""Trains a front of accuracy against EBOPs with HGQ2. Runs in an environment that holds hgq2 and JAX.

    PYTHON hgq2_front.py train FAMILY DATA OUT [--seed 0] [--epochs 1000] [--batch 256] …
    PYTHON hgq2_front.py finish DATA OUT CHECKPOINT …
    PYTHON hgq2_front.py time DATA [--batch 1024] [--epochs 20]

FAMILY is `dense` (16-64-32-32-5, `QDense` and ReLU), `dense-bn` (the same with batch norm folded in training) or `lut`
(16-16-5, `QDenseT` with batch norm). DATA is a .npz with x_train, y_train, x_val, y_val, x_test, y_test. `train` is one
run as HGQ2's authors train for a front (their jet demos): every weight and activation has a bit width of its own, beta
grows in log space, the rate follows cosines that restart, and every epoch that no other beats in both validation
accuracy and EBOPs is kept, by their own `ParetoFront`. It writes OUT/ckpt/*.keras, history.csv and run.json, last.
`finish` makes checkpoints ready for alkaid, OUT/NAME.keras and OUT/NAME.json: as they were validated, or with ranges
traced on the training and validation rows as HGQ2's documentation asks, whichever costs less by alkaid at an accuracy
that is no lower. Ranges of biases are left as they are: to trace them moves their least bit and with it their values,
which takes 0.01 to 0.13 of accuracy from small networks. `time` prints seconds of every epoch as a JSON line each,
and versions as the last.
"""

import argparse
import csv
import json
import os
import sys
import time
from importlib.metadata import version
from math import cos, inf, pi
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import keras
import numpy as np
from alkaid.converter import trace_model
from alkaid.trace import FVArrayInput, trace
from hgq.config import LayerConfigScope, QuantizerConfigScope
from hgq.layers import QDense, QDenseT, QEinsumDenseBatchnorm
from hgq.utils import trace_minmax
from hgq.utils.sugar import BetaScheduler, FreeEBOPs, ParetoFront, PieceWiseSchedule

VERSIONS = ("hgq2", "keras", "jax", "numpy")
DENSE = (64, 32, 32)
SOLVER = {"hard_dc": -1}


def build(family, options):
    features, classes = 16, 5
    inputs = keras.Input((features,))
    x = inputs
    if family == "lut":
        # Bits of the tables' inputs and outputs as in the authors' demo on these features.
        with (
            QuantizerConfigScope(k0=1, b0=options.bits, i0=2),
            QuantizerConfigScope(place="table", homogeneous_axis=(0,)),
            LayerConfigScope(enable_ebops=True),
        ):
            for width in options.widths:
                x = QDenseT(width, batch_norm=True)(x)
            x = QDenseT(classes, batch_norm=True)(x)
        return keras.Model(inputs, x)
    with (
        QuantizerConfigScope(place="weight", overflow_mode="SAT_SYM", b0=options.bits + 2, i0=2),
        QuantizerConfigScope(place="bias", overflow_mode="WRAP", f0=options.bits),
        QuantizerConfigScope(place="datalane", i0=1, f0=options.bits),
        LayerConfigScope(enable_ebops=True),
    ):
        for width in options.widths:
            if family == "dense-bn":
                x = QEinsumDenseBatchnorm("bc,cC->bC", width, bias_axes="C", activation="relu")(x)
            else:
                x = QDense(width, activation="relu")(x)
        x = QDense(classes)(x)
    return keras.Model(inputs, x)


def rates(first, length, factor, least):
    """Cosines that restart every `length` epochs, each `factor` times as high as the last."""

    def rate(epoch, _=None):
        cycle, place = divmod(epoch, length)
        return least + 0.5 * (first - least) * (1 + cos(pi * place / max(length - 1, 1))) * factor**cycle

    return rate


class History(keras.callbacks.Callback):
    """A line an epoch, flushed, with the CPU seconds so far."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_train_begin(self, logs=None):
        self.file = self.path.open("w", newline="")
        self.writer = None
        self.start = time.process_time()

    def on_epoch_end(self, epoch, logs=None):
        row = {"epoch": epoch, **{k: float(v) for k, v in logs.items()}}
        row["cpu_s"] = round(time.process_time() - self.start, 3)
        if self.writer is None:
            self.writer = csv.DictWriter(self.file, list(row))
            self.writer.writeheader()
        self.writer.writerow(row)
        self.file.flush()


def compiled(model, rate, steps):
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=steps,
    )
    return model


def train(options):
    data = np.load(options.data)
    options.out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(options.seed)
    model = compiled(build(options.family, options), options.rate, options.steps)
    low, high = options.beta
    hold = round(options.hold * options.epochs)
    beta = PieceWiseSchedule([(0, low, "constant"), (hold, low, "log"), (options.epochs, high, "constant")])
    length = max(options.epochs // options.cycles, 1)
    kept = ParetoFront(
        options.out / "ckpt",
        ["val_accuracy", "ebops"],
        [1, -1],
        fname_format="epoch={epoch}-val_acc={val_accuracy:.4f}-ebops={ebops}.keras",
        enable_if=lambda logs: logs["val_accuracy"] > options.least,
    )
    start, cpu = time.monotonic(), time.process_time()
    model.fit(
        data["x_train"],
        data["y_train"],
        batch_size=options.batch,
        epochs=options.epochs,
        validation_data=(data["x_val"], data["y_val"]),
        validation_batch_size=len(data["x_val"]),
        verbose=0,
        callbacks=[
            FreeEBOPs(),
            keras.callbacks.LearningRateScheduler(rates(options.rate, length, options.factor, 1e-6)),
            BetaScheduler(beta),
            History(options.out / "history.csv"),
            kept,
        ],
    )
    found = {
        "family": options.family,
        "settings": {k: v for k, v in vars(options).items() if k not in ("data", "out", "run", "family")},
        "parameters": model.count_params(),
        "train_cpu_s": time.process_time() - cpu,
        "train_s": time.monotonic() - start,
        "checkpoints": [{"file": p.name, "val_accuracy": float(r[0]), "ebops": float(r[1])}
                        for p, r in zip(kept.paths, kept.record, strict=True)],
        "versions": {name: version(name) for name in VERSIONS},
        "backend": keras.backend.backend(),
    }  # fmt: skip
    write(options.out / "run.json", found)


def input_types(model):
    """Sign, integer and fractional bits of each feature, and whether lower bits are cut off instead of rounded.

    Where all that read a feature round it to the same bits it comes so rounded. Where tables round it to different
    bits it comes with one more, and lower ones cut off, from which each table's own rounding follows exactly.
    """
    first = next(layer for layer in model.layers if getattr(layer, "enable_iq", False))
    kif = [keras.ops.convert_to_numpy(part) for part in first.iq.quantizer.kif]
    shape = np.broadcast_shapes(*(part.shape for part in kif))[1:]
    k, i, f = (np.broadcast_to(part, (1, *shape))[0].reshape(shape[0], -1) for part in kif)
    types, cut = [], []
    for used, *rows in zip(k + i + f > 0, k, i, f, strict=True):
        signs, wholes, fractions = (row[used] if used.any() else np.zeros(1) for row in rows)
        cut.append(bool(len(set(fractions)) > 1))
        types.append([int(signs.max()), int(wholes.max()), int(fractions.max()) + cut[-1]])
    return types, cut


def finish(options):
    data = np.load(options.data)
    options.out.mkdir(parents=True, exist_ok=True)
    rows = np.concatenate([data["x_train"], data["x_val"]])
    for path in options.checkpoints:
        model = keras.models.load_model(path, compile=False)
        plain = figures(model, data)
        biases = [layer.bq.quantizer for layer in model._flatten_layers() if getattr(layer, "bq", None) is not None]
        held = [(v, keras.ops.convert_to_numpy(v).copy()) for bq in biases for v in bq.variables]
        trace_minmax(model, rows, batch_size=6000, verbose=False)
        for variable, value in held:
            variable.assign(value)
        traced = figures(model, data)
        better = traced["val_accuracy"] >= plain["val_accuracy"] and traced["cost"] <= plain["cost"]
        if not better:
            model = keras.models.load_model(path, compile=False)
        model.save(options.out / f"{path.stem}.keras")
        found = {"checkpoint": path.name, "traced": better, "ways": [plain, traced], **(traced if better else plain)}
        types, cut = input_types(model)
        write(options.out / f"{path.stem}.json", found | {"in_kif": types, "in_cut": cut})


def figures(model, data):
    """Called, not predicted: to compile the forward pass takes longer than to run it once."""
    answers = keras.ops.convert_to_numpy(model(data["x_val"], training=False))
    port = FVArrayInput(model.input_shape[1:], solver_options=SOLVER)
    given = port.quantize(*np.array(input_types(model)[0]).T)
    try:
        cost = float(trace(port, trace_model(model, inputs=given, solver_options=SOLVER)[1]).cost)
    except AssertionError as error:  # alkaid 0.8.2 refuses a few networks whose ranges are not traced.
        print(f"alkaid: {error}", flush=True)
        cost = inf
    return {"val_accuracy": float((answers.argmax(1) == data["y_val"]).mean()), "cost": cost}


def measure(options):
    data = np.load(options.data)
    keras.utils.set_random_seed(options.seed)
    model = compiled(build("dense", options), options.rate, options.steps)

    class Clock(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.start, self.cpu = time.perf_counter(), time.process_time()

        def on_epoch_end(self, epoch, logs=None):
            row = {"epoch": epoch, "s": time.perf_counter() - self.start, "cpu_s": time.process_time() - self.cpu}
            print(json.dumps(row | {"backend": keras.backend.backend()}), flush=True)

    count = len(data["x_train"]) // options.batch * options.batch
    model.fit(
        data["x_train"][:count],
        data["y_train"][:count],
        batch_size=options.batch,
        epochs=options.epochs,
        verbose=0,
        callbacks=[Clock()],
    )
    print(json.dumps({"versions": {name: version(name) for name in VERSIONS}}), flush=True)


def write(path, found):
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(found, indent=1) + "\n")
    os.replace(beside, path)


def numbers(kind):
    return lambda text: [kind(word) for word in text.split(",")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)

    def settings(command, epochs, batch):
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--epochs", type=int, default=epochs)
        command.add_argument("--batch", type=int, default=batch)
        command.add_argument("--rate", type=float, default=3e-3)
        command.add_argument("--bits", type=int, help="at the start: fractional of dense layers, all of tables'")
        command.add_argument("--widths", type=numbers(int), help="of the hidden layers")
        command.add_argument("--steps", type=int, default=8, help="steps_per_execution")

    one = commands.add_parser("train")
    one.add_argument("family", choices=("dense", "dense-bn", "lut"))
    one.add_argument("data", type=Path)
    one.add_argument("out", type=Path)
    settings(one, 1000, 256)
    one.add_argument("--beta", type=numbers(float), default=[5e-7, 1e-3])
    one.add_argument("--hold", type=float, default=0.02, help="share of the epochs with the first beta")
    one.add_argument("--cycles", type=int, default=50)
    one.add_argument("--factor", type=float, default=0.94, help="of the rate, from cosine to cosine")
    one.add_argument("--least", type=float, default=0.5, help="validation accuracy of what is kept")
    one.set_defaults(run=train)
    one = commands.add_parser("finish")
    one.add_argument("data", type=Path)
    one.add_argument("out", type=Path)
    one.add_argument("checkpoints", type=Path, nargs="+")
    one.set_defaults(run=finish)
    one = commands.add_parser("time")
    one.add_argument("data", type=Path)
    settings(one, 20, 1024)
    one.set_defaults(run=measure)
    options = parser.parse_args()
    if options.run is not finish:
        table = getattr(options, "family", "dense") == "lut"
        options.bits = options.bits or (6 if table else 3)
        options.widths = options.widths or ([16] if table else list(DENSE))
    options.run(options)


if __name__ == "__main__":
    sys.exit(main())
