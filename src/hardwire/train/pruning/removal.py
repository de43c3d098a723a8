"""Smaller layers in the place of dead ones: neurons that are zero, or that nobody reads, are taken out."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hardwire.errors import TrainingError
from hardwire.nn import Dense
from hardwire.nn._sums import Sums
from hardwire.nn.quantisers import Quantiser

_ZERO_STAYS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.Tanh, nn.Hardtanh, nn.Dropout, nn.Identity)
"""Elementwise modules without parameters that give 0 for 0."""


def remove_dead(model: nn.Sequential) -> nn.Sequential:
    """Return a copy of a chain of layers without dead neurons and channels; it gives the same, bit for bit.

    Between two dense layers or two convolutions, with elementwise modules that keep 0 between them, a neuron goes if
    its weights and bias are zero on their grids, or if the next layer multiplies it by zeros alone. The model's inputs
    and outputs stay. Pairs with something else between them are left as they are, and so are neurons with a constant
    that is not 0, which the compiler folds. Raises `TrainingError` for another container than `nn.Sequential`.
    """
    if not isinstance(model, nn.Sequential):
        raise TrainingError(
            f"remove_dead: a {type(model).__name__} is no chain of layers",
            hint="nn.Sequential; in other models apply it to the chains within",
        )
    training = model.training
    smaller = copy.deepcopy(model).eval()
    pairs = _pairs(list(smaller))
    # From the outputs on, so that what only dead neurons read is dead in the same pass.
    while sum(_shrink(before, after) for before, after in reversed(pairs)):
        pass
    return smaller.train(training)


def _pairs(modules: Sequence[nn.Module]) -> list[tuple[Sums, Sums]]:
    found: list[tuple[Sums, Sums]] = []
    last: Sums | None = None
    for module in modules:
        if isinstance(module, Sums):
            alike = last is not None and last.weight.ndim == module.weight.ndim
            whole = getattr(last, "groups", 1) == getattr(module, "groups", 1) == 1
            if last is not None and alike and whole and len(last.weight) == module.weight.shape[1]:
                found.append((last, module))
            last = module
        elif not isinstance(module, _ZERO_STAYS):
            last = None
    return found


def _shrink(before: Sums, after: Sums) -> bool:
    with torch.no_grad():
        own, read = before.constants(), after.constants()["weight"]
        live = (own["weight"] != 0).flatten(1).any(1)
        if "bias" in own:
            live |= own["bias"] != 0
        live &= (read != 0).transpose(0, 1).flatten(1).any(1)
        if not bool(live.any()):
            live[0] = True  # a layer has an output
        if bool(live.all()):
            return False
        kept = live.nonzero().flatten()
        _keep_outputs(before, kept)
        _keep_inputs(after, kept)
    return True


def _keep_outputs(layer: Sums, kept: Tensor) -> None:
    count = len(layer.weight)
    for part in (layer, layer.norm, layer.weight_quantiser, layer.bias_quantiser, layer.output_quantiser):
        if part is not None:
            _select(part, 0, count, kept)
    if layer.norm is not None:
        layer.norm.features = len(kept)
    setattr(layer, "outputs" if isinstance(layer, Dense) else "out_channels", len(kept))
    layer.eval()


def _keep_inputs(layer: Sums, kept: Tensor) -> None:
    count = layer.weight.shape[1]
    layer.weight = nn.Parameter(layer.weight.detach().index_select(1, kept))
    if layer.weight_quantiser is not None:
        _select(layer.weight_quantiser, 1, count, kept)
    if layer.input_quantiser is not None:
        _select(layer.input_quantiser, 0, count, kept)
    setattr(layer, "inputs" if isinstance(layer, Dense) else "in_channels", len(kept))
    layer.eval()


def _select(module: nn.Module, axis: int, count: int, kept: Tensor) -> None:
    """Keep some of `count` indices of an axis of all tensors of a module itself that have it."""

    def smaller(value: Tensor | None) -> bool:
        return isinstance(value, Tensor) and value.ndim > axis and value.shape[axis] == count and value.numel() > 1

    for name, parameter in list(module.named_parameters(recurse=False)):
        if smaller(parameter):
            made = nn.Parameter(parameter.detach().index_select(axis, kept), requires_grad=parameter.requires_grad)
            setattr(module, name, made)
    for name, buffer in list(module.named_buffers(recurse=False)):
        if smaller(buffer):
            setattr(module, name, buffer.index_select(axis, kept))
    if isinstance(module, Quantiser):
        for name, value in list(vars(module).items()):
            if smaller(value):
                setattr(module, name, value.index_select(axis, kept))
