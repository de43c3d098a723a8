"""DeepSets (Zaheer et al. 2017): the same small network on each element, their sum, and a network on that."""

from __future__ import annotations

from torch import Tensor, nn

from hardwire.nn import Dense, Scheme, Sum
from hardwire.train.tables import RecipeError


class DeepSets(nn.Module):
    """(batch, elements, features) to (batch, outputs), whatever the order of the elements.

    `each` and `whole` are layer sizes of the network on an element and of that on the sum.
    """

    def __init__(
        self, features: int, outputs: int, each: tuple[int, ...], whole: tuple[int, ...], scheme: Scheme
    ) -> None:
        super().__init__()
        self.each, self.whole = nn.Sequential(), nn.Sequential()
        for last, size in zip((features, *each[:-1]), each, strict=True):
            self.each.append(Dense(last, size, scheme=scheme)).append(nn.ReLU())
        self.sum = Sum(1, (each[-1],), scheme=scheme)
        for last, size in zip((each[-1], *whole), (*whole, outputs), strict=True):
            self.whole.append(Dense(last, size, scheme=scheme)).append(nn.ReLU())
        del self.whole[-1]

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, outputs)."""
        return self.whole(self.sum(self.each(x)))


def model(
    inputs: tuple[int, ...],
    outputs: int,
    scheme: Scheme,
    each: tuple[int, ...] = (32, 32),
    whole: tuple[int, ...] = (32,),
) -> nn.Module:
    """Raises `RecipeError` for rows that are no sets, (elements, features)."""
    if len(inputs) != 2 or not each:
        raise RecipeError(
            f"[model] kind = 'deepsets': rows of shape {inputs}, each = {list(each)}",
            hint="a task of sets, such as particles, and at least one layer on each element",
        )
    return DeepSets(inputs[1], outputs, each, whole, scheme)
