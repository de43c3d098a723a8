"""What pruning costs in accuracy: the jet tagger 16-64-32-32-5 with learnt widths, pruned by each method.

Trains the same network on the shipped jets: unpruned, then with 90 % zeros by each way of pruning, for the same epochs
from the start; then the trained network for as many epochs again, unpruned and pruned, the pruned one taught by what
it was. All with the same options; of each training the best epoch by validation is kept, once the pruning is done.
Accuracies are of the 12,000 test jets in the compiled design's arithmetic: median and extremes over the seeds. What is
lost is against the unpruned network of the same seed and budget; beside it stands the standard error of one such
difference, of the jets that one of the two has right and the other has not. CPU seconds of one thread.

    python benchmarks/pruning.py [--seeds 3] [--only NAME …] [--json benchmarks/results/pruning.json]
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
from statistics import median
from typing import Any

SIZES = (16, 64, 32, 32, 5)
UNPRUNED, LONGER = "unpruned", "trained: unpruned"


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
    from hardwire.train import Distillation, EarlyStopping, fit
    from hardwire.train.pruning import Cubic, Magnitude, MemoryWords, Multipliers, Neurons, OneShot, Weights

    def anew(*make: Callable[[], Any]) -> Callable[[Any, Any], Any]:
        def trained(how: Any, _: Any) -> Any:
            model = _network(how.seed)
            fit(model, data.train, data.validation, how, callbacks=[*(one() for one in make), EarlyStopping(None)])
            return model

        return trained

    def further(*make: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
        def trained(how: Any, unpruned: Any) -> Any:
            model = copy.deepcopy(unpruned)
            again = dataclasses.replace(how, seed=how.seed + 1000)
            callbacks = [*(one(unpruned) for one in make), EarlyStopping(None)]
            fit(model, data.train, data.validation, again, callbacks=callbacks)
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
        LONGER: further(),
        "trained: saliency, taught": further(lambda _: Weights(sparsity, Cubic(0.0, 0.6)), Distillation),
    }


def _row(method: str, model: Any, data: Any, control: Any, seed: int) -> dict[str, Any]:
    """Figures of the test jets; what is lost against `control`, and one standard error of it."""
    import torch

    from hardwire.train import evaluate
    from hardwire.train.pruning import sparsity

    def right(of: Any) -> Any:
        return evaluate(of, data.test[0]).argmax(1) == torch.as_tensor(data.test[1])

    own, other = right(model), right(control)
    return {
        "method": method,
        "seed": seed,
        "accuracy": float(own.double().mean()),
        "lost": float(other.double().mean() - own.double().mean()),
        "lost_error": float((own != other).sum()) ** 0.5 / len(own),
        "zeros": sparsity(model),
    }


def _line(own: list[dict[str, Any]]) -> str:
    """A line of the table: medians and extremes."""

    def spread(name: str, form: str) -> str:
        values = [row[name] for row in own]
        return f"{median(values):{form}} ({min(values):{form}} … {max(values):{form}})"

    zeros, seconds = (sum(row[name] for row in own) / len(own) for name in ("zeros", "cpu_seconds"))
    return (
        f"{own[0]['method']:30s} accuracy {spread('accuracy', '.4f')}  lost {spread('lost', '+.4f')} "
        f"± {max(row['lost_error'] for row in own):.4f}  zeros {zeros:.3f}  {seconds:.0f} s"
    )


def main(arguments: list[str] | None = None) -> int:
    """Train, print a table, write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=120)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--rate", type=float, default=0.01)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--split", type=int, default=0, help="seed of the cut into training, validation and test jets")
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("--lottery", type=int, default=0, metavar="ROUNDS", help="a lottery ticket too")
    parser.add_argument("--only", nargs="*", metavar="NAME", help="methods that begin so, and the unpruned")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)

    import torch

    from hardwire.train import Options
    from hardwire.train.pruning import lottery_ticket
    from hardwire.train.tasks.jets import task

    torch.set_num_threads(1)
    data = task(0, options.split)
    methods = _methods(data, options.sparsity)
    if options.lottery:

        def ticket(how: Any, _: Any) -> Any:
            model = _network(how.seed)
            wanted = {"sparsity": options.sparsity, "rounds": options.lottery}
            lottery_ticket(model, data.train, data.validation, how, **wanted)
            return model

        methods[f"lottery ticket, {options.lottery} rounds"] = ticket
    rows: list[dict[str, Any]] = []
    controls: dict[tuple[str, int], Any] = {}
    only = tuple(options.only or ())
    wanted = (UNPRUNED, *only, *(LONGER for one in only if one.startswith("trained")))
    for name, train in methods.items():
        longer = name.startswith(LONGER[:8])
        if options.only and not name.startswith(wanted):
            continue
        for seed in range(options.seeds):
            how = Options(epochs=options.epochs, batch=options.batch, rate=options.rate, seed=seed)
            began = time.process_time()
            model = train(how, controls.get((UNPRUNED, seed)))
            seconds = time.process_time() - began
            if name in (UNPRUNED, LONGER):
                controls[name, seed] = model
            control = controls[LONGER if longer else UNPRUNED, seed]
            rows.append({**_row(name, model, data, control, seed), "split": options.split, "cpu_seconds": seconds})
        print(_line([row for row in rows if row["method"] == name]), flush=True)
        if options.json:
            training = {name: value for name, value in how.as_dict().items() if name != "seed"}
            told = {"sparsity": options.sparsity, "torch": str(torch.__version__), "training": training}
            options.json.write_text(json.dumps({**told, "rows": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
