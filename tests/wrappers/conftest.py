from __future__ import annotations

import sys
from pathlib import Path

# The drawn programs of the back ends' tests.
sys.path.append(str(Path(__file__).parents[1] / "backends"))
