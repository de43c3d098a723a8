"""`kernel`: numba's njit with an on-disk cache, typed so that callers keep the signature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Array = Any
"""A numpy array; its dtype and shape are in the docstring of the kernel or of its caller."""

Mask = Any
"""An unsigned 64-bit mask; numba must never see it mixed with signed integers, which would make it a float."""

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile on first call, for use from several threads; a second process loads the machine code from the cache."""
    return cast(F, njit(cache=True, nogil=True)(function))


def lean(function: F) -> F:
    """A `kernel` that makes no arrays: without reference counts on those it is given, which calls pay for dearly."""
    return cast(F, njit(cache=True, nogil=True, _nrt=False)(function))


def helper(function: F) -> F:
    """A `lean` kernel that only kernels call: without the entry from Python, which takes long to compile."""
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return cast(F, njit(cache=True, nogil=True, _nrt=False, **options)(function))
