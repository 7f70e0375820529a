"""Notebooks run through papermill and `jupyter execute` as well, each to its last cell.

Every one of them is already run by nbval; here those that the syllabus says take less than
`QUICK_BELOW_S`, and all where `KERNELKIT_NOTEBOOKS=all` is set, as `make notebooks-check` does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import papermill
import pytest
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from tests.notebooks.stored import FOLDER, code_cells, read
from tests.notebooks.syllabus import lessons

QUICK_BELOW_S = 15
_ALL = os.environ.get("KERNELKIT_NOTEBOOKS") == "all"
_RUN = [FOLDER / each.file for each in lessons() if _ALL or each.seconds < QUICK_BELOW_S]

each_notebook = pytest.mark.parametrize("path", _RUN, ids=lambda path: path.stem)


def _errors(notebook: NotebookNode) -> list[tuple[int, str]]:
    """Cells, counted from 1, whose output is an error, and which."""
    return [
        (number, output.ename)
        for number, cell in enumerate(code_cells(notebook), start=1)
        for output in cell.outputs
        if output.output_type == "error"
    ]


def _assert_ran(path: Path, done: NotebookNode) -> None:
    """To its end, with the errors that are meant and no other."""
    stored = read(path)
    assert [cell.execution_count for cell in code_cells(done)] == [
        number for number, _ in enumerate(code_cells(stored), start=1)
    ]
    assert _errors(done) == _errors(stored)


@each_notebook
def test_papermill(path: Path, tmp_path: Path) -> None:
    """Papermill takes every error for a failure, also one that the notebook says is meant: then it runs all
    cells, writes the result, and raises."""
    out = tmp_path / path.name
    meant = _errors(read(path))
    with pytest.raises(PapermillExecutionError) if meant else nullcontext():
        papermill.execute_notebook(str(path), str(out), cwd=str(FOLDER), progress_bar=False)
    _assert_ran(path, read(out))


@each_notebook
def test_jupyter_execute(path: Path, tmp_path: Path) -> None:
    out = tmp_path / path.name
    argv = [sys.executable, "-m", "jupyter", "execute", "--timeout=120", f"--output={out}", str(path)]
    run = subprocess.run(argv, capture_output=True, text=True, timeout=280, check=False)
    assert run.returncode == 0, run.stderr[-3000:]
    _assert_ran(path, read(out))
