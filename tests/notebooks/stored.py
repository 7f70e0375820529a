"""What a notebook promises in the form that it is stored in; nothing is run here."""

from __future__ import annotations

import getpass
import re
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import nbformat
from nbformat import NotebookNode
from nbval.plugin import find_comment_markers, find_metadata_tags

from kernelkit.views.picture import MIME

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

CODE_CELLS_BELOW = 20
# Folders that only one machine has, at the start of a path.
_OWN_PATH = re.compile(
    r"(?<![\w.:/])/(?:home|Users|root|work|tmp|var|private|opt|srv|mnt)/[\w.~-]+|[A-Z]:\\Users\\|file://"
)
# Names that many machines and users have say nothing about one.
_COMMON = {"localhost", "root", "user", "runner"}
_LINK = re.compile(r"\]\(\s*<?([^)\s>]+)|<(?:img|a)\s[^>]*?(?:src|href)=[\"']([^\"']+)", re.IGNORECASE)
_CONNECTS = re.compile(r"^\s*%cluster connect|(?<!with kk)(?<!with kernelkit)\.connect\(", re.MULTILINE)


def read(path: Path) -> NotebookNode:
    """The notebook, in nbformat 4."""
    return nbformat.read(path, as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """In order."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def options(cell: NotebookNode) -> dict[str, bool]:
    """What nbval is told about a cell, by tags or comments, as nbval reads them itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return {**dict(find_metadata_tags(cell.metadata) or ()), **dict(find_comment_markers(cell.source))}


def complaints(notebook: NotebookNode, folder: Path = FOLDER) -> list[str]:
    """All that is wrong with a stored notebook, one sentence each; empty if it is in order.

    Args:
        folder: where it lies; its links start there.
    """
    checks = (_never_run, _not_checked, _too_long, _left_running, _without_picture, _own_names)
    found = [complaint for check in checks for complaint in check(notebook)]
    return found + list(_dead_links(notebook, folder))


def _never_run(notebook: NotebookNode) -> Iterator[str]:
    """nbval passes what was never run, and cells whose outputs it ignores also when they are gone."""
    cells = code_cells(notebook)
    counts = [cell.execution_count for cell in cells]
    if counts != list(range(1, len(cells) + 1)):
        yield f"execution counts are {counts}, not 1 to {len(cells)} in order"
    for number, cell in enumerate(cells, start=1):
        told = options(cell)
        kinds = [output.output_type for output in cell.outputs]
        if told.get("check") is False and not kinds:
            yield f"cell {number} is ignored by nbval, and has no outputs stored"
        if ("error" in kinds) != told.get("check_exception", False):
            yield f"cell {number}: a stored error and the tag raises-exception go together"


def _not_checked(notebook: NotebookNode) -> Iterator[str]:
    """Only true timings may differ from run to run: a tenth of the cells with outputs, or one."""
    told = [options(cell) for cell in code_cells(notebook) if cell.outputs]
    ignored = sum(each.get("check") is False for each in told)
    allowed = max(1, len(told) // 10)
    if ignored > allowed:
        yield f"nbval ignores {ignored} of {len(told)} outputs; {allowed} may be"
    if any(options(cell).get("skip") for cell in code_cells(notebook)):
        yield "a cell is skipped by nbval"


def _too_long(notebook: NotebookNode) -> Iterator[str]:
    count = len(code_cells(notebook))
    if count >= CODE_CELLS_BELOW:
        yield f"{count} code cells; a lesson has fewer than {CODE_CELLS_BELOW}"


def _left_running(notebook: NotebookNode) -> Iterator[str]:
    cells = code_cells(notebook)
    if not any(_CONNECTS.search(cell.source) for cell in cells):
        return
    if not re.search(r"^%cluster stop|\.stop\(\)", cells[-1].source, re.MULTILINE):
        yield "it connects a cluster, and its last code cell does not stop it"


def _without_picture(notebook: NotebookNode) -> Iterator[str]:
    """One of kernelkit's own views: a scene, or an image with the words that a view gives it."""
    shown = [output for cell in code_cells(notebook) for output in cell.outputs if "data" in output]
    own = [MIME in each.data or "alt" in each.metadata.get("image/png", {}) for each in shown]
    if not any(own):
        yield "no picture by kernelkit's own views is stored in it"


def _own_names(notebook: NotebookNode) -> Iterator[str]:
    """Of the machine that it was run on, as far as this machine can tell."""
    names = {socket.gethostname(), socket.gethostname().split(".")[0], getpass.getuser()} - _COMMON
    named = re.compile(r"\b(?:" + "|".join(map(re.escape, sorted(names))) + r")\b") if names else None
    for number, cell in enumerate(notebook.cells):
        for text in (cell.source, *(each for output in cell.get("outputs", []) for each in _texts(output))):
            for pattern in filter(None, (_OWN_PATH, named)):
                if hit := pattern.search(text):
                    yield f"cell {number} (of all) tells {hit[0]!r}, which is this machine's own"


def _texts(value: Any) -> Iterator[str]:
    """All text in an output, down to the words of a scene; not the bytes of pictures."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            if not str(key).startswith("image/"):
                yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _dead_links(notebook: NotebookNode, folder: Path) -> Iterator[str]:
    for cell in notebook.cells:
        if cell.cell_type != "markdown":
            continue
        for target in links(cell.source):
            if target.startswith("attachment:"):
                if target.removeprefix("attachment:") not in cell.get("attachments", {}):
                    yield f"the attachment {target} is missing"
            elif not (folder / target).exists():
                yield f"the link {target} leads nowhere"


def links(markdown: str) -> list[str]:
    """Links and pictures that lie beside the text: neither of the web nor its own headings."""
    found = [unquote(next(filter(None, groups))).partition("#")[0] for groups in _LINK.findall(markdown)]
    return [target for target in found if target and not re.match(r"(?:https?|mailto):", target)]
