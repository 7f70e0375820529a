"""The shard map: layers down, ranks across, and in each cell what that rank holds of that layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kernelkit.errors import ArgumentError
from kernelkit.perf.result import Plan
from kernelkit.sharding.shardmap import ShardMap
from kernelkit.tables import text_table
from kernelkit.units import format_bytes
from kernelkit.views.picture import Picture
from kernelkit.views.shardmap_scene import Matrix
from kernelkit.views.shardmap_scene import scene as scene
from kernelkit.views.shardmap_words import ADDED, by_ranks, layer_numbers, notes, shape_text


def shard_map(*maps: ShardMap | Plan, titles: Sequence[str] = ()) -> Picture:
    """Draw which rank holds what of a model.

    Args:
        maps: one, or a plan with one, or several to compare: planned beside real, tensor beside pipeline.
            Maps of the same strategy share one scale.
        titles: one for each map, in place of model, strategy and ranks.

    Raises:
        ArgumentError: no map, something else in place of one, one without parameters, or another number of
            titles.
    """
    found = [each.shards if isinstance(each, Plan) else each for each in maps]
    if not found:
        raise ArgumentError(
            "there is no shard map to draw", expected="one ShardMap or more", cure="model.shards"
        )
    for each in found:
        if not isinstance(each, ShardMap):
            got = type(each).__name__
            raise ArgumentError("this is no shard map", expected="a ShardMap", got=got, cure="model.shards")
        if not each.parameters:
            raise ArgumentError("a shard map without parameters cannot be drawn", got=each.model or "no name")
    if isinstance(titles, str) or not all(isinstance(title, str) for title in titles):
        raise ArgumentError("titles are texts", expected="a list of them", got=repr(titles)[:80])
    if titles and len(titles) != len(maps):
        got = f"{len(titles)} titles, {len(maps)} maps"
        raise ArgumentError("each map needs its title", expected="as many titles as maps", got=got)
    drawn = scene(found, titles)
    return Picture("shardmap", drawn, text(drawn), alt(drawn))


def text(scene: dict[str, Any]) -> str:
    """Two tables per map: a row per rank, and a row per matrix of each kind of layer."""
    return "\n\n".join(_text(drawn) for drawn in scene["maps"])


def alt(scene: dict[str, Any]) -> str:
    """The pictures in a sentence each."""
    return " ".join(_alt(drawn) for drawn in scene["maps"])


def _alt(drawn: dict[str, Any]) -> str:
    ranks = "; ".join(f"rank {rank['rank']} holds {_held(rank)}" for rank in drawn["ranks"])
    what = ", ".join([*notes(drawn), f"{len(drawn['layers'])} layers down"])
    return f"{drawn['title']}: {what}, ranks across; {ranks}."


def _held(rank: dict[str, Any]) -> str:
    """`"heads 6–8 of 9 + 3 of zeros, 279 KB, 65.5 KB of it padding"`."""
    added = [f"{format_bytes(size)} of it {what}" for what in ADDED if (size := rank[f"{what}_bytes"])]
    return ", ".join(filter(None, (rank["label"], format_bytes(rank["size_bytes"]), *added)))


def _text(drawn: dict[str, Any]) -> str:
    parts = [", ".join([drawn["title"], *notes(drawn)]), _rank_table(drawn)]
    runs = [("before the layers", drawn["before"])]
    runs += [(layer_numbers(drawn["layers"], kind), matrices) for kind, matrices in enumerate(drawn["kinds"])]
    runs += [("after the layers", drawn["after"])]
    rows = [(where, *_matrix_row(m)) for where, matrices in runs for m in matrices]
    # A heading once, over the rows that it is for.
    rows = [("" if i and rows[i - 1][0] == row[0] else row[0], *row[1:]) for i, row in enumerate(rows)]
    columns = ["where", "matrix", "shape", "per rank", "cut", "then", "bits", "bytes per rank"]
    return "\n".join([*parts, "", text_table(columns, rows)])


def _rank_table(drawn: dict[str, Any]) -> str:
    repeated = any(rank["repeated_bytes"] for rank in drawn["ranks"])
    rows = [
        (
            str(rank["rank"]),
            ", ".join(filter(None, (rank["label"], rank["kv_label"] if repeated else ""))),
            format_bytes(rank["size_bytes"]),
            format_bytes(rank["cut_bytes"]["replicated"]),
            format_bytes(rank["padding_bytes"]),
            *([format_bytes(rank["repeated_bytes"])] if repeated else []),
        )
        for rank in drawn["ranks"]
    ]
    columns = ["rank", "holds", "bytes", "replicated", "padding", *(["repeated"] if repeated else [])]
    return text_table(columns, rows)


def _shape(share: dict[str, Any]) -> str:
    """`"(384, 576) (192 padding)"`."""
    added = [f"{share[what]} {what}" for what in ADDED if share[what]]
    return shape_text(share["shape"]) + (f" ({', '.join(added)})" if added else "")


def _matrix_row(matrix: Matrix) -> tuple[str, ...]:
    held = {rank: matrix["shares"][i] for rank, i in enumerate(matrix["share_of"]) if i >= 0}
    shapes = by_ranks({rank: _shape(share) for rank, share in held.items()}, named=False)
    sizes = by_ranks({rank: format_bytes(s["size_bytes"]) for rank, s in held.items()}, named=False)
    bits = str(matrix["bits"]) if matrix["bits"] else matrix["dtype"]
    then = matrix["collective"]
    return (
        matrix["module"],
        shape_text(matrix["shape"]),
        " | ".join(shapes),
        matrix["cut"],
        then,
        bits,
        " | ".join(sizes),
    )
