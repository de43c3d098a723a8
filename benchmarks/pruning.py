"""What pruning costs in accuracy: the jet tagger 16-64-32-32-5 with learnt widths, pruned by each method.

Trains the same network on the shipped jets: unpruned, then with 90 % zeros by each way of pruning, for the same epochs
from the start; then the trained network for as many epochs again, unpruned and pruned, the pruned one taught by what
it was. Accuracies are of the test jets in the compiled design's arithmetic, means over the seeds (of 12,000 jets: one
standard error is 0.004, but all are of the same jets). CPU seconds of one thread.

    python benchmarks/pruning.py --seeds 3 --json pruning.json
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIZES = (16, 64, 32, 32, 5)
UNPRUNED = "unpruned"


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


def _methods(data: Any, sparsity: float) -> dict[str, Callable[[Any, Any], Any]]:
    """Name → function of (options, the unpruned network) that returns a trained network."""
    from hardwire.train import Distillation, fit
    from hardwire.train.pruning import Cubic, Magnitude, MemoryWords, Multipliers, Neurons, OneShot, Weights

    def anew(*make: Callable[[], Any]) -> Callable[[Any, Any], Any]:
        def trained(how: Any, _: Any) -> Any:
            model = _network(how.seed)
            fit(model, data.train, data.validation, how, callbacks=[one() for one in make])
            return model

        return trained

    def further(*make: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
        def trained(how: Any, unpruned: Any) -> Any:
            model = copy.deepcopy(unpruned)
            again = dataclasses.replace(how, seed=how.seed + 1000)
            fit(model, data.train, data.validation, again, callbacks=[one(unpruned) for one in make])
            return model

        return trained

    return {
        UNPRUNED: anew(),
        "saliency": anew(lambda: Weights(sparsity)),
        "magnitude, all layers": anew(lambda: Magnitude(sparsity)),
        "magnitude, each layer": anew(lambda: Magnitude(sparsity, scope="layer")),
        "saliency, at once": anew(lambda: Weights(sparsity, OneShot(0.3))),
        "neurons, half of the weights": anew(lambda: Neurons(0.5)),
        "DSP blocks of 4 weights": anew(lambda: Multipliers(sparsity, reuse=4)),
        "memory words of 4 weights": anew(lambda: MemoryWords(sparsity, bits=9, word=36)),
        "trained: unpruned": further(),
        "trained: saliency, taught": further(lambda _: Weights(sparsity, Cubic(0.0, 0.6)), Distillation),
    }


def main(arguments: list[str] | None = None) -> int:
    """Train, print a table, write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("--lottery", type=int, default=0, metavar="ROUNDS", help="a lottery ticket too")
    parser.add_argument("--only", nargs="*", metavar="NAME", help="methods that begin so, beside the unpruned")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)

    import torch

    from hardwire.train import Options, evaluate
    from hardwire.train.pruning import lottery_ticket, sparsity
    from hardwire.train.tasks.jets import task

    torch.set_num_threads(1)
    data = task(0)
    methods = _methods(data, options.sparsity)
    if options.lottery:

        def ticket(how: Any, _: Any) -> Any:
            model = _network(how.seed)
            wanted = {"sparsity": options.sparsity, "rounds": options.lottery}
            lottery_ticket(model, data.train, data.validation, how, **wanted)
            return model

        methods[f"lottery ticket, {options.lottery} rounds"] = ticket
    rows: list[dict[str, Any]] = []
    unpruned: dict[int, Any] = {}
    for name, train in methods.items():
        if options.only and not name.startswith((UNPRUNED, *options.only)):
            continue
        for seed in range(options.seeds):
            began = time.process_time()
            model = train(Options(epochs=options.epochs, seed=seed), unpruned.get(seed))
            if name == UNPRUNED:
                unpruned[seed] = model
            right = evaluate(model, data.test[0]).argmax(1) == torch.as_tensor(data.test[1])
            rows.append(
                {
                    "method": name,
                    "seed": seed,
                    "accuracy": float(right.float().mean()),
                    "zeros": sparsity(model),
                    "cpu_seconds": time.process_time() - began,
                }
            )
        own = [row for row in rows if row["method"] == name]
        mean = {key: sum(row[key] for row in own) / len(own) for key in ("accuracy", "zeros", "cpu_seconds")}
        spread = max(row["accuracy"] for row in own) - min(row["accuracy"] for row in own)
        print(
            f"{name:30s} accuracy {mean['accuracy']:.4f} ± {spread / 2:.4f}  zeros {mean['zeros']:.3f}  "
            f"{mean['cpu_seconds']:.0f} s",
            flush=True,
        )
        if options.json:
            told = {"epochs": options.epochs, "sparsity": options.sparsity, "torch": str(torch.__version__)}
            options.json.write_text(json.dumps({**told, "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
