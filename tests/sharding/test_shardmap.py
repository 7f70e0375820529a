"""The shard map as data: round trips, foreign data, heads, its table."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelkit.errors import ArgumentError
from kernelkit.sharding.heads import Share, share
from kernelkit.sharding.paths import layer_and_module, order
from kernelkit.sharding.shape import planned_shards
from kernelkit.sharding.shardmap import Parameter, Piece, ShardMap
from tests.sharding.real import config_of

PADDED = planned_shards(
    config_of("llama", num_attention_heads=9, num_key_value_heads=3, num_hidden_layers=1), 2, model="tiny"
)
DATA = json.loads(json.dumps(PADDED.to_dict()))


def test_a_map_survives_its_file(tmp_path: Path) -> None:
    PADDED.save(tmp_path / "map.json")
    assert ShardMap.load(tmp_path / "map.json") == PADDED
    assert ShardMap.from_dict(PADDED.to_dict()) == PADDED


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="cannot be read as a shard map"):
        ShardMap.load(tmp_path / "none.json")
    (tmp_path / "broken.json").write_text("[" * 100_000)
    with pytest.raises(ArgumentError, match="cannot be read as a shard map"):
        ShardMap.load(tmp_path / "broken.json")
    with pytest.raises(ArgumentError, match="cannot be written"):
        PADDED.save(tmp_path)


@pytest.mark.parametrize("data", [None, [], "x", {}, {"kernelkit_shards": 2}, {"kernelkit_links": 1}])
def test_other_data_is_no_shard_map(data: Any) -> None:
    with pytest.raises(ArgumentError, match="this is no shard map") as caught:
        ShardMap.from_dict(data)
    assert "kernelkit_shards" in caught.value.expected


def _parameter(data: dict[str, Any], cut: str) -> dict[str, Any]:
    return next(p for p in data["parameters"] if p["cut"] == cut)


@pytest.mark.parametrize(
    ("change", "got"),
    [
        (lambda d: d.pop("layers"), "lacks layers"),
        (lambda d: d.update(colour=1), "no colour"),
        (lambda d: d.update(layers="1"), "layers"),
        (lambda d: d.update(world_size=3), "2 ranges of layers for 3 ranks"),
        (lambda d: d.update(layer_ranges=[[0, 1], [0, 2]]), "of 1 layers"),
        (lambda d: d.update(parameters=[]), "no parameters"),
        (lambda d: d["parameters"][0].update(bits=4), "4 bits, groups of None"),
        (lambda d: d["parameters"][0].update(bits=0, group_size=32), "0 bits"),
        (lambda d: d["parameters"].append(d["parameters"][0]), "listed twice"),
        (lambda d: d["parameters"][0].update(layer=7), "layer 7 of 1"),
        (lambda d: d["parameters"][0].update(cut="torn"), "no such cut"),
        (lambda d: d["parameters"][0]["pieces"].pop(), r"pieces on ranks \[0\]"),
        (lambda d: _parameter(d, "column").update(axis=None), "column, and axis None"),
        (lambda d: _parameter(d, "column").update(axis=2), "axis 2"),
        (lambda d: _parameter(d, "row")["pieces"][0].update(padding=1), "the pieces make"),
        (lambda d: _parameter(d, "row")["pieces"][0].update(padding=-1), "padding -1"),
        (lambda d: _parameter(d, "row")["pieces"][0].update(repeated=1), "the pieces make"),
        (lambda d: _parameter(d, "replicated")["pieces"][0].update(repeated=1), "1 repeated"),
        (lambda d: _parameter(d, "row")["pieces"][0].update(shape=[1]), r"a piece \[1\]"),
        (lambda d: _parameter(d, "replicated")["pieces"][0].update(shape=[1, 1]), "along axis None"),
    ],
)
def test_parts_that_do_not_fit_together_are_named(change: Any, got: str) -> None:
    data = copy.deepcopy(DATA)
    change(data)
    with pytest.raises(ArgumentError, match=got):
        ShardMap.from_dict(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(data=st.data())
def test_one_value_replaced_is_refused_or_still_a_map(data: st.DataObject) -> None:
    changed = copy.deepcopy(DATA)
    at: Any = changed
    while True:  # down to some place of the tree
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if not isinstance(at[key], dict | list) or not at[key] or data.draw(st.booleans()):
            break
        at = at[key]
    at[key] = data.draw(JSON)
    try:
        shards = ShardMap.from_dict(changed)
    except ArgumentError:
        return
    assert json.loads(json.dumps(shards.to_dict())) == changed
    assert repr(shards)


def test_whose_heads() -> None:
    assert [PADDED.heads_of(rank) for rank in (0, 1)] == [Share(0, 6, held=6), Share(6, 9, 3, held=3)]
    assert [PADDED.kv_heads_of(rank) for rank in (0, 1)] == [Share(0, 2, held=2), Share(2, 3, 1, held=1)]


def test_whose_heads_where_several_ranks_have_the_same() -> None:
    pieces = tuple(Piece(rank, (32, 64), 1, repeated=32 * (rank % 2)) for rank in range(4))
    path = "model.layers.0.self_attn.k_proj.weight"
    k_proj = Parameter(path, 0, "self_attn.k_proj", (64, 64), "float32", "column", 0, pieces)
    assert [share([k_proj], rank, 2, ["k_proj"]) for rank in range(4)] == [
        Share(head, head + 1, held=1, repeated=again) for head in (0, 1) for again in (0, 1)
    ]
    assert share([k_proj], 0, None, ["k_proj"]) is None
    assert share([], 0, 2, ["k_proj"]) is None


def test_padding_is_counted_in_bytes() -> None:
    # 3 query and 1 KV head of 32 rows: q_proj, k_proj, v_proj and the columns of o_proj, in bfloat16.
    assert PADDED.padding_bytes(0) == 0
    assert PADDED.padding_bytes(1) == (3 + 1 + 1 + 3) * 32 * 128 * 2


def test_repeated_heads_are_counted_in_bytes_and_told() -> None:
    config = config_of("llama", num_attention_heads=8, num_key_value_heads=2, num_hidden_layers=1)
    shards = planned_shards(config, 3, split=[2, 1, 1])
    head_bytes = 2 * 32 * 128 * 2  # of k_proj and v_proj, in bfloat16
    assert [shards.repeated_bytes(rank) for rank in range(3)] == [head_bytes, 0, head_bytes]
    assert ShardMap.from_dict(json.loads(json.dumps(shards.to_dict()))) == shards
    told = [line.split("  ") for line in repr(shards).splitlines()[1:]]
    cells = [[cell.strip() for cell in line if cell] for line in told]
    assert cells[0][-2] == "repeated"
    assert [row[3] for row in cells[2:]] == ["0 (1 of 2 repeated)", "1", "1 (repeated)"]
    assert [row[-2] for row in cells[2:]] == ["16.4 KB", "0 B", "16.4 KB"]


def test_its_table_is_stable() -> None:
    assert repr(PADDED) == (
        "tiny (llama, 1 layer), tensor parallel over 2 ranks, planned\n"
        "rank  layers  heads             KV heads        its own  on every rank  padding  weights\n"
        "----  ------  ----------------  --------------  -------  -------------  -------  -------\n"
        "0     0       0-5               0-1             229 KB   49.9 KB        0 B      279 KB\n"
        "1     0       6-8 + 3 of zeros  2 + 1 of zeros  229 KB   49.9 KB        65.5 KB  279 KB"
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("model.layers.12.self_attn.q_proj.weight", (12, "self_attn.q_proj")),
        ("language_model.model.layers.3.mlp.experts.gate_proj.scales", (3, "mlp.experts.gate_proj")),
        ("model.layers.0.self_attn.sinks", (0, "self_attn")),
        ("model.embed_tokens.weight", (None, "embed_tokens")),
        ("lm_head.weight", (None, "lm_head")),
        ("model.norm.weight", (None, "norm")),
    ],
)
def test_paths_are_read(path: str, expected: tuple[int | None, str]) -> None:
    assert layer_and_module(path) == expected


def test_parameters_come_as_a_forward_pass_meets_them() -> None:
    modules = [p.module for p in PADDED.parameters]
    assert modules == [
        *("embed_tokens", "input_layernorm"),
        *(f"self_attn.{name}_proj" for name in "qkvo"),
        *("post_attention_layernorm", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj", "norm", "lm_head"),
    ]
    paths = ["lm_head.weight", "model.layers.10.mlp.x.weight", "model.layers.9.mlp.x.weight"]
    assert sorted(paths, key=order) == paths[::-1]
