"""Sphinx configuration: `make docs` builds the site into docs/_build/html."""

import sys
from pathlib import Path

import sparseloop

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "sparseloop"
copyright = "the authors of sparseloop, MIT licence"
release = version = sparseloop.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "mathml", "generated"]
exclude_patterns = ["_build"]

myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autosummary_generate = False
# Types in signatures belong to other packages or are internal. Their inventories would need a network.
nitpick_ignore_regex = [(r"py:.*", r".*")]

html_theme = "furo"
html_title = f"sparseloop {release}"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_math_renderer = "mathml"
html_copy_source = False
