"""Whose heads: a rank's share of the attention heads, read from the rows of its projections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kernelkit.sharding.pieces import COLUMN, Parameter


class Share(NamedTuple):
    """The heads of a rank.

    Attributes:
        start, end: it has the heads `[start, end)`.
        padded: so many of zeros beside them.
        held: places of heads that are not of zeros; more than `end - start` where one stands several times.
        repeated: of these, how many hold a head that stands before, here or on another rank.
    """

    start: int
    end: int
    padded: int = 0
    held: int = 0
    repeated: int = 0


def share(
    parameters: Sequence[Parameter], rank: int, heads: int | None, names: Sequence[str]
) -> Share | None:
    """Which heads a rank has.

    Args:
        heads: of a whole layer.
        names: of the projection whose rows are those of the heads.

    Returns:
        None where the number of heads or the projection is not known.
    """
    projection = _find(parameters, names, rank)
    if heads is None or projection is None:
        return None
    if projection.cut != COLUMN or projection.axis is None:
        return Share(0, heads, held=heads)
    axis = projection.axis
    rows = projection.shape[axis]
    real = [piece.shape[axis] - piece.padding for piece in projection.pieces]
    at = [piece.rank for piece in projection.pieces].index(rank)
    # Where there are fewer KV heads than parts of the model, each stands so many times in a row.
    run = rows * (sum(real) // rows)
    before, through = sum(real[:at]), sum(real[: at + 1])
    start, end = before * heads // run, -(-through * heads // run)
    piece = projection.pieces[at]
    padded, held, repeated = (size * heads // rows for size in (piece.padding, real[at], piece.repeated))
    return Share(start, end if held else start, padded, held, repeated)


def _find(parameters: Sequence[Parameter], names: Sequence[str], rank: int) -> Parameter | None:
    """The first such projection; in a hybrid, of the rank's own layers."""
    endings = tuple(f".{name}.weight" for name in names)
    found = [parameter for parameter in parameters if parameter.path.endswith(endings)]
    own = (parameter for parameter in found if parameter.piece(rank) is not None)
    return next(own, None) or (found[0] if found and found[0].cut != COLUMN else None)
