"""The optimisers take PyTorch's steps, and go on from what they have written."""

from __future__ import annotations

import pytest
import torch

from hardwire.train.optimisers import OPTIMISERS

THEIRS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": lambda groups, lr: torch.optim.SGD(groups, lr=lr, momentum=0.9, nesterov=True),
}


def groups() -> list[dict]:
    torch.manual_seed(0)
    parts = [torch.nn.Parameter(torch.randn(n)) for n in (40, 7, 3)]
    return [{"params": parts[:2], "weight_decay": 0.1}, {"params": parts[2:], "weight_decay": 0.0}]


def walk(optimiser, steps: range) -> list[torch.Tensor]:
    parts = [part for group in optimiser.param_groups for part in group["params"]]
    for step in steps:
        for k, group in enumerate(optimiser.param_groups):
            group["lr"] = 0.05 / (1 + step + k)
        for k, part in enumerate(parts):
            noise = torch.Generator().manual_seed(31 * step + k)
            part.grad = part.detach() ** 3 * 10.0 ** (step % 5 - 3) + torch.randn(part.shape, generator=noise)
        optimiser.step()
    return [part.detach().clone() for part in parts]


@pytest.mark.parametrize("name", OPTIMISERS)
def test_steps_are_pytorchs(name: str) -> None:
    ours = walk(OPTIMISERS[name](groups(), 0.1), range(60))
    theirs = walk(THEIRS[name](groups(), lr=0.1), range(60))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", OPTIMISERS)
def test_one_that_is_written_and_read_goes_on_to_the_same_bits(name: str) -> None:
    whole = walk(OPTIMISERS[name](groups(), 0.1), range(20))
    first = OPTIMISERS[name](groups(), 0.1)
    walk(first, range(9))
    second = OPTIMISERS[name]([dict(group) for group in first.param_groups], 0.1)
    second.load_state_dict(first.state_dict())
    for a, b in zip(whole, walk(second, range(9, 20)), strict=True):
        assert torch.equal(a, b)
