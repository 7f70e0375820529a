"""Chips, links and models to plan with, and what others have measured, each figure with its source.

`kk.catalog.chips()`, `.links()`, `.models()` and `.measurements()` show as tables and are looked up by key.
`kk.catalog.add(path)` reads a file of one's own beside them (see `own`).
"""

from __future__ import annotations

from pathlib import Path

from kernelkit.catalog.chips import Chip, chips
from kernelkit.catalog.find import find_model
from kernelkit.catalog.links import LinkKind, link_kind, links
from kernelkit.catalog.measurements import Measurement, measurements
from kernelkit.catalog.models import FileSize, ModelEntry, file_sizes, models
from kernelkit.catalog.nodes import Node, parse_nodes
from kernelkit.catalog.own import add_file

__all__ = [
    "Chip",
    "FileSize",
    "LinkKind",
    "Measurement",
    "ModelEntry",
    "Node",
    "add",
    "chips",
    "file_sizes",
    "find_model",
    "link_kind",
    "links",
    "measurements",
    "models",
    "parse_nodes",
]


def add(path: str | Path) -> None:
    """Read a JSON file of one's own from now on: `{"chips": [...], "links": [...], "models": [...]}`, any of
    them.

    Its entries have the fields of kernelkit's own (see `Chip`, `LinkKind`, `ModelEntry`) and replace those
    with their key.

    Raises:
        ArgumentError: it cannot be read, or an entry is not what it should be; the error names file, entry
            and field. Nothing of it is taken then.
    """
    add_file(Path(path).expanduser().resolve(), lambda: (chips(), links(), models()))
