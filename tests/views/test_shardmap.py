"""The picture of a shard map: its scene adds up to the map, and all three forms say the same."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kernelkit.sharding.shape import planned_shards
from kernelkit.sharding.shardmap import ShardMap
from kernelkit.views import shard_map
from kernelkit.views.shardmap_png_grid import parts_of
from kernelkit.views.shardmap_words import is_embedding, layer_numbers, short_names
from tests.sharding.configs import FOUR_BITS, SMALL_LLAMA
from tests.views import samples
from tests.views.shardmaps import REPEATED, words_of

maps = st.builds(
    lambda ranks, layers, kv_heads, strategy, packing: planned_shards(
        {**SMALL_LLAMA, "num_hidden_layers": max(layers, ranks), "num_key_value_heads": kv_heads},
        ranks,
        strategy,
        "a model",
        quantization=packing,
    ),
    st.integers(1, 4),
    st.integers(1, 9),
    st.sampled_from([1, 3]),
    st.sampled_from(["tensor", "pipeline"]),
    st.sampled_from(
        [None, FOUR_BITS, {**FOUR_BITS, "model.layers.0.mlp.up_proj": {"bits": 8, "group_size": 32}}]
    ),
)


def drawn(shards: ShardMap) -> dict[str, Any]:
    found: dict[str, Any] = shard_map(shards).scene["maps"][0]
    return found


def held(matrix: dict[str, Any], rank: int, owner: int | None = None) -> dict[str, Any] | None:
    """A rank's share of a matrix, read as the pages read it."""
    column = rank if owner is None else 0 if rank == owner else None
    index = -1 if column is None else matrix["share_of"][column]
    share: dict[str, Any] | None = matrix["shares"][index] if index >= 0 else None
    return share


def rows(scene: dict[str, Any]) -> list[tuple[list[dict[str, Any]], int | None]]:
    """The matrices of each row from the top, and who owns it alone."""
    owners = scene["owners"] or [None] * len(scene["layers"])
    layers = [(scene["kinds"][kind], owner) for kind, owner in zip(scene["layers"], owners, strict=True)]
    return [(scene["before"], None), *layers, (scene["after"], None)]


def find(matrices: list[dict[str, Any]], module: str) -> dict[str, Any]:
    return next(matrix for matrix in matrices if matrix["module"] == module)


@given(maps)
@settings(deadline=None)
def test_the_rows_of_a_rank_add_up_to_its_bytes(shards: ShardMap) -> None:
    scene = drawn(shards)
    for rank in range(shards.world_size):
        shares = [
            share for matrices, owner in rows(scene) for m in matrices if (share := held(m, rank, owner))
        ]
        told = scene["ranks"][rank]
        assert sum(share["size_bytes"] for share in shares) == shards.size_bytes(rank) == told["size_bytes"]
        assert sum(share["padding_bytes"] for share in shares) == shards.padding_bytes(rank)
        assert sum(share["repeated_bytes"] for share in shares) == shards.repeated_bytes(rank)
        added_bytes = told["padding_bytes"] + told["repeated_bytes"]
        assert sum(told["cut_bytes"].values()) + added_bytes == told["size_bytes"]


@given(maps)
@settings(deadline=None)
def test_what_is_cut_is_the_matrix_and_what_was_added_to_it(shards: ShardMap) -> None:
    for matrix in (m for kind in drawn(shards)["kinds"] for m in kind):
        shares = [matrix["shares"][index] for index in matrix["share_of"]]
        if matrix["cut"] in ("column", "row"):
            axis = matrix["axis"]
            drawn_as = {"column": "across", "row": "down"}[matrix["cut"]]
            assert matrix[drawn_as]["axis"] == axis
            own = sum(s["shape"][axis] - s["padding"] - s["repeated"] for s in shares)
            assert own == matrix["shape"][axis]
            others = [size for i, size in enumerate(matrix["shape"]) if i != axis]
            assert all([size for i, size in enumerate(s["shape"]) if i != axis] == others for s in shares)
        else:
            assert all((share["shape"], share["padding"]) == (matrix["shape"], 0) for share in shares)


@given(maps)
@settings(deadline=None)
def test_shapes_are_those_of_the_computation_however_they_are_stored(shards: ShardMap) -> None:
    mlp = {"mlp.gate_proj": [1536, 576], "mlp.up_proj": [1536, 576], "mlp.down_proj": [576, 1536]}
    for kind in drawn(shards)["kinds"]:
        for module, shape in mlp.items():
            matrix = find(kind, module)
            assert matrix["shape"] == shape
            stored = matrix["arrays"][0]["shape"]
            assert math.prod(stored) * (32 if matrix["bits"] else 1) == math.prod(shape) * (
                matrix["bits"] or 1
            )


@given(maps)
@settings(deadline=None)
def test_every_layer_is_there_once_and_on_its_ranks(shards: ShardMap) -> None:
    scene = drawn(shards)
    assert len(scene["layers"]) == shards.layers
    assert len({json.dumps(kind) for kind in scene["kinds"]}) == len(scene["kinds"])
    for layer, (matrices, owner) in enumerate(rows(scene)[1:-1]):
        holders = {rank for rank in range(shards.world_size) if any(held(m, rank, owner) for m in matrices)}
        ranges = enumerate(shards.layer_ranges)
        assert holders == {rank for rank, (start, end) in ranges if start <= layer < end}


def test_equal_layers_cost_nothing() -> None:
    small, large = (shard_map(samples.shard_map(8, layers)).scene for layers in (16, 128))
    assert len(large["maps"][0]["kinds"]) == 1
    assert len(json.dumps(large)) < len(json.dumps(small)) + 400
    assert len(json.dumps(large)) < 20_000


def test_layers_that_differ_are_kinds_of_their_own() -> None:
    shards = planned_shards(
        SMALL_LLAMA,
        2,
        quantization={**FOUR_BITS, "model.layers.2.mlp.up_proj": {"bits": 8, "group_size": 32}},
    )
    scene = drawn(shards)
    assert scene["layers"] == [0, 0, 1, 0, 0]
    assert [find(kind, "mlp.up_proj")["bits"] for kind in scene["kinds"]] == [4, 8]
    assert scene["quantization"] == "4-bit in groups of 32, 8-bit in groups of 32"


def test_heads_with_their_padding() -> None:
    ranks = drawn(samples.shard_map(2))["ranks"]
    assert [rank["label"] for rank in ranks] == ["heads 0–5 of 9", "heads 6–8 of 9 + 3 of zeros"]
    assert [rank["kv_label"] for rank in ranks] == ["KV heads 0–1 of 3", "KV head 2 of 3 + 1 of zeros"]
    assert [rank["label"] for rank in drawn(samples.shard_map(3))["ranks"]] == [
        "heads 0–2 of 9",
        "heads 3–5 of 9",
        "heads 6–8 of 9",
    ]
    last = drawn(planned_shards(SMALL_LLAMA, 4))["ranks"][3]
    assert (last["label"], last["kv_label"]) == ("no heads + 3 of zeros", "no KV heads + 1 of zeros")


def test_a_pipeline_says_who_owns_which_layers() -> None:
    scene = drawn(planned_shards(SMALL_LLAMA, 2, "pipeline"))
    assert scene["owners"] == [1, 1, 0, 0, 0]  # rank 0 has the last ones
    assert [rank["label"] for rank in scene["ranks"]] == ["layers 2–4", "layers 0–1"]
    assert len(scene["kinds"]) == 1
    assert {matrix["cut"] for matrix in scene["kinds"][0]} == {"whole"}


def test_an_embedding_is_drawn_as_it_is_stored_and_a_projection_as_it_multiplies() -> None:
    scene = drawn(samples.shard_map(2))
    embedding, query = scene["before"][0], find(scene["kinds"][0], "self_attn.q_proj")
    assert (embedding["down"], embedding["across"]) == (
        {"axis": 0, "name": "tokens"},
        {"axis": 1, "name": "hidden"},
    )
    assert (query["down"], query["across"]) == ({"axis": 1, "name": "inputs"}, {"axis": 0, "name": "outputs"})
    assert not is_embedding("self_attn.embed_q")  # latent attention's


def test_one_rank_alone_owns_nothing_apart() -> None:
    assert drawn(planned_shards(SMALL_LLAMA, 1))["owners"] is None


def test_repeated_kv_heads_are_told_and_counted() -> None:
    scene = drawn(REPEATED)
    assert scene["added"] == ["repeated"]
    assert [rank["kv_label"] for rank in scene["ranks"]] == [
        "KV head 0 of 2 (1 of 2 repeated)",
        "KV head 1 of 2",
        "KV head 1 of 2 (repeated)",
    ]
    head_bytes = 64 * 512 * 2
    key = find(scene["kinds"][0], "self_attn.k_proj")
    shares = [held(key, rank) or {} for rank in range(3)]
    assert [(share["repeated"], share["repeated_bytes"]) for share in shares] == [
        (64, head_bytes),
        (0, 0),
        (64, head_bytes),
    ]
    assert "several parts have the same one" in key["why"]
    assert [rank["repeated_bytes"] for rank in scene["ranks"]] == [2 * 5 * head_bytes, 0, 2 * 5 * head_bytes]


def test_every_rendering_tells_of_repeated_kv_heads_and_whose_parts_are_whose() -> None:
    picture = shard_map(REPEATED)
    lines = picture.text.splitlines()
    assert lines[1].split() == ["rank", "holds", "bytes", "replicated", "padding", "repeated"]
    key = next(line for line in lines if "k_proj" in line)
    assert "0: (128, 512) (64 repeated) | 1: (64, 512) | 2: (64, 512) (64 repeated)" in key
    assert "655 KB of it repeated" in picture.alt
    words = words_of(picture.figure())
    assert {"KV heads repeated", "655 KB repeated", "→ (128, 512) on rank 0", "→ (64, 512) on ranks 1-2"} <= {
        *words
    }
    assert "layers 0-4: 3.15 MB on rank 0, 1.57 MB on ranks 1-2" in [
        each.replace("\u00a0", " ") for each in words
    ]
    without = shard_map(samples.shard_map(2))
    assert "repeated" not in without.text + without.alt + " ".join(words_of(without.figure()))


def test_a_legend_names_only_what_can_be_seen() -> None:
    sizes = {"num_attention_heads": 8, "num_key_value_heads": 4, "hidden_size": 512}
    little = planned_shards({**SMALL_LLAMA, **sizes, "intermediate_size": 1535}, 2)
    assert drawn(little)["added"] == ["padding"]
    share = {"size_bytes": 1000, "padding_bytes": 1, "repeated_bytes": 0}
    assert parts_of({"cut": "column"}, share, 80.0) == [("column", 78.8), ("padding", 1.2)]
    vectors = replace(little, parameters=tuple(p for p in little.parameters if len(p.shape) < 2))
    assert drawn(vectors)["added"] == []


def test_a_layer_of_a_stage_is_its_ranks() -> None:
    figure = shard_map(planned_shards({**SMALL_LLAMA, "num_hidden_layers": 4}, 4, "hybrid")).figure()
    assert "layers 0-1: 3.84 MB on ranks 2-3" in [words.replace("\u00a0", " ") for words in words_of(figure)]


def test_modules_of_a_list_are_told_apart() -> None:
    assert short_names(["input_layernorm.0", "self_attn.0.q_b_proj", "self_attn.1.q_b_proj"]) == [
        "input norm 0",
        "q_b 0",
        "q_b 1",
    ]
    assert short_names(["self_attn.gate_proj", "mlp.gate_proj", "mlp.up_proj"]) == [
        "self_attn gate",
        "mlp gate",
        "up",
    ]


def test_a_row_cut_says_why_a_sum_follows() -> None:
    kind = drawn(samples.shard_map(2))["kinds"][0]
    after = {matrix["module"]: matrix["collective"] for matrix in kind if matrix["cut"] == "row"}
    assert after == {"self_attn.o_proj": "all_sum", "mlp.down_proj": "all_sum"}
    assert "partial sum of every output: all_sum" in find(kind, "self_attn.o_proj")["why"]
    assert "every rank has" in find(kind, "input_layernorm")["why"]


def test_numbers_of_layers_in_words() -> None:
    assert layer_numbers([0, 0, 1, 1], 0) == "layers 0-1"
    assert layer_numbers([0, 1, 1, 1], 0) == "layer 0"
    assert layer_numbers([0, 1, 0, 0], 0) == "layers 0, 2-3"
    assert layer_numbers([0, 1] * 10, 1) == "layers 1, 3, ... (10 layers)"
