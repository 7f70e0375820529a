"""Write a notebook for the browser, and look at what its cells show there."""

from __future__ import annotations

import time
from typing import Any

import nbformat
from playwright.sync_api import Page

from tests.browser.conftest import Lab

# The notebook of the page, though a panel beside it may be the current widget.
NOTEBOOK = "[...window.jupyterapp.shell.widgets('main')].find(widget => widget.context?.sessionContext)"
_KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}


def write_notebook(lab: Lab, name: str, *cells: str) -> str:
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": _KERNEL})
    notebook.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    nbformat.write(notebook, lab.root / name)
    return name


def outputs_of(page: Page) -> list[list[dict[str, Any]]]:
    """The outputs of every code cell, from the page's own model of the notebook."""
    script = f"""() => {NOTEBOOK}.content.model.toJSON().cells
        .filter(cell => cell.cell_type === 'code').map(cell => cell.outputs)"""
    outputs: list[list[dict[str, Any]]] = page.evaluate(script)
    return outputs


def text_of(outputs: list[dict[str, Any]]) -> str:
    parts = []
    for output in outputs:
        data = output.get("data", {})
        parts.append(output.get("text") or data.get("text/plain") or output.get("evalue") or "")
    return "".join("".join(part) for part in parts)


def wait_for_text(page: Page, cell: int, wanted: str, timeout_s: float = 60) -> str:
    deadline_s = time.monotonic() + timeout_s
    while time.monotonic() < deadline_s:
        text = text_of(outputs_of(page)[cell])
        if wanted in text:
            return text
        page.wait_for_timeout(50)
    raise AssertionError(
        f"cell {cell} never showed {wanted!r}, but: {text_of(outputs_of(page)[cell])[-2000:]}"
    )


def run_cell(page: Page, cell: int) -> None:
    """Run one code cell."""
    page.evaluate(
        f"""cell => {{ const widget = {NOTEBOOK}; window.jupyterapp.shell.activateById(widget.id);
        widget.content.activeCellIndex = cell; window.jupyterapp.commands.execute('notebook:run-cell'); }}""",
        cell,
    )
