"""What joins the GPUs of one host, by the matrix that `nvidia-smi topo -m` prints; pure."""

from __future__ import annotations

import re

_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")

GpuLinks = tuple[tuple[int, int, str], ...]


def parse_gpu_links(text: str) -> GpuLinks:
    """`(a, b, how)` of every two GPUs, the lower first; `how` as the tool says it: `NV18`, `SYS`.

    Args:
        text: what the tool printed; empty, or without such a matrix, where there are no two GPUs.
    """
    rows = [line.split() for line in _ESCAPE.sub("", text).splitlines() if re.match(r"GPU\d+\s", line)]
    rows = [row for row in rows if "X" in row]  # not the columns' names
    found = []
    for a, row in enumerate(rows):
        for b, how in enumerate(row[1 : len(rows) + 1]):
            if a < b and how != "X":
                found.append((a, b, how))
    return tuple(found)
