"""`model.check()` over real ranks: sound models are equal, damaged ones are told, and where."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kernelkit import Cluster
from kernelkit.errors import ArgumentError, CellInterruptedError, DoesNotFitError, NoModelError
from kernelkit.sharding.check import ModelCheck
from tests import waiting
from tests.rank import tiny


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("models")
    return {kind: tiny.build(base / kind, kind) for kind in ("llama", "qwen2")}


def _in_step(cluster: Cluster) -> bool:
    return cluster.run("int(mx.distributed.all_sum(mx.array(1)).item())")[0].value_repr == "2"


@pytest.mark.parametrize(
    ("kind", "strategy", "options", "long"),
    [
        ("llama", "tensor", {}, 2100),
        ("qwen2", "tensor", {"split": (3, 1)}, 300),
        ("qwen2", "pipeline", {"split": (3, 1)}, 2100),
        ("llama", "tensor", {"quantize": 8}, 300),
        ("llama", "tensor", {"dtype": "float16"}, 300),
    ],
)
def test_a_sound_model_is_equal(
    cluster: Cluster, folders: dict[str, Path], kind: str, strategy: Any, options: dict[str, Any], long: int
) -> None:
    model = cluster.load(str(folders[kind]), strategy, **options)
    phases: set[tuple[int, str]] = set()
    check = model.check(
        ["Once upon"],
        long=long,
        max_tokens=4,
        on_event=lambda rank, event: phases.add((rank, event["phase"])),
    )
    assert check, repr(check)
    assert [(p.name, p.prompt_tokens, p.new_tokens) for p in check.prompts] == [
        ("short", 24, 4),
        ("own 1", 9, 4),
        ("long", long, 4),
    ]
    assert check.coverage.layers == 4
    assert (0, "long: unsharded, by layers") in phases
    assert (1, "long: comparing") in phases
    assert _in_step(cluster)


def test_three_ranks_with_padded_heads_and_one(
    start: Callable[[int], Cluster], folders: dict[str, Path]
) -> None:
    for ranks in (1, 3):
        check = start(ranks).load(str(folders["llama"])).check(long=300, max_tokens=3)
        assert check, repr(check)
        assert (check.coverage.padding_bytes > 0) == (ranks == 3)


def test_the_long_prompt_is_no_longer_than_the_model_can(cluster: Cluster, tmp_path: Path) -> None:
    model = cluster.load(str(tiny.build(tmp_path, max_position_embeddings=64)))
    check = model.check(max_tokens=4)
    assert check
    assert check.prompts[1].prompt_tokens == 60
    assert "long: 2100 tokens were asked for, but it was made for 64." in repr(check)
    with pytest.raises(ArgumentError, match="too long for the model"):
        model.check(["x" * 61], max_tokens=4)
    assert _in_step(cluster)


SCALE = "layer = model.model.layers[2].mlp.down_proj\nlayer.weight = layer.weight * 1.01"
SWAP = (
    "q = model.model.layers[1].self_attn.q_proj\n"
    "q.weight = mx.concatenate([q.weight[16:32], q.weight[:16], q.weight[32:]])"
)
ZERO = "o = model.model.layers[3].self_attn.o_proj\no.weight = mx.zeros_like(o.weight)"
LAST = "model.lm_head.weight = model.lm_head.weight * 1.1"
FIRST = "model.model.embed_tokens.weight = model.model.embed_tokens.weight * 1.1"
NANS = "n = model.model.layers[1].input_layernorm\nn.weight = n.weight * float('nan')"


@pytest.mark.parametrize(
    ("kind", "strategy", "damage", "words"),
    [
        ("llama", "tensor", SCALE, "from layer 2 on"),
        ("llama", "tensor", SWAP, "from layer 1 on"),
        ("llama", "tensor", ZERO, "from layer 3 on"),
        ("llama", "tensor", NANS, "not finite from layer 1 on"),
        ("llama", "tensor", LAST, "the ranks have different logits"),
        (
            "llama",
            "tensor",
            FIRST,
            "hidden states on rank 1 differ by 0.1 of their norm from the embeddings on",
        ),
        ("qwen2", "pipeline", SWAP, "hidden states on rank 1 differ"),
    ],
)
def test_damage_on_one_rank_is_told_with_its_layer(
    cluster: Cluster, folders: dict[str, Path], kind: str, strategy: Any, damage: str, words: str
) -> None:
    model = cluster.load(str(folders[kind]), strategy)
    cluster.run(damage, ranks=[1])  # of a pipeline it has the first layers
    check = model.check(long=0, max_tokens=3)
    assert not check
    assert check.coverage
    assert words in repr(check)
    assert ModelCheck.from_dict(check.to_dict()) == check
    assert _in_step(cluster)


def test_damage_that_shows_late_only_is_found_by_the_long_prompt(
    cluster: Cluster, folders: dict[str, Path]
) -> None:
    """A cache that loses what it holds after 2,048 tokens, as a window that is cut wrongly."""
    model = cluster.load(str(folders["llama"]))
    cluster.run(
        "from mlx_lm.models.cache import KVCache\n"
        "class Forgetful(KVCache):\n"
        "    def update_and_fetch(self, keys, values):\n"
        "        keys, values = super().update_and_fetch(keys, values)\n"
        "        if self.offset > 2048:\n"
        "            gone = mx.zeros_like(values[..., :1024, :])\n"
        "            values = mx.concatenate([gone, values[..., 1024:, :]], axis=2)\n"
        "        return keys, values\n"
        "type(model).make_cache = lambda self: [Forgetful() for _ in self.layers]",
        ranks=[1],
    )
    check = model.check(long=2100, max_tokens=3)
    cluster.run("del type(model).make_cache", ranks=[1])
    short, long = check.prompts
    assert short
    assert not long
    assert "hidden states on ranks 0, 1" in repr(check)
    assert "from layer 0 on" in repr(check)


def test_a_projection_that_is_gone_is_told_by_coverage(cluster: Cluster, folders: dict[str, Path]) -> None:
    model = cluster.load(str(folders["llama"]))
    cluster.run("del model.model.layers[2].self_attn['o_proj']", ranks=[1])
    check = model.check()
    assert not check
    assert not check.prompts
    assert "model.layers.2.self_attn.o_proj.weight" in repr(check)
    cluster.run("del model.model.layers[2].self_attn['o_proj']", ranks=[0])
    assert "not on any rank: model.layers.2.self_attn.o_proj.weight" in repr(model.check())


@pytest.mark.parametrize("phase", ["long: tokens", "long: unsharded, by layers", "long: comparing"])
def test_ctrl_c_leaves_the_cluster_and_the_model(
    cluster: Cluster, folders: dict[str, Path], phase: str
) -> None:
    model = cluster.load(str(folders["llama"]))
    reached = threading.Event()
    presser = waiting.ctrl_c_after(reached)
    with pytest.raises(CellInterruptedError, match="check was stopped"):
        model.check(
            long=1000, max_tokens=24, on_event=lambda rank, event: event["phase"] == phase and reached.set()
        )
    presser.join()
    assert _in_step(cluster)
    assert model.check(long=0, max_tokens=2)


def test_ctrl_c_after_the_last_step_still_ends_the_check(
    cluster: Cluster, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = cluster.load(str(folders["llama"]))
    operate, asked = model._cluster.operate, []

    def pressed_too_late(requests: Any, *, on_event: Any = None, on_interrupt: Any = None) -> Any:
        answers = operate(requests, **({"on_event": on_event} if on_event else {}))
        if on_interrupt is not None:
            asked.append(next(iter(requests.values()))[0])
            assert on_interrupt()
        return answers

    monkeypatch.setattr(model._cluster, "operate", pressed_too_late)
    with pytest.raises(CellInterruptedError, match="check was stopped"):
        model.check(long=0, max_tokens=2)
    assert asked == ["check_generate"]
    assert _in_step(cluster)


def test_no_room_for_a_layer_is_told(cluster: Cluster, folders: dict[str, Path]) -> None:
    model = cluster.load(str(folders["llama"]))
    with pytest.raises(DoesNotFitError, match="not even layer by layer") as caught:
        model.check(long=4_000_000)
    assert "one layer" in caught.value.expected
    assert model.check(long=0, max_tokens=1)


@pytest.mark.parametrize(
    "settings", [{"long": -1}, {"max_tokens": 0}, {"prompts": "one text"}, {"prompts": [""]}, {"long": 1.5}]
)
def test_settings_that_say_nothing(
    cluster: Cluster, folders: dict[str, Path], settings: dict[str, Any]
) -> None:
    model = cluster.load(str(folders["llama"])) if cluster.model is None else cluster.model
    with pytest.raises(ArgumentError):
        model.check(**settings)
    assert cluster.state == "idle"


def test_an_unloaded_model_is_not_checked(cluster: Cluster, folders: dict[str, Path]) -> None:
    model = cluster.load(str(folders["llama"]))
    model.unload()
    with pytest.raises(NoModelError):
        model.check()
