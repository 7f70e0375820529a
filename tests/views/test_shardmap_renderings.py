"""A shard map as text, as an image and on a page: titles, words that do not overlap, and the same facts."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from kernelkit.errors import ArgumentError
from kernelkit.sharding.shape import planned_shards
from kernelkit.sharding.shardmap import ShardMap
from kernelkit.units import format_bytes
from kernelkit.views import shard_map, shardmap_png
from kernelkit.views.modules import STATIC
from kernelkit.views.shardmap_words import shape_text
from tests.sharding.configs import FOUR_BITS, SMALL_LLAMA
from tests.views import samples
from tests.views.shardmaps import REPEATED, words_of
from tests.views.test_kit import needs_node, node


def test_text_is_a_small_stable_table() -> None:
    shards = planned_shards(SMALL_LLAMA, 2, model="models/tiny", quantization=FOUR_BITS)
    lines = shard_map(shards).text.splitlines()
    assert lines[0] == "tiny, tensor parallel on 2 ranks, planned, 4-bit in groups of 32, bfloat16"
    assert lines[4].split("zeros")[0].split() == ["1", "heads", "6–8", "of", "9", "+", "3", "of"]
    assert lines[4].split("zeros")[1].split() == _amounts(shards, 1)
    assert len(lines) == 20  # title, ranks, and a row per matrix of one layer and of both ends
    query = next(line for line in lines if "q_proj" in line)
    cut = "(576, 576)  0: (384, 576) | 1: (384, 576) (192 padding)  column  4  138 KB"
    assert re.split(r"\s{2,}", query)[2:] == cut.split("  ")
    again = planned_shards(
        {**SMALL_LLAMA, "num_hidden_layers": 50}, 2, model="models/tiny", quantization=FOUR_BITS
    )
    assert len(shard_map(again).text.splitlines()) == len(lines)


def _amounts(shards: ShardMap, rank: int) -> list[str]:
    replicated = sum(p.pieces[rank].size_bytes for p in shards.parameters if p.cut == "replicated")
    amounts = [shards.size_bytes(rank), replicated, shards.padding_bytes(rank)]
    return [word for amount in amounts for word in format_bytes(amount).split()]


def test_several_maps_each_with_its_title() -> None:
    planned = samples.shard_map(2)
    real = replace(
        planned_shards({**SMALL_LLAMA, "num_hidden_layers": 16}, 2, dtype="float32"), planned=False
    )
    picture = shard_map(planned, real, titles=["as planned", "as it is"])
    assert [each["title"] for each in picture.scene["maps"]] == ["as planned", "as it is"]
    assert [each["planned"] for each in picture.scene["maps"]] == [True, False]
    assert "as planned, planned" in picture.text
    assert "as it is: real, float32, 16 layers down" in picture.alt


def test_no_map_and_missing_titles_are_refused() -> None:
    with pytest.raises(ArgumentError, match="no shard map"):
        shard_map()
    with pytest.raises(ArgumentError, match="needs its title"):
        shard_map(samples.shard_map(2), titles=["one", "two"])
    with pytest.raises(ArgumentError, match="without parameters"):
        shard_map(replace(samples.shard_map(2), parameters=()))


@pytest.mark.parametrize("titles", ["t", [5], ["one", "two"]])
def test_titles_that_are_none_are_refused(titles: Any) -> None:
    with pytest.raises(ArgumentError, match="title"):
        shard_map(samples.shard_map(2, 4), titles=titles)


def test_what_has_a_shard_map_is_none() -> None:
    with pytest.raises(ArgumentError) as caught:
        shard_map(object())  # type: ignore[arg-type]
    assert (caught.value.got, caught.value.cure) == ("object", "model.shards")


@pytest.mark.parametrize("name", ["cost $5", "$x^2$", r"$\nothing$ {"])
def test_a_dollar_sign_begins_no_formula(name: str) -> None:
    figure = shard_map(planned_shards(SMALL_LLAMA, 2, model=name)).figure()
    figure.draw_without_rendering()
    assert [words for words in words_of(figure) if words.startswith(name)]
    assert not any(text.get_parse_math() for text in figure.findobj(Text) if text.get_text())  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("ranks", "layers", "strategy"), [(2, 16, "tensor"), (8, 128, "tensor"), (4, 30, "pipeline")]
)
def test_the_static_twin_has_the_same_facts(ranks: int, layers: int, strategy: str) -> None:
    shards = samples.shard_map(ranks, layers, strategy)
    scene = shard_map(shards).scene
    figure = shardmap_png.figure(scene)
    words = words_of(figure)
    for rank in range(ranks):
        assert f"rank {rank}" in words
        assert format_bytes(shards.size_bytes(rank)) in words
    assert {"q", "k", "v", "o", "gate", "up", "down", "embed", str(layers - 1)} <= set(words)
    for matrix in scene["maps"][0]["kinds"][0]:
        assert shape_text(matrix["shape"]) in words
        for share in matrix["shares"] if matrix["cut"] in ("column", "row") else ():
            assert f"→ {shape_text(share['shape'])}" in words
    assert words.count("all_sum") == (2 if strategy == "tensor" else 0)
    assert any("padding" in each for each in words) == bool(shards.padding_bytes(ranks - 1))


@pytest.mark.parametrize("strategy", ["tensor", "pipeline"])
@pytest.mark.parametrize("ranks", [2, 4, 8])
def test_words_of_the_static_twin_do_not_overlap(ranks: int, strategy: str) -> None:
    check_words(shard_map(samples.shard_map(ranks, 80, strategy), samples.shard_map(ranks, 80)).figure())


@pytest.mark.parametrize("split", [[2, 1, 1], [5, 4, 3, 2, 1]])
def test_nor_do_they_where_shares_are_uneven(split: list[int]) -> None:
    shards = planned_shards(
        {**SMALL_LLAMA, "num_hidden_layers": 40}, len(split), split=split, quantization=FOUR_BITS
    )
    check_words(shard_map(shards).figure())
    check_words(shard_map(shards, REPEATED).figure())


@pytest.mark.filterwarnings("ignore:Glyph")  # boxes are drawn where matplotlib's font has no letter
@pytest.mark.parametrize(
    "name", ["Qwen3-Next-80B-A3B-Instruct-4bit", "a-name-" * 20, "one two three " * 9, "日本 語 " * 9]
)
def test_nor_do_they_where_a_name_is_long(name: str) -> None:
    shards = replace(samples.shard_map(2, 12), model=name)
    check_words(shard_map(shards).figure())
    check_words(shard_map(samples.shard_map(2, 12), shards).figure())


@pytest.mark.parametrize("strategy", ["tensor", "pipeline"])
def test_nor_do_they_where_ranks_are_many(strategy: str) -> None:
    check_words(shard_map(planned_shards(SMALL_LLAMA | {"num_hidden_layers": 64}, 64, strategy)).figure())


def check_words(figure: Figure) -> None:
    """No text lies on another or beyond the edge."""
    figure.draw_without_rendering()
    texts = [text for text in figure.findobj(Text) if text.get_text()]  # type: ignore[union-attr]
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts]  # type: ignore[union-attr]
    frame = figure.bbox
    for i, (words, box) in enumerate(boxes):
        assert min(box.x0 - frame.x0, frame.x1 - box.x1, box.y0 - frame.y0, frame.y1 - box.y1) >= -1, words
        for others, other in boxes[:i]:
            across = min(box.x1, other.x1) - max(box.x0, other.x0)
            down = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert across <= 1 or down <= 2.5, f"{words} / {others}"


@needs_node
@pytest.mark.parametrize("strategy", ["tensor", "pipeline"])
def test_the_page_reads_the_scene(strategy: str) -> None:
    """Every byte that is drawn to scale comes back from the page's own geometry, by rank and by look."""
    shards = planned_shards({**SMALL_LLAMA, "num_key_value_heads": 1}, 4, strategy, quantization=FOUR_BITS)  # type: ignore[arg-type]
    scene = shard_map(shards).scene
    geometry = (STATIC / "shardmap_geometry.js").as_uri()
    script = f"""
        import {{ allHeights, cellOf, fullBytes, gridOf }} from "{geometry}";
        const {{ maps }} = {json.dumps(scene)};
        const grid = gridOf(maps[0], {{ width: 700, heights: allHeights(maps)[0],
          full: fullBytes(maps, maps[0].strategy), headerLines: 4 }});
        const found = {{ bytes: [0, 0, 0, 0], padding: [0, 0, 0, 0], repeated: [0, 0, 0, 0] }};
        for (const row of grid.rows) {{
          found.bytes.forEach((_, rank) => {{
            for (const part of cellOf(grid, row, rank)?.segments ?? []) {{
              found.bytes[rank] += part.bytes;
              found.padding[rank] += part.width ? (part.bytes * part.padding) / part.width : 0;
              found.repeated[rank] += part.width ? (part.bytes * part.repeated) / part.width : 0;
            }}
          }});
        }}
        console.log(JSON.stringify(found));"""
    vectors = [p for p in shards.parameters if len(p.shape) < 2]
    small = [
        sum(piece.size_bytes for p in vectors for piece in p.pieces if piece.rank == rank)
        for rank in range(4)
    ]
    found = json.loads(node("--input-type=module", "--eval", script))
    assert found["bytes"] == [shards.size_bytes(rank) - small[rank] for rank in range(4)]
    for what in ("padding", "repeated"):
        assert found[what] == pytest.approx([getattr(shards, f"{what}_bytes")(rank) for rank in range(4)])
    assert (sum(found["padding"]) > 0) == (sum(found["repeated"]) > 0) == (strategy == "tensor")
