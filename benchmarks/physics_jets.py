"""Compare jets with a reference: distributions per feature and kind, a tagger trained on one and tried on the other.

    python benchmarks/physics_jets.py REFERENCE.npz [--sample JETS.npz] [--json OUT.json] [--epochs 30]

REFERENCE.npz holds X (N, 16) in hardwire's feature order and y (N,) with 0 … 4 for g q t w z; a file of
`hardwire data jets` does. Without --sample the jets that ship with hardwire are compared. Needs the extra `train`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from hardwire.datasets import Jets, Standardiser, load_jets
from hardwire.errors import DataError, HardwireError

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
WIDTHS = (16, 64, 32, 32, 5)
TRAINING_JETS = 56_000


def read_reference(path: Path) -> Jets:
    try:
        with np.load(path, allow_pickle=False) as file:
            if "format" not in file.files:
                return Jets(file["X"].astype(np.float32), file["y"].astype(np.int64))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} cannot be read as a reference: {error}") from error
    return Jets.load(path)


def ks_distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Kolmogorov-Smirnov distance: the largest difference of two empirical distribution functions."""
    values = np.concatenate([a, b])
    left = np.searchsorted(np.sort(a), values, "right") / len(a)
    right = np.searchsorted(np.sort(b), values, "right") / len(b)
    return float(np.abs(left - right).max())


def auc(score: NDArray[Any], positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve from mean ranks (ties count half)."""
    _, index, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[index]
    n, m = int(positive.sum()), int((~positive).sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))


def compare(sample: Jets, reference: Jets) -> list[dict[str, Any]]:
    rows = []
    for kind, label in enumerate(sample.class_names):
        ours, theirs = sample.X[sample.y == kind], reference.X[reference.y == kind]
        # The distance that two samples of the same distribution exceed once in twenty times.
        noise = 1.358 * np.sqrt(1 / len(ours) + 1 / len(theirs))
        for i, name in enumerate(sample.feature_names):
            rows.append(
                {
                    "class": label,
                    "feature": name,
                    "ks": ks_distance(ours[:, i], theirs[:, i]),
                    "ks_95": float(noise),
                    "quantiles": np.quantile(ours[:, i], QUANTILES).tolist(),
                    "reference_quantiles": np.quantile(theirs[:, i], QUANTILES).tolist(),
                }
            )
    return rows


class Tagger:
    """The float 16-64-32-32-5 tagger with its scaling; training is seeded."""

    def __init__(self, jets: Jets, *, epochs: int, seed: int) -> None:
        torch.manual_seed(seed)
        self.scale = Standardiser.fit(jets.X)
        layers: list[torch.nn.Module] = []
        for n_in, n_out in itertools.pairwise(WIDTHS):
            layers += [torch.nn.Linear(n_in, n_out), torch.nn.ReLU()]
        self.net = torch.nn.Sequential(*layers[:-1])
        x, y = torch.from_numpy(self.scale(jets.X)), torch.from_numpy(jets.y)
        batch = 512
        optimiser = torch.optim.Adam(self.net.parameters(), lr=4e-3)
        steps = epochs * -(-len(x) // batch)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)
        for epoch in range(epochs):
            for rows in torch.randperm(len(x)).split(batch):
                optimiser.zero_grad()
                torch.nn.functional.cross_entropy(self.net(x[rows]), y[rows]).backward()
                optimiser.step()
                schedule.step()
            print(f"\r  epoch {epoch + 1}/{epochs}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)

    def score(self, jets: Jets) -> dict[str, Any]:
        with torch.no_grad():
            logits = self.net(torch.from_numpy(self.scale(jets.X))).softmax(1).numpy()
        right = logits.argmax(1) == jets.y
        return {
            "jets": len(jets),
            "accuracy": float(right.mean()),
            "error": float(right.std() / np.sqrt(len(jets))),
            "auc": {label: auc(logits[:, k], jets.y == k) for k, label in enumerate(jets.class_names)},
        }


def tag(sample: Jets, reference: Jets, epochs: int, seed: int) -> dict[str, Any]:
    out: dict[str, Any] = {"epochs": epochs, "seed": seed}
    for name, train, other in (("sample", sample, reference), ("reference", reference, sample)):
        order = np.random.default_rng(seed).permutation(len(train))
        n = min(TRAINING_JETS, len(train) * 9 // 10)
        tagger = Tagger(train[order[:n]], epochs=epochs, seed=seed)
        out[f"trained_on_{name}"] = {
            "training_jets": n,
            "own_test": tagger.score(train[order[n:]]),
            "other": tagger.score(other),
        }
    return out


def show(rows: list[dict[str, Any]], tagging: dict[str, Any]) -> None:
    labels = sorted({row["class"] for row in rows}, key=[row["class"] for row in rows].index)
    print(f"{'KS distance':16s}" + "".join(f"{label:>8s}" for label in labels))
    for name in dict.fromkeys(row["feature"] for row in rows):
        print(f"{name:16s}" + "".join(f"{r['ks']:8.4f}" for r in rows if r["feature"] == name))
    print(
        f"{'chance (95 %)':16s}" + "".join(f"{next(r for r in rows if r['class'] == k)['ks_95']:8.4f}" for k in labels)
    )
    print("\nquantiles (sample / reference): " + " ".join(f"{q:.0%}" for q in QUANTILES))
    for row in rows:
        pairs = zip(row["quantiles"], row["reference_quantiles"], strict=True)
        print(f"{row['class']} {row['feature']:15s}" + "".join(f"{a:11.4g} /{b:9.4g}" for a, b in pairs))
    for trained in ("sample", "reference"):
        part = tagging[f"trained_on_{trained}"]
        for tested in ("own_test", "other"):
            s = part[tested]
            areas = " ".join(f"{k} {v:.3f}" for k, v in s["auc"].items())
            print(
                f"trained on {part['training_jets']} of the {trained}, {tested} {s['jets']}: "
                f"{100 * s['accuracy']:.2f} ± {100 * s['error']:.2f} %, AUC {areas}"
            )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reference", type=Path)
    parser.add_argument("--sample", type=Path, help="jets to compare (default: those that ship with hardwire)")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    # So small a network gains nothing from threads, and loses much where other work shares the cores.
    torch.set_num_threads(1)
    start = time.process_time()
    try:
        sample = load_jets() if args.sample is None else Jets.load(args.sample)
        reference = read_reference(args.reference)
    except HardwireError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    rows = compare(sample, reference)
    tagging = tag(sample, reference, args.epochs, args.seed)
    show(rows, tagging)
    if args.json:
        figures = {
            "sample_recipe": dict(sample.recipe),
            "features": rows,
            "tagger": tagging,
            "cpu_seconds": time.process_time() - start,
        }
        args.json.write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
