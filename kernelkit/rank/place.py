"""A place in a group that there is not: all that mlx-lm asks of one to deal out layers or to cut them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """A rank and a size, without peers.

    Attributes:
        index: the rank.
        places: how many there are.
    """

    index: int
    places: int

    def rank(self) -> int:
        return self.index

    def size(self) -> int:
        return self.places
