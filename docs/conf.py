"""How the pages become HTML: `sphinx-build -W --keep-going -b html docs OUT`, with the extra `docs` installed.

Nothing of the result asks another host for anything: the theme uses the fonts of the machine that reads it.
"""

import sys
from pathlib import Path

import sbc

sys.path.insert(0, str(Path(__file__).parent))

from diagrams import Mermaid

project = "sbc"
author = "the authors of sbc"
version = release = sbc.__version__

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = True

myst_heading_anchors = 4  # `page.md#a-heading`, as forges have it
myst_fence_as_directive = ["mermaid"]

html_theme = "furo"
html_title = "sbc"
html_static_path = ["_static"]
html_css_files = ["diagrams.css"]
html_copy_source = False
html_show_copyright = False
html_permalinks_icon = "#"
html_theme_options = {"navigation_with_keys": True}


def setup(app: object) -> None:
    app.add_directive("mermaid", Mermaid)  # type: ignore[attr-defined]
