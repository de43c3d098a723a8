"""hls4ml projects: one layer of a stored project each, against the C simulation that hls4ml made of it."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from conformance_case import Built, Case

PROJECTS = Path(__file__).parents[2] / "frontends" / "hls4ml_projects"
LAYERS = {
    "dense": ("dense_resource", "dense"),
    "softmax": ("softmax", "softmax"),
    "add": ("merges", "add"),
    "subtract": ("merges", "subtract"),
    "multiply": ("merges", "multiply"),
    "average": ("merges", "average"),
    "minimum": ("merges", "minimum"),
    "maximum": ("merges", "maximum"),
    "concatenate": ("merges", "concatenate1d"),
    "relu": ("activations", "relu"),
    "leaky relu": ("activations", "leaky_relu"),
    "prelu": ("activations", "prelu"),
    "sigmoid": ("activations", "sigmoid"),
    "tanh": ("activations_unsigned", "tanh"),
    "hard sigmoid": ("activations", "hard_sigmoid"),
    "softplus": ("activations_unsigned", "softplus"),
    "softsign": ("activations", "softsign"),
    "selu": ("activations", "selu"),
    "elu": ("activations", "elu"),
    "zero padding": ("views", "zeropad2d_cl"),
    "cropping": ("views", "cropping2d_cl"),
    "up-sampling": ("views", "resize_nearest"),
    "transpose": ("views", "transpose"),
}
"""By row: a project, and the `nnet::` function whose first call is its layer."""

_CALL = re.compile(r"nnet::(\w+)<[^;]*>\(([^()]*)\);.*")


def cases() -> Iterator[Case]:
    """Yield one case a row."""
    for row, (project, function) in LAYERS.items():
        yield Case(row, function, partial(build, project, function))


def build(project: str, function: str, folder: Path) -> Built:
    """Unpack a project and cut its top function down to one output, and the calls before it."""
    with tarfile.open(PROJECTS / f"{project}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    top = folder / "firmware" / "myproject.cpp"
    text = top.read_text()
    calls = [(m[1], [part.strip() for part in m[2].split(",")], m[0]) for m in _CALL.finditer(text)]
    head, body = re.search(r"void myproject\(\n(.*?)\n\)", text, re.S)[1], []
    parameters = [part.strip() for part in head.split(",")]
    names = [re.search(r"(\w+)\[", parameter)[1] for parameter in parameters]
    local = re.findall(r"^    \w+ (\w+)\[[^\]]*\];$", text, re.M)
    tensors = {name: [part for part in arguments if part in (*names, *local)] for _, arguments, name in calls}
    made = {found[-1] for found in tensors.values() if found}
    inputs = [name for name in names if name not in made]
    output = next(tensors[line][-1] for name, _, line in calls if name == function and tensors[line][-1] in names)
    needed = {output}
    for _, _, line in reversed(calls):
        if tensors[line] and tensors[line][-1] in needed:
            body.insert(0, line)
            needed |= set(tensors[line])
    kept = [
        p for p, name in zip(parameters, names, strict=True) if name == output or (name in inputs and name in needed)
    ]
    declared = re.findall(r"^    \w+ \w+\[[^\]]*\];$", text, re.M)
    top.write_text("\n".join(["void myproject(", ",\n".join(kept), ") {", *declared, *body, "}"]))
    vectors = np.load(PROJECTS / f"{project}.npz")
    xs = [vectors[f"x{i}"] for i, name in enumerate(inputs) if name in needed]
    outputs = [name for name in names if name not in inputs]
    expected = vectors[f"y{outputs.index(output)}"]
    dims = re.search(rf"\b{output}\[([\d*]+)\]", text)[1]
    return Built(folder, xs, [expected.reshape(len(expected), *(int(dim) for dim in dims.split("*")))])
