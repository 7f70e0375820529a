"""Whether it fits: sums per device, and cures that would."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelkit.errors import DoesNotFitError
from kernelkit.sharding.fit import Need, available_bytes, check_fit
from kernelkit.sharding.split import layer_ranges, split_at, split_by_memory

GB = 10**9


def need(rank: int = 0, **changes: Any) -> Need:
    facts: dict[str, Any] = {"host": f"mac{rank}", "device": f"mac{rank}", "weight_bytes": 10 * GB}
    facts |= {"kv_bytes": 2 * GB, "activation_bytes": GB, "total_weight_bytes": 20 * GB, "bits": 16.0}
    return Need(rank, **{**facts, "available_bytes": 16 * GB, **changes})


def refused(*needs: Need, strategy: str = "tensor") -> DoesNotFitError:
    with pytest.raises(DoesNotFitError) as caught:
        check_fit(needs, 4096, strategy)
    return caught.value


def test_what_fits_passes() -> None:
    check_fit([need(0), need(1)], 4096, "tensor")


def test_the_error_names_rank_needed_and_available_bytes() -> None:
    error = refused(need(0), need(1, available_bytes=12 * GB))
    assert (error.rank, error.needed_bytes, error.available_bytes) == (1, 13 * GB, 12 * GB)
    assert "rank 1" in error.what
    assert "KV cache of 4,096 tokens 2 GB" in error.expected
    assert "mac1" in error.got


def test_ranks_that_share_a_device_share_what_it_has() -> None:
    both = [need(rank, device="one", host="mac") for rank in range(2)]
    error = refused(*both)
    assert "ranks 0, 1, which share one memory" in error.what
    assert (error.needed_bytes, error.available_bytes) == (26 * GB, 16 * GB)


def test_a_larger_mac_takes_a_larger_share() -> None:
    error = refused(need(0, available_bytes=36 * GB), need(1, available_bytes=12 * GB))
    assert error.cure.startswith("--split 3,1, or --strategy pipeline")


def test_fewer_bits_where_all_are_too_small() -> None:
    small = [need(rank, available_bytes=9 * GB) for rank in range(2)]
    assert refused(*small).cure == "--quantize 8"
    smaller = [need(rank, available_bytes=int(6.5 * GB)) for rank in range(2)]
    assert refused(*smaller).cure == "--quantize 4"
    packed = [replace(n, bits=4.5) for n in smaller]
    assert refused(*packed).cure == "more memory: 26 GB are needed in all"


def test_a_smaller_context_where_the_cache_is_too_large() -> None:
    # 5 of 20 GB are left for the cache of 4,096 tokens.
    assert refused(need(kv_bytes=20 * GB)).cure == "--context 1000"
    tight = need(kv_bytes=20 * GB, available_bytes=10 * GB, bits=4.5)
    assert "--context" not in refused(tight).cure
    shared = [need(rank, device="one", kv_bytes=8 * GB, available_bytes=30 * GB, bits=4.5) for rank in (0, 1)]
    assert refused(*shared).cure == "--context 2000"


def test_shares_that_would_not_fit_either_are_not_proposed() -> None:
    uneven = [need(0, available_bytes=int(17.5 * GB)), need(1, available_bytes=12 * GB, kv_bytes=3 * GB)]
    assert "--split" not in refused(*uneven).cure


def test_others_fill_what_lies_beyond_metals_working_set_first() -> None:
    mac = {"limit_bytes": 48 * GB, "total_bytes": 64 * GB, "in_use_bytes": 12 * GB}
    assert available_bytes(mac, 0) == 48 * GB
    assert available_bytes({**mac, "in_use_bytes": 26 * GB}, 0) == 38 * GB
    assert available_bytes({**mac, "in_use_bytes": 26 * GB}, 10 * GB) == 48 * GB


@given(
    layers=st.integers(1, 130),
    outside=st.integers(0, 4 * GB),
    free=st.lists(st.integers(0, 512 * GB), min_size=1, max_size=8),
)
def test_layers_follow_free_memory(layers: int, outside: int, free: list[int]) -> None:
    if layers < len(free):
        return
    split = split_by_memory(layers, outside, free)
    assert sum(split) == layers
    assert min(split) >= 1
    for more, less in itertools.pairwise(free):
        if more > 1.2 * less:  # who has clearly more memory never gets fewer layers
            assert split[free.index(more)] >= split[free.index(less)] - 1
    ranges = layer_ranges(layers, len(free), split)
    owned = sorted(layer for start, end in ranges for layer in range(start, end))
    assert owned == list(range(layers))


@given(layers=st.integers(1, 60), ranks=st.integers(1, 6), data=st.data())
def test_a_split_keeps_to_the_cuts_that_there_are(layers: int, ranks: int, data: st.DataObject) -> None:
    cuts = data.draw(st.sets(st.integers(1, max(1, layers - 1)))) if layers > 1 else set()
    split = split_at(cuts, layers, ranks)
    if split is None:
        assert len(cuts) < ranks - 1
        return
    ranges = layer_ranges(layers, ranks, split)
    assert {start for start, _ in ranges} - {0} <= cuts
    if cuts == set(range(1, layers)):  # nothing in the way: as even as may be
        assert max(split) - min(split) <= 1


def test_memory_that_is_alike_splits_evenly() -> None:
    assert split_by_memory(30, GB, [100 * GB, 104 * GB, 98 * GB]) == [10, 10, 10]
    assert split_by_memory(30, 0, [200 * GB, 100 * GB]) == [20, 10]


def test_bits_that_were_asked_for_are_not_proposed_again() -> None:
    small = need(0, available_bytes=9 * GB)
    with pytest.raises(DoesNotFitError) as caught:
        check_fit([small], 4096, "tensor", quantize=8)
    assert "--quantize 8" not in caught.value.cure


def test_no_longer_context_than_the_model_was_made_for_is_proposed() -> None:
    with pytest.raises(DoesNotFitError) as caught:
        check_fit([need(kv_bytes=20 * GB)], 40_000, "tensor", longest=8192)
    assert "--context 8192" in caught.value.cure
