"""How Sphinx builds the documentation (`./shaketable docs`); warnings are errors.

The source folder is the repository's root, so that the README and links to code are part of it.
"""

project = "Shaketable"
author = "the Shaketable authors"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
root_doc = "docs/index"
include_patterns = ["docs/**.md", "*.md"]
exclude_patterns = [
    ".*",
    "benchmarks",
    "containers",
    "controller",
    "results",
    "scenarios",
    "testbed",
    "tests",
    "topologies",
]
myst_heading_anchors = 3  # [text](page.md#heading) as GitHub makes them
html_theme = "alabaster"
html_theme_options = {
    "description": "A shake table for edge-cloud orchestration",
    "page_width": "1060px",
    "sidebar_width": "250px",
    "fixed_sidebar": True,
}
html_show_copyright = False
html_show_sourcelink = False
html_copy_source = False
highlight_language = "none"  # equations and rows of records are no code
