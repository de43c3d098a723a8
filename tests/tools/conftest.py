"""Kernels compile on their first call, so no example has a deadline here."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("tools", deadline=None)
settings.load_profile("tools")
