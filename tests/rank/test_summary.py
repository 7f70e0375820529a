"""What a rank says of heads and padding: read from the model, whatever its config calls them."""

from __future__ import annotations

from typing import Any

from kernelkit.rank.cut import cut
from kernelkit.rank.summary import describe
from tests.architectures import tiny
from tests.rank.tiny import CountedGroup


def _summary(kind: str, ranks: int, rank: int = 0) -> dict[str, Any]:
    config = tiny.config(kind)
    group: Any = CountedGroup(rank, ranks)
    model, _ = tiny.create(kind, config)
    made = cut(model, config, "tensor", group, None, lambda: tiny.create(kind, config)[0])
    return describe(model, config, "tensor", made)


def test_heads_whose_number_the_config_calls_something_else() -> None:
    alone = _summary("step3p5", 1)
    assert (alone["heads"], alone["kv_heads"], alone["heads_here"], alone["kv_heads_here"]) == (8, 4, 8, 4)
    assert alone["padding"] == []
    assert _summary("step3p5", 2)["padding"] == []


def test_every_kind_of_layer_is_told_once() -> None:
    changes = [(made["what"], made["before"], made["after"]) for made in _summary("step3p5", 3)["padding"]]
    assert changes == [
        ("heads", 8, 12),
        ("KV heads", 4, 6),
        ("MLP rows", 128, 129),
        # Its layers with a sliding window have fewer heads.
        ("heads", 4, 6),
        ("KV heads", 2, 3),
        ("MLP rows", 32, 33),
        ("rows of each expert", 32, 33),
    ]


def test_latent_attention_has_no_kv_heads() -> None:
    summary = _summary("deepseek_v3", 2)
    assert (summary["heads"], summary["heads_here"], summary["kv_heads_here"]) == (4, 2, None)
