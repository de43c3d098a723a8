"""Sphinx configuration."""

from __future__ import annotations

project = "hardwire"
copyright = "2026, the hardwire authors"
author = "The hardwire authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "hardwire"
exclude_patterns = ["_build"]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_mock_imports: list[str] = []
nitpicky = False
suppress_warnings = ["ref.python"]
