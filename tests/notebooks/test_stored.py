"""Every notebook is stored as it was run, is checked nearly whole, and can be read by others."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell

from tests.notebooks.stored import CODE_CELLS_BELOW, FOLDER, NOTEBOOKS, code_cells, complaints, links, read


def test_there_are_notebooks() -> None:
    assert FOLDER / "00_quickstart.ipynb" in NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_in_order(path: Path) -> None:
    assert complaints(read(path)) == []


def _uncounted(notebook: NotebookNode) -> None:
    code_cells(notebook)[3].execution_count = None


def _out_of_order(notebook: NotebookNode) -> None:
    code_cells(notebook)[3].execution_count = 2


def _ignored(notebook: NotebookNode) -> None:
    for cell in [cell for cell in code_cells(notebook) if cell.outputs][:3]:
        cell.metadata["tags"] = ["nbval-ignore-output"]


def _ignored_by_comment(notebook: NotebookNode) -> None:
    for cell in [cell for cell in code_cells(notebook) if cell.outputs][:3]:
        cell.source = f"# NBVAL_IGNORE_OUTPUT\n{cell.source}"


def _skipped(notebook: NotebookNode) -> None:
    code_cells(notebook)[4].metadata["tags"] = ["nbval-skip"]


def _outputs_gone(notebook: NotebookNode) -> None:
    for cell in code_cells(notebook):
        if "nbval-ignore-output" in cell.metadata.get("tags", []):
            cell.outputs = []


def _error_untold(notebook: NotebookNode) -> None:
    for cell in code_cells(notebook):
        cell.metadata["tags"] = [tag for tag in cell.metadata.get("tags", []) if tag != "raises-exception"]


def _long(notebook: NotebookNode) -> None:
    first = code_cells(notebook)[0]
    notebook.cells[:0] = [copy.deepcopy(first) for _ in range(CODE_CELLS_BELOW)]


def _left_running(notebook: NotebookNode) -> None:
    code_cells(notebook)[-1].source = "print('done')"


def _without_picture(notebook: NotebookNode) -> None:
    for cell in code_cells(notebook):
        # What the ranks plotted with matplotlib stays.
        cell.outputs = [output for output in cell.outputs if not output.get("metadata", {}).get("image/png")]


def _home_in_output(notebook: NotebookNode) -> None:
    printed = next(o for cell in code_cells(notebook) for o in cell.outputs if o.output_type == "stream")
    printed.text += "read /home/jane/models/x\n"


def _host_in_scene(notebook: NotebookNode) -> None:
    scenes = [o.data[key] for c in code_cells(notebook) for o in c.outputs for key in o.get("data", {})]
    next(scene for scene in scenes if isinstance(scene, dict))["alt"] = "2 ranks on janes-desk"


def _path_in_source(notebook: NotebookNode) -> None:
    code_cells(notebook)[0].source += '\nfolder = "/Users/jane/x"'


def _dead_link(notebook: NotebookNode) -> None:
    notebook.cells.append(new_markdown_cell("![a picture](images/missing.png)"))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_uncounted, "execution counts"),
        (_out_of_order, "execution counts"),
        (_ignored, "outputs; 1 may be"),
        (_ignored_by_comment, "outputs; 1 may be"),
        (_skipped, "skipped by nbval"),
        (_outputs_gone, "no outputs stored"),
        (_error_untold, "raises-exception"),
        (_long, "code cells"),
        (_left_running, "does not stop it"),
        (_without_picture, "no picture"),
        (_home_in_output, "'/home/jane'"),
        (_host_in_scene, "'janes-desk'"),
        (_path_in_source, "'/Users/jane'"),
        (_dead_link, "images/missing.png"),
    ],
    ids=lambda value: value.__name__.lstrip("_") if callable(value) else "",
)
def test_what_is_wrong_is_told(
    spoil: Callable[[NotebookNode], None], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each rule can be broken: the quickstart is in order, and a spoilt copy of it is not."""
    monkeypatch.setattr("socket.gethostname", lambda: "janes-desk")
    notebook = read(FOLDER / "00_quickstart.ipynb")
    assert complaints(notebook) == []
    spoil(notebook)
    assert any(told in complaint for complaint in complaints(notebook))


def test_links_that_are_looked_for() -> None:
    text = "[a](01_x.ipynb#cut) ![b](images/b%20c.png) [web](https://mlx.dev) [here](#top) <img src='d.png'>"
    assert links(text) == ["01_x.ipynb", "images/b c.png", "d.png"]
