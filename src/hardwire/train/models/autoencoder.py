"""An autoencoder whose output is its score: the sum of the absolute differences from its input.

The score is computed in the design, so that a trigger compares one number with a threshold.
"""

from __future__ import annotations

from torch import Tensor, nn

from hardwire.nn import Dense, Scheme
from hardwire.nn.quantisers import Fixed
from hardwire.train.tables import RecipeError


class Autoencoder(nn.Module):
    """(batch, features) to (batch, 1).

    What is reconstructed, and what is left of it, are on a grid that is not learnt: were it, the best score would be
    that of no bits.
    """

    def __init__(self, features: int, layers: tuple[int, ...], target: str, scheme: Scheme) -> None:
        super().__init__()
        self.target = Fixed(target)
        self.network = nn.Sequential()
        for last, size in zip((features, *layers), (*layers, features), strict=True):
            self.network.append(Dense(last, size, scheme=scheme)).append(nn.ReLU())
        del self.network[-1]

    def forward(self, x: Tensor) -> Tensor:
        """Return the score."""
        x = self.target(x)
        left: Tensor = self.target(self.network(x) - x)
        return left.abs().sum(dim=1, keepdim=True)


def model(
    inputs: tuple[int, ...],
    outputs: int,
    scheme: Scheme,
    layers: tuple[int, ...] = (16, 4, 16),
    target: str = "s7.3",
) -> nn.Module:
    """`target` is the type of what is reconstructed; raises `RecipeError` for a task that asks for no score."""
    if len(inputs) != 1 or outputs != 1 or not layers:
        raise RecipeError(
            f"[model] kind = 'autoencoder': rows of shape {inputs}, {outputs} outputs, layers = {list(layers)}",
            hint="a task of one score, such as anomaly, and at least one layer",
        )
    return Autoencoder(inputs[0], layers, target, scheme)
