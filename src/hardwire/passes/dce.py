"""Dead code elimination: values that no output needs are dropped; inputs stay."""

from __future__ import annotations

import numpy as np
from numba import njit

from hardwire.ir.program import Kernel
from hardwire.passes._operands import operands, renumbered


def dce(kernel: Kernel) -> Kernel:
    """Return the kernel without values that its outputs do not reach."""
    pointer, ids = operands(kernel)
    live = np.zeros(len(kernel), np.bool_)
    live[: kernel.n_inputs] = True
    live[kernel.outputs] = True
    _mark(pointer, ids, live)
    if live.all():
        return kernel
    order = np.flatnonzero(live).astype(np.int32)
    new_id = np.full(len(kernel), -1, np.int32)
    new_id[order] = np.arange(len(order), dtype=np.int32)
    return renumbered(kernel, order, new_id)


@njit(cache=True)
def _mark(pointer, ids, live):  # type: ignore[no-untyped-def]
    for i in range(len(live) - 1, -1, -1):
        if live[i]:
            for k in range(pointer[i], pointer[i + 1]):
                live[ids[k]] = True
