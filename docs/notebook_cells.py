"""Give the cells of a notebook that judge claims an address: notebooks/01_delay_independent.html#claim-C1."""

from __future__ import annotations

from docutils import nodes


def name_cells(app, doctree) -> None:
    for cell in doctree.findall(nodes.container):
        if cell.get("nb_element") == "cell_code":
            cell["ids"] += [f"claim-{claim}" for claim in cell.get("cell_metadata", {}).get("claims", [])]


def setup(app) -> dict[str, bool]:
    app.connect("doctree-read", name_cells)
    return {"parallel_read_safe": True}
