from __future__ import annotations

import sys
from pathlib import Path

# The random flat programs are shared with the tests of the back ends.
sys.path.insert(0, str(Path(__file__).parent.parent / "backends"))
