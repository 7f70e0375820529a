"""Bytes and operations against what papers and hand reckoning say."""

from __future__ import annotations

from typing import Any

import pytest

from kernelkit.perf.dealing import rank_works
from kernelkit.perf.launches import Launches, launches
from kernelkit.perf.work import Experts, RankWork
from kernelkit.sharding.anatomies import anatomy
from kernelkit.sharding.layout import layout
from kernelkit.sharding.quantization import parse_quantization
from kernelkit.sharding.sizes import kv_bytes, weight_bytes
from tests.perf.configs import DEEPSEEK_V3, LLAMA_8B, QWEN3_30B

CONFIGS = {"llama": LLAMA_8B, "qwen3_moe": QWEN3_30B, "deepseek_v3": DEEPSEEK_V3}


def works(config: dict[str, Any], ranks: int, strategy: Any = "tensor", how: str = "bf16") -> list[RankWork]:
    model = anatomy(config)
    return rank_works(model, parse_quantization(how), layout(model, ranks, strategy))


def multiplied(work: RankWork) -> float:
    """Weights that one token is multiplied with."""
    flop = sum((part.product_flop() + part.expert_flop()) * count for part, count in work.layers)
    return (flop + work.outside.product_flop()) / 2


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("how", ["bf16", "4bit", "mxfp4-q8"])
def test_one_rank_holds_what_the_model_has(name: str, how: str) -> None:
    model = anatomy(CONFIGS[name])
    (work,) = works(CONFIGS[name], 1, how=how)
    assert work.held_bytes == weight_bytes(model, how)
    assert work.kv_bytes(4096, "bfloat16", None) == kv_bytes(model, 4096)


@pytest.mark.parametrize(
    ("name", "published"),
    [("llama", 8.03e9 - 128256 * 4096), ("qwen3_moe", 3.3e9 - 151936 * 2048), ("deepseek_v3", 37e9)],
)
def test_a_token_is_multiplied_with_the_active_parameters(name: str, published: float) -> None:
    # As model cards give them, less the embedding where they count it.
    assert multiplied(works(CONFIGS[name], 1)[0]) == pytest.approx(published, rel=0.03)


@pytest.mark.parametrize("name", CONFIGS)
def test_ranks_share_the_work(name: str) -> None:
    whole = works(CONFIGS[name], 1)[0]
    tensor = works(CONFIGS[name], 4)
    cut = sum(multiplied(rank) - rank.outside.product_flop() / 2 for rank in tensor)
    assert multiplied(whole) - whole.outside.product_flop() / 2 <= cut
    stages = works(CONFIGS[name], 4, "pipeline")
    layers_bytes = sum(rank.held_bytes - rank.outside.held_bytes for rank in stages)
    assert layers_bytes == whole.held_bytes - whole.outside.held_bytes
    assert sum(count for rank in stages for _, count in rank.layers) == CONFIGS[name]["num_hidden_layers"]


def test_kv_heads_are_dealt_out_and_repeated_where_there_are_too_few() -> None:
    one, many = works(QWEN3_30B, 1)[0], works(QWEN3_30B, 8)[0]
    # 4 KV heads over 8 ranks: each has one, twice what an eighth of all would be.
    assert many.kv_bytes(1000, "bfloat16", None) == one.kv_bytes(1000, "bfloat16", None) / 4
    latent = works(DEEPSEEK_V3, 8)[0].kv_bytes(1000, "bfloat16", None)
    assert latent == works(DEEPSEEK_V3, 1)[0].kv_bytes(1000, "bfloat16", None)  # every rank keeps it


def test_distinct_experts() -> None:
    stack = Experts(128, 128, 128, 8)
    assert stack.share(1) == pytest.approx(8 / 128)
    assert stack.share(2) == pytest.approx((8 + 8 * 120 / 128) / 128)
    assert stack.share(10_000) == pytest.approx(1)


def test_scores_of_a_prompt_are_quadratic() -> None:
    part, _ = works(LLAMA_8B, 1)[0].layers[0]
    # All pieces of a prompt together: half of tokens squared, a product for the score and one for the sum.
    whole = sum(part.score_flop(1000, before) for before in range(0, 4000, 1000))
    assert whole == pytest.approx(2 * 32 * (128 + 128) * 4000 * 4001 / 2)


def test_kernels_of_a_layer() -> None:
    llama, moe = (anatomy(config).layers[0] for config in (LLAMA_8B, QWEN3_30B))
    # Norm, projections, rotation, cache, attention, output, sum; norm, gate and up, activation, down, sum.
    assert launches(llama) == Launches(12, 17, 7)
    # Norms of heads; router, softmax, partition, gate and up, activation, down, weighting, sum, sum.
    assert launches(moe) == Launches(18, 27, 8)
