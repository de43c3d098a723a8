"""What pruning costs in accuracy: the jet tagger 16-64-32-32-5 with learnt widths, pruned by each method.

Trains the same network on the shipped jets with the same epochs: unpruned, then with 90 % zeros by each way of
pruning. Accuracies are of the test jets in the compiled design's arithmetic, means over the seeds. CPU seconds of one
thread.

    python benchmarks/pruning.py --seeds 3 --json pruning.json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIZES = (16, 64, 32, 32, 5)


def _network(seed: int) -> Any:
    import torch

    from hardwire import nn

    torch.manual_seed(seed)
    model = torch.nn.Sequential()
    for k, (inputs, outputs) in enumerate(zip(SIZES[:-1], SIZES[1:], strict=True)):
        model.append(nn.Dense(inputs, outputs))
        if k < len(SIZES) - 2:
            model.append(torch.nn.ReLU())
    return model


def _methods(sparsity: float) -> dict[str, Callable[[], Any] | None]:
    from hardwire.train import pruning

    return {
        "unpruned": None,
        "magnitude, all layers": lambda: pruning.Magnitude(sparsity),
        "magnitude, each layer": lambda: pruning.Magnitude(sparsity, scope="layer"),
        "magnitude, at once": lambda: pruning.Magnitude(sparsity, pruning.OneShot(0.3)),
        "neurons, half of the weights": lambda: pruning.Neurons(0.5),
        "DSP blocks of 4 weights": lambda: pruning.Multipliers(sparsity, reuse=4),
        "memory words of 4 weights": lambda: pruning.MemoryWords(sparsity, bits=9, word=36),
    }


def main(arguments: list[str] | None = None) -> int:
    """Train, print a table, write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument(
        "--lottery", type=int, default=0, metavar="ROUNDS", help="a lottery ticket of so many rounds too"
    )
    parser.add_argument("--only", nargs="*", metavar="NAME", help="methods that begin so")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)

    import torch

    from hardwire.train import Options, evaluate, fit, pruning
    from hardwire.train.tasks.jets import task

    torch.set_num_threads(1)
    data = task(0)
    rows: list[dict[str, Any]] = []
    methods = _methods(options.sparsity)
    if options.lottery:
        methods[f"lottery ticket, {options.lottery} rounds"] = None
    for name, make in methods.items():
        if options.only and not name.startswith(tuple(options.only)):
            continue
        for seed in range(options.seeds):
            model, how = _network(seed), Options(epochs=options.epochs, seed=seed)
            began = time.process_time()
            if name.startswith("lottery"):
                pruning.lottery_ticket(
                    model, data.train, data.validation, how, sparsity=options.sparsity, rounds=options.lottery
                )
            else:
                fit(model, data.train, data.validation, how, callbacks=[make()] if make else [])
            right = evaluate(model, data.test[0]).argmax(1) == torch.as_tensor(data.test[1])
            rows.append(
                {
                    "method": name,
                    "seed": seed,
                    "accuracy": float(right.float().mean()),
                    "zeros": pruning.sparsity(model),
                    "cpu_seconds": time.process_time() - began,
                }
            )
        own = [row for row in rows if row["method"] == name]
        mean = {key: sum(row[key] for row in own) / len(own) for key in ("accuracy", "zeros", "cpu_seconds")}
        spread = max(row["accuracy"] for row in own) - min(row["accuracy"] for row in own)
        print(
            f"{name:32s} accuracy {mean['accuracy']:.4f} (± {spread / 2:.4f})  zeros {mean['zeros']:.3f}  "
            f"{mean['cpu_seconds']:.0f} s",
            flush=True,
        )
    if options.json:
        told = {"epochs": options.epochs, "sparsity": options.sparsity, "torch": str(torch.__version__), "rows": rows}
        options.json.write_text(json.dumps(told, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
