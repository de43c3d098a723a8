"""Every example of every layer: verified, within its ranges, and equal to its float meaning."""

from __future__ import annotations

import pytest
from layer_checks import check_exact, run_both

from hardwire.ir.program import fraction_bits
from hardwire.layers import known_layers
from hardwire.network.prepare import prepare

EXAMPLES = [
    pytest.param(kind, example.network, id=f"{kind}-{example.name}")
    for kind, layer in known_layers().items()
    for example in layer.examples()
]

BOUNDED = {"softmax", "layer_norm"}
"""Layers whose integers keep a proven bound to the float meaning; their fixed meaning has tests of its own."""


def test_every_layer_has_examples():
    assert {param.values[0] for param in EXAMPLES} == set(known_layers())


@pytest.mark.parametrize(("kind", "network"), EXAMPLES)
def test_program_equals_the_float_meaning(kind, network):
    if kind in BOUNDED:
        run_both(network)
        return
    program = run_both(network)[0]
    fracs = [fraction_bits(scale) for array in program.arrays.values() for scale in array.scale]
    short = all(frac is not None and frac <= 24 for frac in fracs)  # else float64 itself rounds
    check_exact(network, tolerance=0.0 if short else 1e-12)


@pytest.mark.parametrize(("kind", "network"), EXAMPLES)
def test_prepared_examples_too(kind, network):
    if kind not in BOUNDED:
        check_exact(prepare(network), tolerance=1e-12)
