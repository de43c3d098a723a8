"""LUTs of a matrix of constants after the solver, and their gradients, in one compiled pass.

A row of n canonical signed digits takes n - 1 adders if nothing is shared. One adder takes about its inputs' bits, and
more where many terms are summed; the more digits stand in a column, the more of them the rows share:

    LUTs = shared · (digits / columns)^-often · Σ_rows (n - 1) · (bits + carry + grown · ln n)  +  row · rows

with the coefficients of `_fitted`, `bits` the mean input bits of a row's digits, columns and rows those with a digit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from hardwire.train.costs._fitted import Fitted


@njit(cache=True, error_model="numpy")
def digits_of(code):  # type: ignore[no-untyped-def]
    """Non-zero canonical signed digits of a whole number (see `hardwire.solver.csd`)."""
    differing = code ^ (3 * code)
    count = 0
    while differing:
        differing &= differing - 1
        count += 1
    return count


@njit(cache=True, error_model="numpy")
def _price(weight, fraction, bits, shared, often, carry, grown, row, to_digits, to_bits):  # type: ignore[no-untyped-def]
    """Return the LUTs; fill the gradients of the digits and of the input bits, all (outputs, inputs)."""
    outputs, inputs = weight.shape
    used = np.zeros(inputs, np.bool_)
    rows, total, sums = 0, 0.0, 0.0
    for i in range(outputs):
        n, heap = 0.0, 0.0
        for j in range(inputs):
            count = 0
            if bits[i, j] > 0:
                code = np.int64(np.rint(np.abs(weight[i, j]) * 2.0 ** fraction[i, j]))
                count = digits_of(code)
                if count:
                    used[j] = True
                    n += count
                    heap += count * bits[i, j]
            to_bits[i, j] = count
        if n == 0:
            to_digits[i, :] = 0.0
            continue
        rows += 1
        total += n
        mean, growth = heap / n, carry + grown * np.log(n)
        sums += (n - 1.0) * (mean + growth)
        by_number = mean + growth + (n - 1.0) * (grown - mean) / n
        by_heap = (n - 1.0) / n
        for j in range(inputs):
            live = to_bits[i, j] > 0
            to_digits[i, j] = by_number + by_heap * bits[i, j] if live else 0.0
            to_bits[i, j] *= by_heap
    if rows == 0:
        return 0.0
    factor = shared * (total / used.sum()) ** -often
    fewer = factor * often * sums / total
    for i in range(outputs):
        for j in range(inputs):
            if to_digits[i, j] != 0.0:
                to_digits[i, j] = factor * to_digits[i, j] - fewer
            to_bits[i, j] *= factor
    return factor * sums + row * rows


@njit(cache=True, error_model="numpy")
def _count(weight, fraction, bits, found):  # type: ignore[no-untyped-def]
    for i in range(weight.shape[0]):
        for j in range(weight.shape[1]):
            code = np.int64(np.rint(np.abs(weight[i, j]) * 2.0 ** fraction[i, j]))
            found[i, j] = digits_of(code) if bits[i, j] > 0 else 0


@torch.library.custom_op("hardwire::digit_counts", mutates_args=())
def _counted(weight: Tensor, fraction: Tensor, input_bits: Tensor) -> Tensor:
    arrays = [np.ascontiguousarray(part.numpy(force=True)) for part in (weight, fraction, input_bits)]
    found = np.empty(weight.shape, arrays[0].dtype)
    _count(*arrays, found)
    return torch.from_numpy(found).to(weight.device)


@_counted.register_fake
def _(weight: Tensor, fraction: Tensor, input_bits: Tensor) -> Tensor:
    return weight.new_empty(weight.shape)


def digit_counts(weight: Tensor, fraction: Tensor, input_bits: Tensor) -> Tensor:
    """Digits of each weight, without gradient; none where the input has no bits. All (outputs, inputs)."""
    return torch.ops.hardwire.digit_counts(weight, fraction, input_bits)


@torch.library.custom_op("hardwire::adder_luts", mutates_args=())
def _priced(weight: Tensor, fraction: Tensor, input_bits: Tensor, numbers: list[float]) -> tuple[Tensor, Tensor]:
    """LUTs, and their gradients by digits and by input bits, (2, outputs, inputs)."""
    arrays = [np.ascontiguousarray(part.numpy(force=True)) for part in (weight, fraction, input_bits)]
    gradients = np.empty((2, *weight.shape), np.float32)
    luts = _price(*arrays, *numbers, gradients[0], gradients[1])
    return weight.new_tensor(luts), torch.from_numpy(gradients).to(weight.device)


@_priced.register_fake
def _(weight: Tensor, fraction: Tensor, input_bits: Tensor, numbers: list[float]) -> tuple[Tensor, Tensor]:
    return weight.new_empty(()), weight.new_empty((2, *weight.shape), dtype=torch.float32)


class Adders(torch.autograd.Function):
    """LUTs of (weight, fraction, weight_bits, input_bits), all (outputs, inputs): a scalar.

    The gradient of a weight's bits is that of a third of a digit each (Reitwiesner 1960).
    """

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, fraction: Tensor, weight_bits: Tensor, input_bits: Tensor, fitted: Fitted
    ) -> Tensor:
        numbers = [fitted.shared, fitted.often, fitted.carry, fitted.grown, fitted.row]
        luts, gradients = torch.ops.hardwire.adder_luts(weight, fraction, input_bits, numbers)
        ctx.save_for_backward(gradients)
        return luts

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> tuple[Tensor | None, ...]:
        by_digits, by_input = ctx.saved_tensors[0] * given[0]
        return None, None, by_digits * (1.0 / 3.0), by_input, None
