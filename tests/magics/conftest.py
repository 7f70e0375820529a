"""A notebook's shell with the magics loaded, and a cluster behind it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import RichOutput, capture_output


@dataclass
class Ran:
    """What a cell did in the shell."""

    error: BaseException | None
    value: Any
    stdout: str
    stderr: str
    displays: list[RichOutput]

    @property
    def displayed(self) -> str:
        return "\n".join(output.data.get("text/plain", "") for output in self.displays)


class Notebook:
    """Runs cells as a notebook would."""

    def __init__(self) -> None:
        self.shell = InteractiveShell.instance()

    def run(self, cell: str) -> Ran:
        with capture_output() as captured:
            result = self.shell.run_cell(cell, store_history=True)
        error = result.error_before_exec or result.error_in_exec
        return Ran(error, result.result, captured.stdout, captured.stderr, captured.outputs)

    def show_error(self, cell: str) -> str:
        """What the user sees of a cell that fails."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            self.shell.run_cell(cell)
        return out.getvalue() + err.getvalue()


@pytest.fixture(scope="session")
def bare() -> Iterator[Notebook]:
    """No cluster yet."""
    notebook = Notebook()
    assert notebook.run("%load_ext kernelkit").error is None
    yield notebook
    notebook.run("%unload_ext kernelkit")


@pytest.fixture
def notebook(bare: Notebook) -> Notebook:
    """With two ranks that work."""
    cluster = bare.shell.meta.kernelkit[0].find()
    if cluster is None or cluster.state != "idle":
        bare.run("%cluster stop")
        assert bare.run("%cluster connect").error is None
    return bare
