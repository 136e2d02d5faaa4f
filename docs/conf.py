"""Sphinx settings of the site. The sources are gathered by scripts/site_sources.py, `make site` builds them."""

from __future__ import annotations

import shutil
import sys
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "scripts")]

import asgd_lib  # noqa: E402

project = "asgd_lib"
author = "The asgd_lib authors"
copyright = author
version = release = asgd_lib.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "docstrings", "notebook_cells"]
suppress_warnings = ["mystnb.unknown_mime_type"]  # text/latex beside text/plain: the site shows the latter

nb_execution_mode = "off"  # the committed outputs are what the tests compare
nb_merge_streams = True
nb_render_text_lexer = "none"
myst_enable_extensions = ["amsmath", "attrs_block", "attrs_inline", "dollarmath"]
myst_dmath_double_inline = True
myst_heading_anchors = 3
myst_ref_domains = ["std"]

autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # what click and threading say of their own classes
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 150
add_module_names = False

html_theme = "furo"
html_title = "asgd_lib"
html_static_path = [str(HERE / "_static")]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#005a8e", "color-brand-content": "#005a8e"},
    "dark_css_variables": {"color-brand-primary": "#7cc4f2", "color-brand-content": "#7cc4f2"},
}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"

mathjax_path = "mathjax/tex-chtml.js"
MATHJAX_PARTS = ("tex-chtml.js", "output/chtml/fonts/woff-v2")  # of 20 MB only what a page loads
mathjax3_config = {"options": {"enableMenu": False}}


def copy_mathjax(app, exception) -> None:
    """Put MathJax and its fonts from the Python package that carries it beside the pages."""
    if exception is None:
        source = Path(metadata.distribution("sphinx-mathjax-offline").locate_file("sphinx-mathjax-offline/static/mathjax"))
        for part in MATHJAX_PARTS:
            target = Path(app.outdir) / "_static" / "mathjax" / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if (source / part).is_dir():
                shutil.copytree(source / part, target, dirs_exist_ok=True)
            else:
                shutil.copyfile(source / part, target)


def setup(app) -> None:
    app.connect("build-finished", copy_mathjax)
