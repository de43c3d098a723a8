from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# Passes verify their results in every test.
os.environ.setdefault("HARDWIRE_VERIFY", "1")

# The same examples in every run, so that a change is refused for what it breaks alone; `thorough` draws new ones.
settings.register_profile(
    "ci", deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", deadline=None, max_examples=500, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
