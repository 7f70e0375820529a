"""Whether a blocked line of Python stands in a call of MLX, from the line itself.

`sys._current_frames` says at which instruction a thread is, and the instruction at which columns of the
source. Where a name in that piece of source stands for something of MLX (`mx.eval(y)`, `y.item()`,
`print(loss)`, `np.array(y)`), the thread is inside MLX; in `time.sleep(9)` it is not.
"""

from __future__ import annotations

import ast
import builtins
import itertools
import linecache
from types import FrameType, ModuleType
from typing import Any

import mlx.core as mx

from kernelkit.rank import agree, ledger

_LOOKED_AT = 8  # items of a container


def in_mlx(leaf: FrameType) -> bool:
    """Whether the innermost Python frame of a thread stands in a call that concerns MLX.

    An answer for people and for patience, not for correctness: a name can be shadowed in ways that only
    running it would show.
    """
    if leaf.f_code.co_filename in (agree.__file__, ledger.__file__):
        return True
    try:
        tree = ast.parse(f"({_source(leaf)})", mode="eval")
    except (SyntaxError, ValueError):
        return False
    return any(_is_mlx(_value(node, leaf)) for node in ast.walk(tree))


def _source(frame: FrameType) -> str:
    """The piece of source that the frame's current instruction was compiled from."""
    code = frame.f_code
    positions = next(itertools.islice(code.co_positions(), frame.f_lasti // 2, None), None)
    if positions is None:
        return ""
    line, end_line, column, end_column = positions
    if line is None or end_line is None:
        return ""
    lines = [linecache.getline(code.co_filename, i).encode() for i in range(line, end_line + 1)]
    if not lines:
        return ""
    lines[-1] = lines[-1][:end_column]  # columns count bytes of UTF-8
    lines[0] = lines[0][column:]
    return b"".join(lines).decode(errors="replace")


def _value(node: ast.AST, frame: FrameType) -> Any:
    """What a name or a dotted name stands for, without running anything of the user's."""
    if isinstance(node, ast.Name):
        for scope in (frame.f_locals, frame.f_globals, vars(builtins)):
            if node.id in scope:
                return scope[node.id]
    elif isinstance(node, ast.Attribute):
        owner = _value(node.value, frame)
        if isinstance(owner, ModuleType) or hasattr(owner, "__dict__"):
            return vars(owner).get(node.attr)
    return None


def _is_mlx(value: Any) -> bool:
    if isinstance(value, ModuleType):
        return value.__name__.split(".")[0] == "mlx"
    if isinstance(value, list | tuple):
        return any(isinstance(item, mx.array) for item in value[:_LOOKED_AT])
    if isinstance(value, dict):
        return any(isinstance(item, mx.array) for item in itertools.islice(value.values(), _LOOKED_AT))
    return type(value).__module__.split(".")[0] == "mlx"
