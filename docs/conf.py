"""How Sphinx builds the documentation: ``python3 -m tox run -e docs``."""

from __future__ import annotations

import sys
from pathlib import Path

from clawproxy import __version__

sys.path.insert(0, str(Path(__file__).parent))

project = "ClawProxy"
author = "the ClawProxy authors"
copyright = "the ClawProxy authors, MIT licence"
version = release = __version__

extensions = ["directives"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"ClawProxy {version}"
highlight_language = "text"
nitpicky = True
