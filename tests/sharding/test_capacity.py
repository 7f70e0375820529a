"""The longest context that fits, and the fewest machines: one token or one machine less is another answer."""

from __future__ import annotations

from typing import Any

import pytest

from kernelkit.errors import ArgumentError
from kernelkit.sharding.anatomies import anatomy
from kernelkit.sharding.capacity import Smallest, largest_context, smallest_cluster
from kernelkit.sharding.layout import layout
from kernelkit.sharding.ranksizes import needed_bytes, rank_sizes
from kernelkit.sharding.sizes import activation_bytes, kv_bytes, weight_bytes
from tests.architectures import tiny
from tests.sharding.test_sizes import DEEPSEEK_V3, LLAMA_70B

GB = 10**9


@pytest.mark.parametrize("config", [LLAMA_70B, DEEPSEEK_V3, tiny.config("gpt_oss"), tiny.config("qwen3_5")])
@pytest.mark.parametrize("batch", [1, 3])
def test_one_rank_needs_what_the_model_does(config: dict[str, Any], batch: int) -> None:
    model = anatomy(config)
    dealt = layout(model, 1)
    (needed,) = needed_bytes(model, rank_sizes(model, dealt, "4bit"), dealt, 1000, batch)
    whole = weight_bytes(model, "4bit") + kv_bytes(model, 1000, batch)
    assert needed == whole + batch * activation_bytes(model, 1000)


@pytest.mark.parametrize(("ranks", "strategy"), [(2, "tensor"), (3, "pipeline"), (4, "hybrid")])
@pytest.mark.parametrize("config", [LLAMA_70B, DEEPSEEK_V3])
def test_the_longest_context_fits_and_one_more_token_does_not(
    config: dict[str, Any], ranks: int, strategy: Any
) -> None:
    model = anatomy(config)
    dealt = layout(model, ranks, strategy)
    sizes = rank_sizes(model, dealt, "4bit")
    available = [held.weight_bytes + 8 * GB for held in sizes]
    longest = largest_context(model, dealt, available, "4bit")
    assert longest > 4096
    for tokens, fits in ((longest, True), (longest + 1, False)):
        needed = needed_bytes(model, sizes, dealt, tokens)
        assert all(need <= has for need, has in zip(needed, available, strict=True)) is fits
    assert largest_context(model, dealt, [held.weight_bytes for held in sizes], "4bit") == 0
    assert largest_context(model, dealt, available, "4bit", batch=4) < longest
    if config is LLAMA_70B:
        assert largest_context(model, dealt, available, "4bit", kv_bits=4) > 3 * longest


def test_a_context_ends_where_the_model_does() -> None:
    model = anatomy({**LLAMA_70B, "max_position_embeddings": 5000})
    assert largest_context(model, layout(model, 1), [10**12]) == 5000
    with pytest.raises(ArgumentError, match="every rank needs a memory"):
        largest_context(model, layout(model, 2), [10**12])


def test_the_fewest_machines() -> None:
    model = anatomy(DEEPSEEK_V3)  # 378 GB in 4 bits
    found = smallest_cluster(model, 250 * GB, 4096, "4bit")
    assert isinstance(found, Smallest)
    assert (found.nodes, found.strategy, found.split) == (2, "tensor", None)
    assert all(need <= 250 * GB for need in found.needed_bytes)
    longer = smallest_cluster(model, 250 * GB, 2_000_000, "4bit")
    assert longer is not None
    # A latent is on every rank of a tensor-parallel group, and dealt out with the layers of a pipeline.
    assert longer.strategy == "pipeline"
    assert smallest_cluster(model, [100 * GB] * 3, 4096, "4bit") is None
    with pytest.raises(ArgumentError, match="no machine"):
        smallest_cluster(model, [], 4096)


def test_machines_of_different_memory_get_different_layers() -> None:
    model = anatomy(LLAMA_70B)  # 40 GB in 4 bits
    found = smallest_cluster(model, [12 * GB, 36 * GB, 12 * GB], 4096, "4bit")
    assert found is not None
    assert (found.nodes, found.strategy) == (2, "pipeline")
    assert found.split is not None
    assert found.split[0] > 2 * found.split[1]  # the largest is rank 0


def test_what_cannot_be_cut_is_a_pipeline() -> None:
    config = tiny.config("nemotron_h")
    model = anatomy(config)
    half = weight_bytes(model) * 2 // 3 + activation_bytes(model, 8)
    found = smallest_cluster(model, half, 8)
    assert found is not None
    assert (found.nodes, found.strategy) == (2, "pipeline")
