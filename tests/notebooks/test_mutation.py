"""nbval really compares: a stored number that is changed makes it fail, in text and in a picture's data."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import nbformat
from nbformat import NotebookNode

from kernelkit.hosts.naming import VARIABLE
from kernelkit.views.picture import MIME
from tests.notebooks.stored import FOLDER, read

# Of the quickstart, so that it takes a few seconds: a picture, an output in text, and what they need.
_KEPT = ("%load_ext", "%cluster", "%model load austen", "%%sharded\nprint", "%sharded mx")


def _excerpt() -> NotebookNode:
    notebook = read(FOLDER / "00_quickstart.ipynb")
    notebook.cells = [cell for cell in notebook.cells if cell.source.startswith(_KEPT)]
    return notebook


def _change_numbers(notebook: NotebookNode) -> list[int]:
    """Change one number in each of two cells; returns which cells, counted as nbval does."""
    [sums] = [n for n, cell in enumerate(notebook.cells) if "all_sum" in cell.source]
    result = notebook.cells[sums].outputs[-1].data
    assert "16" in result["text/plain"]
    result["text/plain"] = result["text/plain"].replace("16", "17")
    [load] = [n for n, cell in enumerate(notebook.cells) if cell.source.startswith("%model")]
    whole = notebook.cells[load].outputs[-1].data[MIME]["scene"]["maps"][0]["before"][0]
    assert whole["shape"] == [4096, 320]
    whole["shape"] = [4096, 321]
    return sorted((load, sums))


def test_a_changed_number_makes_nbval_fail(tmp_path: Path) -> None:
    """Both copies in one run of nbval: the unchanged one passes, the other fails in just those cells."""
    notebook = _excerpt()
    nbformat.write(notebook, tmp_path / "as_stored.ipynb")
    changed = _change_numbers(notebook)
    nbformat.write(notebook, tmp_path / "changed.ipynb")
    verdicts = tmp_path / "verdicts.xml"
    argv = [sys.executable, "-m", "pytest", "--nbval", "--nbval-cell-timeout=60", "-p", "no:cacheprovider"]
    argv += [f"--rootdir={tmp_path}", f"--junitxml={verdicts}", "-c", os.devnull, str(tmp_path)]
    env = {**os.environ, VARIABLE: "localhost"}
    run = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=200, check=False)
    tried = list(ElementTree.parse(verdicts).iter("testcase"))
    failed = [(each.get("classname"), each.get("name")) for each in tried if len(each)]
    assert len(tried) == 2 * len(notebook.cells), run.stdout[-3000:]
    assert failed == [("changed.ipynb", f"Cell {cell}") for cell in changed], run.stdout[-3000:]
    # Of the verdicts, not of what is printed: with CI set, pytest's summary repeats every message.
    reasons = [failure.get("message", "") for each in tried for failure in each]
    assert ["Cell outputs differ" in reason for reason in reasons] == [True] * len(changed), reasons
