"""The line of the user's program that runs, or that led to a call of the group."""

from __future__ import annotations

import linecache
import sys
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from kernelkit.rank import state

_SHOWN_SOURCE = 120


def line_of(code: CodeType, last_instruction: int) -> dict[str, Any]:
    """`line`, `source`, and `file` where it is not the running cell: of a place in the program."""
    name = code.co_filename
    number = state.shell.compile._filename_map.get(name)
    file = Path(name).name if number is None else "" if number == state.cell else f"In[{number}]"
    for start, end, line in code.co_lines():
        if start <= last_instruction < end and line is not None:
            source = linecache.getline(name, line).strip()
            cut = source if len(source) <= _SHOWN_SOURCE else f"{source[:_SHOWN_SOURCE]}…"
            return {"file": file, "line": line, "source": cut}
    return {"file": file, "line": 0, "source": ""}


def in_cell(frame: FrameType | None) -> FrameType | None:
    """The innermost frame that is a line of the user's cell."""
    cells = state.shell.compile._filename_map
    while frame is not None and frame.f_code.co_filename not in cells:
        frame = frame.f_back
    return frame


def caller() -> FrameType:
    """Where what calls this was called: the cell's line; of our own operations the line itself."""
    outer = sys._getframe(2)
    return outer if state.operation else in_cell(outer) or outer
