"""Types of ports: those that the user states, and one for an input that several different quantisers read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hardwire.errors import ModelError
from hardwire.fixed import MAX_BITS, FixedType, Overflow, Rounding, width_of
from hardwire.layers import layer_of
from hardwire.network.graph import Network, Node, Shape
from hardwire.quantiser import Quantiser

_SATURATING = (Overflow.SAT, Overflow.SAT_SYM)
_FINER = {Rounding.TRN: 1, Rounding.RND: 2}
"""How many times finer a truncated code must be to decide a rounding: `floor(x + 1/2)` is decided by `floor(2 · x)`."""

StatedTypes = Mapping[str, FixedType | str] | Sequence[FixedType | str] | FixedType | str | None
"""One type for all ports, one for each in order, or by the port's name."""


def stated_types(names: Sequence[str], types: StatedTypes, what: str) -> dict[str, FixedType]:
    """Types by port of the ports `names`, which are `what` (`input`, `output`) in messages.

    Raises `ModelError` for another number of types than one or one each, or a name that is none of the ports.
    """
    if types is None:
        return {}
    if isinstance(types, FixedType | str):
        types = [types]
    if not isinstance(types, Mapping):
        if len(types) not in (1, len(names)):
            raise ModelError(
                f"{len(types)} {what} types for the {len(names)} {what}s {', '.join(map(repr, names))}",
                hint=f"one type for all {what}s, or one for each in this order",
            )
        types = dict(zip(names, list(types) * (len(names) if len(types) == 1 else 1), strict=True))
    unknown = [name for name in types if name not in names]
    if unknown:
        raise ModelError(f"a type for {what} {unknown[0]!r}; the model's {what}s are {', '.join(map(repr, names))}")
    return {name: FixedType.parse(kind) if isinstance(kind, str) else kind for name, kind in types.items()}


def with_output_types(network: Network, types: StatedTypes) -> Network:
    """Return the network with its outputs rounded to stated types: to nearest even, saturated; names stay."""
    for name, kind in stated_types(network.outputs, types, "output").items():
        if name in network.inputs:
            raise ModelError(f"output {name!r} is an input, which has its own type", hint="state an input type")
        inner = f"{name}.before"
        while inner in network.shapes:
            inner += "_"

        def renamed(tensors: tuple[str, ...], old: str = name, new: str = inner) -> tuple[str, ...]:
            return tuple(new if tensor == old else tensor for tensor in tensors)

        nodes = [node.with_(inputs=renamed(node.inputs), outputs=renamed(node.outputs)) for node in network.nodes]
        rule = Quantiser.of_type(kind, Rounding.RND_CONV, Overflow.SAT)
        nodes.append(Node("quantise", f"{name}.type", (inner,), (name,), {"quantiser": rule}))
        network = network.with_(nodes=tuple(nodes), shapes={**network.shapes, inner: network.shapes[name]})
    return network


_VIEWS = ("reshape", "transpose", "take", "crop")
"""Kinds that choose and order elements of one tensor, and change none."""
_MOST_USES = 1 << 12

Use = tuple[Quantiser, NDArray[np.int64]]
"""A quantiser of every field's full shape, and which element (flat) of a tensor each of its own is, -1 for none."""


def quantised_uses(network: Network, tensor: str) -> list[Use] | None:
    """Return the quantisers that read a tensor, directly or behind views; None where anything else does."""
    shape = network.shapes[tensor]
    waiting = [(tensor, np.arange(np.prod(shape, dtype=np.int64)).reshape(shape))]
    uses: list[Use] = []
    while waiting:
        name, places = waiting.pop()
        if name in network.outputs or len(uses) > _MOST_USES:
            return None
        for node in network.consumers(name):
            if node.kind == "quantise":
                uses.append((node.attrs["quantiser"].reshaped(places.shape), places))
            elif node.kind in _VIEWS:
                # Positions are moved as values are, exactly.
                moved = layer_of(node).reference(node, [places[None].astype(np.float64)])[0]
                waiting.append((node.outputs[0], moved.astype(np.int64)))
            else:
                return None
    return uses


def joint_of_uses(uses: Sequence[Use], shape: Shape) -> Quantiser | None:
    """Return one quantiser of a tensor of `shape` from which all of its uses follow, if there is one."""
    rules: list[Quantiser] = []
    for quantiser, where in uses:
        used = where.ravel() >= 0
        order = np.argsort(where.ravel()[used], kind="stable")
        counts = np.bincount(where.ravel()[used], minlength=int(np.prod(shape, dtype=np.int64)))
        first = np.cumsum(counts) - counts
        scale, lo, hi = (part.ravel()[used][order] for part in (quantiser.scale, quantiser.lo, quantiser.hi))
        if np.any(quantiser.zero) or len(rules) + counts.max(initial=0) > _MOST_USES:
            return None
        for use in range(int(counts.max(initial=0))):
            at = np.minimum(first + np.minimum(use, counts - 1), len(order) - 1)
            own, least, most = (
                np.where(counts > 0, part[at], none).reshape(shape) for part, none in ((scale, 1.0), (lo, 0), (hi, 0))
            )
            rules.append(Quantiser(own, least, most, quantiser.rounding, quantiser.overflow))
    return joint_quantiser(rules, shape) if rules else None


def joint_quantiser(rules: Sequence[Quantiser], shape: Shape) -> Quantiser | None:
    """Return a quantiser of an input of `shape` such that every one of `rules` behind it gives what it gives alone.

    None where there is none of finitely many bits: ties that go to even on different grids, or wrapping beside
    saturation.
    """
    wraps = all(rule.overflow is Overflow.WRAP for rule in rules)
    if not wraps and not all(rule.overflow in _SATURATING for rule in rules):
        return None
    if any(rule.mantissa is not None or np.any(rule.zero) or np.any(np.frexp(rule.scale)[0] != 0.5) for rule in rules):
        return None
    full = [rule.reshaped(shape) for rule in rules]
    scales = np.stack([rule.scale for rule in full])
    lows, highs = (
        np.stack([bound.astype(np.float64) for bound in bounds])
        for bounds in zip(*((rule.lo, rule.hi) for rule in full), strict=True)
    )
    used = lows < highs
    if len({rule.rounding for rule in rules}) == 1 and np.all((scales == scales.max(axis=0)) | ~used):
        rounding, finer = rules[0].rounding, np.ones(len(rules))
    elif all(rule.rounding in _FINER for rule in rules):
        rounding, finer = Rounding.TRN, np.array([float(_FINER[rule.rounding]) for rule in rules])
    else:
        return None
    fine = scales / finer.reshape(-1, *(1,) * len(shape))
    scale = np.where(used.any(axis=0), np.where(used, fine, np.inf).min(axis=0), 1.0)
    if wraps:
        # Any whole number of periods may be taken away before: the longest period holds all others.
        period = np.where(used, (highs - lows + 1) * scales, scale).max(axis=0) / scale
        signed = np.any(used & (lows < 0), axis=0)
        lo, hi = np.where(signed, -period / 2, 0.0), np.where(signed, period / 2, period) - 1
    else:
        lo = np.where(used, lows * scales, 0.0).min(axis=0) / scale
        hi = np.where(used, highs * scales, 0.0).max(axis=0) / scale
    if width_of(int(lo.min(initial=0)), int(hi.max(initial=0))) > MAX_BITS:
        return None
    over = Overflow.WRAP if wraps else Overflow.SAT
    return Quantiser(scale, lo.astype(np.int64), hi.astype(np.int64), rounding, over)
