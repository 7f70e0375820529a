"""Lists of ranks as people write them: `0,2-3`."""

from __future__ import annotations

import re

from kernelkit.errors import ArgumentError


def parse_ranks(text: str, world_size: int) -> list[int]:
    """`('0,2-3', 4) -> [0, 2, 3]`, sorted and without repeats.

    Raises:
        ArgumentError: it is no such list, or names a rank that the cluster does not have.
    """
    valid = f"ranks 0 to {world_size - 1}, such as 0 or 0,2-3" if world_size > 1 else "rank 0, the only one"
    ranks: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,9})\s*(?:-\s*(\d{1,9})\s*)?", part, re.ASCII)
        if match is None:
            raise ArgumentError("this is not a list of ranks", expected=valid, got=repr(text))
        first = int(match[1])
        last = int(match[2]) if match[2] else first
        if first > last or last >= world_size:
            raise ArgumentError(
                "the cluster has no such ranks",
                expected=valid,
                got=repr(text),
                cure=f"it has {world_size} rank{'s' if world_size > 1 else ''}; %cluster status lists them",
            )
        ranks.update(range(first, last + 1))
    return sorted(ranks)
