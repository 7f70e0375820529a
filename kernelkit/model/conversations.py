"""Which conversations' caches the ranks hold, and which of them can be gone on from.

It is decided here and told to the ranks with each request, so that all of them keep the same: a rank that
dropped a cache by itself would read another number of tokens than the others, and they would wait for it for
ever.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

# More conversations than that at once are rare, and each holds memory on every rank.
KEPT = 4


class Conversations:
    """The caches that the ranks of one loaded model hold, by name of the conversation."""

    def __init__(self) -> None:
        self._settled: OrderedDict[str, tuple[str, bool]] = OrderedDict()
        self._dropped = False

    @property
    def names(self) -> list[str]:
        """Those that the ranks are to keep, least recently used first."""
        return list(self._settled)

    @property
    def is_stale(self) -> bool:
        """Whether the ranks hold caches that nobody wants any more."""
        return self._dropped

    def begin(self, name: str) -> dict[str, Any]:
        """What to tell the ranks of a conversation that goes on.

        Until `settle`, which does not come after an error, its cache counts as lost.
        """
        after, can_trim = self._settled.pop(name, ("", False))
        while len(self._settled) >= KEPT:
            self._settled.popitem(last=False)
            self._dropped = True
        return {"name": name, "after": after, "can_trim": can_trim}

    def settle(self, name: str, generation: str, *, can_trim: bool) -> None:
        """Every rank holds what `generation` left."""
        self._settled[name] = (generation, can_trim)

    def drop(self, name: str) -> None:
        """Nobody wants this one any more; the ranks are told before they next generate."""
        # Called by the garbage collector as well, at any moment: no request may go out from here.
        self._settled.pop(name, None)
        self._dropped = True

    def told(self) -> None:
        """The ranks hold what `names` says."""
        self._dropped = False
