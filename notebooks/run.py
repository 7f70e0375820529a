"""Run notebooks without a screen: progress while they run, then what they did and where it lies."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter
from nbformat import NotebookNode

from kernelkit.hosts.naming import VARIABLE as HOST_NAME

_CELL_TIMEOUT_S = 600
_SUMMARY_TAG = "demo-summary"
_IGNORED_TAG = "nbval-ignore-output"
_ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("notebooks", nargs="+", type=Path)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--out", type=Path, help="folder for the executed notebook and its HTML page")
    where.add_argument("--in-place", action="store_true", help="store the outputs in the notebook itself")
    args = parser.parse_args()
    if args.in_place:  # what is stored is for others to read, whatever this machine is called
        os.environ[HOST_NAME] = "localhost"
    for path in args.notebooks:
        notebook = nbformat.read(path, as_version=4)
        print(f"running {path}")
        failure = execute(notebook, path.parent)
        if failure is not None and args.in_place:
            print(f"{path} is left as it was", file=sys.stderr)
        else:
            if args.in_place:
                shorten_paths(notebook)
            written = store(notebook, path, args.out)
        if failure is not None:
            print(failure, file=sys.stderr)
            return 1
        print_summary(notebook)
        print("\n".join(f"  {file}" for file in written))
    return 0


def execute(notebook: NotebookNode, folder: Path) -> str | None:
    """Run every cell, with a line for each; returns what failed, or None."""
    client = NotebookClient(notebook, timeout=_CELL_TIMEOUT_S, resources={"metadata": {"path": str(folder)}})
    codes = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
    with client.setup_kernel():
        for number, index in enumerate(codes, 1):
            cell = notebook.cells[index]
            title = cell.source.strip().splitlines()[0][:60]
            print(f"  [{number:2}/{len(codes)}] {title:<60}", end=" ", flush=True)
            started_s = time.perf_counter()
            try:
                client.execute_cell(cell, index, execution_count=number)
            except CellExecutionError as error:
                print("failed")
                return str(error)
            print(f"{time.perf_counter() - started_s:6.1f} s")
            cell.metadata.pop("execution", None)  # times of day: not the same from run to run
    return None


def shorten_paths(notebook: NotebookNode) -> None:
    """Paths of this checkout and its Python start at the checkout, where nbval does not compare them."""

    def shortened(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace(f"{sys.prefix}/", ".venv/").replace(f"{_ROOT}/", "")
        if isinstance(value, list):
            return [shortened(each) for each in value]
        return {key: shortened(each) for key, each in value.items()} if isinstance(value, dict) else value

    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "traceback" in output:
                output["traceback"] = shortened(output["traceback"])
            elif _IGNORED_TAG in cell.metadata.get("tags", []):
                output.update(shortened(dict(output)))


def store(notebook: NotebookNode, path: Path, out: Path | None) -> list[Path]:
    """Write the executed notebook, and beside it the HTML page where a folder is given."""
    if out is None:
        nbformat.write(notebook, path)
        return [path]
    out.mkdir(parents=True, exist_ok=True)
    executed = out / path.name
    nbformat.write(notebook, executed)
    page = executed.with_suffix(".html")
    page.write_text(HTMLExporter().from_notebook_node(notebook)[0], encoding="utf-8")
    return [executed, page]


def print_summary(notebook: NotebookNode) -> None:
    """The text that the notebook itself gives as its summary."""
    for cell in notebook.cells:
        if _SUMMARY_TAG in cell.metadata.get("tags", []):
            print("\n" + "".join(output.get("text", "") for output in cell.outputs).rstrip())


if __name__ == "__main__":
    sys.exit(main())
