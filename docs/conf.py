"""How Sphinx builds the documentation; `make docs` runs it, with every warning an error."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

project = "Ostiary"
author = "The makers of Ostiary"
html_title = "Ostiary"
html_theme = "furo"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
html_static_path = ["static"]
html_css_files = ["tables.css"]
# Nothing is loaded from anywhere else: the built folder can be read without a network.
html_theme_options = {"footer_icons": []}

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "reference"]
default_role = "code"
# Two hyphens begin an option.
smartquotes = False
highlight_language = "none"

# Headings can be linked to; a link to one that does not exist is a warning, and so an error.
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
