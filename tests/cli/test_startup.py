"""The command's process loads less; nothing that it loads works otherwise."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
from hardwire._startup import start_lean
start_lean()
import numba
assert "scipy.linalg" not in sys.modules, "SciPy's BLAS is loaded"
assert not any(type(finder).__name__ == "_Lean" for finder in sys.meta_path)
assert numba.core.withcontexts, "numba was loaded twice, and lacks its parts"
assert numba.njit(lambda x: x + 1)(41) == 42
assert numba.njit(lambda x: sum([k * x for k in range(3)]))(14) == 42, "a closure, which numba inlines"
try:
    import scipy.linalg
except ImportError:
    pass
else:
    assert scipy.linalg.norm([3.0, 4.0]) == 5.0
"""


def test_a_lean_start_keeps_numba_and_scipy_whole() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
