"""How Sphinx builds the documentation: ``python3 -m tox run -e docs``."""

from __future__ import annotations

from clawproxy import __version__

project = "ClawProxy"
author = "the ClawProxy authors"
copyright = "the ClawProxy authors, MIT licence"
version = release = __version__

extensions: list[str] = []
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"ClawProxy {version}"
highlight_language = "text"
nitpicky = True
