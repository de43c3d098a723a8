"""LINEAR values see through what is linear in one value, and comparisons with constants through the bias.

A term of a shifted value is one of the value itself, whose low bits the solver then knows to be 0. A term of
`±2^k·x + d` (a bit that stands for ±1, a centred input) is one of x, with d in the bias. `g·Σ + d < c` is
`Σ < ceil((c - d) / g)`: a neuron that is only compared needs no bias and no common factor.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from hardwire.ir.ops import OpCode
from hardwire.ir.program import Kernel
from hardwire.passes._operands import uses, with_room

_LINEAR, _SHL, _LESS, _EQUAL = (int(OpCode[name]) for name in ("LINEAR", "SHL", "LESS", "EQUAL"))
_MOST = 2.0**29
"""Coefficients beyond this are left alone: the solver splits larger ones."""


def compose(kernel: Kernel) -> Kernel:
    """Return the kernel with the terms of LINEAR values written over what those are made from, equal ones merged."""
    if not np.any(kernel.op == _LINEAR):
        return kernel
    b, p = np.array(kernel.b), np.array(kernel.p)
    term_arg, term_coef = np.array(kernel.term_arg), np.array(kernel.term_coef)
    _write_over(kernel.op, kernel.a, b, p, term_arg, term_coef)
    return _compared(kernel.with_(b=b, p=p, term_arg=term_arg, term_coef=term_coef))


@njit(cache=True)
def _write_over(op, a, b, p, term_arg, term_coef):  # type: ignore[no-untyped-def]
    place = np.full(len(op), -1, np.int64)
    for i in range(len(op)):
        if op[i] != _LINEAR:
            continue
        start, kept = a[i], a[i]
        for k in range(start, start + b[i]):
            v, w = term_arg[k], term_coef[k]
            while True:
                if op[v] == _SHL and abs(float(w)) * 2.0 ** float(p[v]) < _MOST:
                    w <<= p[v]
                    v = a[v]
                elif op[v] == _LINEAR and b[v] == 1:
                    inner = term_coef[a[v]]
                    size = abs(inner)
                    far = abs(float(w) * float(inner)) >= _MOST or abs(float(w) * float(p[v])) >= 2.0**60
                    if size & (size - 1) != 0 or far or abs(float(p[i])) >= 2.0**60:
                        break
                    p[i] += w * p[v]
                    w *= inner
                    v = term_arg[a[v]]
                else:
                    break
            if place[v] >= start:
                term_coef[place[v]] += w
            else:
                place[v] = kept
                term_arg[kept], term_coef[kept] = v, w
                kept += 1
        last = start
        for k in range(start, kept):
            place[term_arg[k]] = -1
            if term_coef[k] != 0:
                term_arg[last], term_coef[last] = term_arg[k], term_coef[k]
                last += 1
        b[i] = last - start


def _compared(kernel: Kernel) -> Kernel:
    """Move bias and common factor of LINEAR values that are only compared with constants into these."""
    constant = kernel.lo == kernel.hi
    compares = np.flatnonzero(np.isin(kernel.op, (_LESS, _EQUAL)))
    first, second = kernel.a[compares], kernel.b[compares]
    left = (kernel.op[first] == _LINEAR) & constant[second]
    fit = left | ((kernel.op[second] == _LINEAR) & constant[first])
    compares, left = compares[fit], left[fit]
    neuron = np.where(left, kernel.a[compares], kernel.b[compares])
    only = np.bincount(neuron, minlength=len(kernel)) == uses(kernel)
    compares = compares[only[neuron] & (kernel.b[neuron] > 0)]
    if not len(compares):
        return kernel
    kernel, at = with_room(kernel, compares, 1)
    a, b, p, q, lo, hi, term_coef = (
        np.array(getattr(kernel, key)) for key in ("a", "b", "p", "q", "lo", "hi", "term_coef")
    )
    _move(at, kernel.op, a, b, p, q, lo, hi, term_coef)
    origin = np.array(kernel.origin)
    origin[at - 1] = origin[at]
    return kernel.with_(a=a, b=b, p=p, q=q, lo=lo, hi=hi, term_coef=term_coef, origin=origin)


@njit(cache=True)
def _move(compares, op, a, b, p, q, lo, hi, term_coef):  # type: ignore[no-untyped-def]
    """The value in front of each comparison becomes its new constant; then the neurons lose bias and factor."""
    factor = np.zeros(len(op), np.int64)
    for i in compares:
        neuron, constant = (a[i], b[i]) if op[a[i]] == _LINEAR and lo[b[i]] == hi[b[i]] else (b[i], a[i])
        if factor[neuron] == 0:
            for k in range(a[neuron], a[neuron] + b[neuron]):
                factor[neuron] = np.gcd(factor[neuron], abs(term_coef[k]))
        g, rest = factor[neuron], lo[constant] - p[neuron]
        if op[i] == _EQUAL and rest % g != 0:
            # No multiple of the factor: never equal. A constant that the neuron cannot reach says so.
            value = (hi[neuron] - p[neuron]) // g + 1
        elif neuron == a[i]:
            value = -(-rest // g)
        else:
            value = rest // g
        p[i - 1] = lo[i - 1] = hi[i - 1] = value
        if neuron == a[i]:
            b[i] = i - 1
        else:
            a[i] = i - 1
    for neuron in range(len(op)):
        g = factor[neuron]
        if g != 0:
            lo[neuron], hi[neuron] = -(-(lo[neuron] - p[neuron]) // g), (hi[neuron] - p[neuron]) // g
            p[neuron] = 0
            for k in range(a[neuron], a[neuron] + b[neuron]):
                term_coef[k] //= g
