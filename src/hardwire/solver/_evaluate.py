"""Compiled walks over an adder graph: exact values, magnitude bounds, exact ranges, depths."""

from __future__ import annotations

import numpy as np

from hardwire.solver._jit import Array, kernel


@kernel
def propagate(a: Array, b: Array, shift_a: Array, shift_b: Array, negate_b: Array, n_inputs: int, v: Array) -> None:
    """Fill v[n_inputs:] (int64, nodes × batch) from v[:n_inputs]; wraps silently, so bound the input first."""
    for i in range(a.size):
        va, vb, out = v[a[i]], v[b[i]], v[n_inputs + i]
        fa, fb = np.int64(1) << np.int64(shift_a[i]), np.int64(1) << np.int64(shift_b[i])
        if negate_b[i]:
            fb = -fb
        for k in range(out.size):
            out[k] = va[k] * fa + vb[k] * fb


@kernel
def magnitudes(a: Array, b: Array, shift_a: Array, shift_b: Array, n_inputs: int, bound: Array) -> None:
    """Fill bound[n_inputs:] (float64) with Σ|coefficient|·|input| along all paths: no node can exceed it."""
    for i in range(a.size):
        bound[n_inputs + i] = bound[a[i]] * 2.0 ** shift_a[i] + bound[b[i]] * 2.0 ** shift_b[i]


@kernel
def intervals(
    a: Array, b: Array, shift_a: Array, shift_b: Array, negate_b: Array, n_inputs: int, lo: Array, hi: Array
) -> None:
    """Fill lo/hi[n_inputs:] (int64) by interval arithmetic, node from operand: sound, not tight."""
    for i in range(a.size):
        fa, fb = np.int64(1) << np.int64(shift_a[i]), np.int64(1) << np.int64(shift_b[i])
        n = n_inputs + i
        if negate_b[i]:
            lo[n] = lo[a[i]] * fa - hi[b[i]] * fb
            hi[n] = hi[a[i]] * fa - lo[b[i]] * fb
        else:
            lo[n] = lo[a[i]] * fa + lo[b[i]] * fb
            hi[n] = hi[a[i]] * fa + hi[b[i]] * fb


@kernel
def add_ranges(v: Array, box_lo: Array, box_hi: Array, lo: Array, hi: Array) -> None:
    """Add to lo/hi what the inputs of this block give: v[n, k] is the coefficient of input k in node n."""
    for n in range(v.shape[0]):
        for k in range(v.shape[1]):
            c = v[n, k]
            if c > 0:
                lo[n] += c * box_lo[k]
                hi[n] += c * box_hi[k]
            elif c < 0:
                lo[n] += c * box_hi[k]
                hi[n] += c * box_lo[k]


@kernel
def depths(a: Array, b: Array, n_inputs: int, depth: Array) -> None:
    """Fill depth[n_inputs:] (int64) from the arrival of the inputs, one level an adder."""
    for i in range(a.size):
        depth[n_inputs + i] = max(depth[a[i]], depth[b[i]]) + 1
