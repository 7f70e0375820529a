"""A connected cluster as a plan's ground: what was measured is what the plan says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kernelkit.errors import ArgumentError
from kernelkit.hosts.calibration import Calibration, KindSpeed, RankSpeed, SumTime
from kernelkit.hosts.dispatch import Dispatch
from kernelkit.perf import constants
from kernelkit.perf.own import own_ground
from kernelkit.perf.planning import What, plan_on
from kernelkit.sharding.quantization import Quantization, parse_quantization
from tests.perf.configs import LLAMA_8B

_FLOAT = Quantization(dtype="float32")


def _calibration(ranks: int, read_bytes_per_s: float = 4e9) -> Calibration:
    kinds = (KindSpeed("float32", read_bytes_per_s, 1e15), KindSpeed("4bit", 1e9, 1e15))
    sums = (SumTime(4096, 1e-4, 2e-4), SumTime(2**20, 1e-2, 1e-2)) if ranks > 1 else ()
    every = tuple(RankSpeed(rank, "vm", "cpu", 1e-9, kinds) for rank in range(ranks))
    return Calibration("2026-01-01", "ring", "1", every, sums)


def _limits(ranks: int) -> list[dict[str, object]]:
    return [{"host": "vm", "device": "vm, up since 1", "limit_bytes": 2**37}] * ranks


def test_a_token_takes_its_bytes_at_the_measured_rate_and_the_measured_sums() -> None:
    ground = own_ground(_calibration(2), _limits(2), _FLOAT)
    plan = plan_on(ground, What(LLAMA_8B, "x", _FLOAT, "float32", "tensor", 64))
    terms = {term.cause: term.time_s.mid for term in plan.terms}
    layers = LLAMA_8B["num_hidden_layers"]
    assert terms["latency"] == pytest.approx(2 * layers * 1e-4)
    read_bytes = plan.weight_bytes[0]
    assert terms["weights"] == pytest.approx(read_bytes / 4e9, rel=0.3)  # embeddings are held, and not read
    assert terms["weights"] <= read_bytes / 4e9


def test_ranks_of_one_device_share_its_memory() -> None:
    plan = plan_on(
        own_ground(_calibration(2), _limits(2), _FLOAT),
        What(LLAMA_8B, "x", _FLOAT, "float32", "tensor", 64),
    )
    assert {rank.limit_bytes for rank in plan.ranks} == {2**36}


def test_a_pipelines_message_is_one_step_of_an_all_sum() -> None:
    line = own_ground(_calibration(2), _limits(2), _FLOAT).line
    assert line is not None
    latency, _ = line.send(4)
    assert latency.mid == pytest.approx(1e-4 / 2)


@pytest.mark.parametrize("backend", ["ring", "nccl"])
def test_what_the_catalogs_plans_of_gpus_got_wrong_is_not_said_of_a_measured_cluster(backend: str) -> None:
    ground = own_ground(replace(_calibration(3), backend=backend), _limits(3), _FLOAT)
    plan = plan_on(ground, What(LLAMA_8B, "x", _FLOAT, "float32", "tensor", 64, batch=8))
    assert plan.decode_tokens_per_s is not None
    assert not any("H100" in reason or "GPUs" in reason for reason in plan.reasons)


def test_a_plans_range_is_that_of_the_readings() -> None:
    calm = _calibration(2)
    kinds = (KindSpeed("float32", 4e9, 1e15, (2e9, 5e9), (9e14, 1.1e15)),)
    sums = tuple(replace(one, span_s=(one.time_s / 2, one.time_s * 3)) for one in calm.sums)
    ranks = tuple(replace(rank, kinds=kinds) for rank in calm.ranks)
    made, known = (
        plan_on(
            own_ground(measured, _limits(2), _FLOAT),
            What(LLAMA_8B, "x", _FLOAT, "float32", "tensor", 64),
        )
        for measured in (replace(calm, ranks=ranks, sums=sums), calm)
    )
    speed, one = made.decode_tokens_per_s, known.decode_tokens_per_s
    assert speed is not None
    assert one is not None
    assert one.low == one.mid == one.high
    terms = {term.cause: term.time_s for term in made.terms}
    assert terms["weights"].high == pytest.approx(2 * terms["weights"].mid)
    assert terms["weights"].low == pytest.approx(0.8 * terms["weights"].mid)
    assert terms["latency"].high == pytest.approx(3 * terms["latency"].mid)
    assert speed.mid == pytest.approx(one.mid)
    assert speed.low < 0.6 * speed.mid < speed.mid < speed.high
    (said,) = (reason for reason in made.reasons if "calibration of 2026-01-01" in reason)
    assert "disturbed" in said
    assert "rank 1's float32 read (2 GB/s to 5 GB/s)" in said
    assert not any("disturbed" in reason for reason in known.reasons)


@pytest.mark.parametrize(
    ("ranks", "how", "words"),
    [(3, _FLOAT, "calibration is of other ranks"), (2, parse_quantization("3bit"), "weights of 3bit")],
)
def test_what_was_not_measured_is_not_foretold(ranks: int, how: Quantization, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        own_ground(_calibration(2), _limits(ranks), how)


def test_on_nvidias_gpus_the_host_counts_beside_what_was_measured() -> None:
    """A small model over NCCL takes as long as the host needs to hand it over, which no kernel shows."""
    calibration = _calibration(2, read_bytes_per_s=1e15)
    ranks = tuple(replace(rank, device="gpu (NVIDIA H100 80GB HBM3)") for rank in calibration.ranks)
    on_gpus = replace(calibration, backend="nccl", ranks=ranks)
    what = What(LLAMA_8B, "x", _FLOAT, "float32", "tensor", 64)
    terms = {
        term.cause: term.time_s.mid for term in plan_on(own_ground(on_gpus, _limits(2), _FLOAT), what).terms
    }
    sums = 2 * LLAMA_8B["num_hidden_layers"]
    least_s = sums * constants.NCCL_HOST_S.value.mid
    assert sum(terms.values()) > least_s
    plain = plan_on(own_ground(calibration, _limits(2), _FLOAT), what)
    assert sum(term.time_s.mid for term in plain.terms) < least_s + sums * 1e-4


@pytest.mark.parametrize(("batch", "kernel_s"), [(1, 1e-4), (8, 3e-4)])
def test_what_its_host_was_seen_to_take_counts_in_place_of_other_hosts_figures(
    batch: int, kernel_s: float
) -> None:
    calibration = replace(_calibration(2, read_bytes_per_s=1e15), backend="nccl")
    ranks = tuple(
        replace(
            rank,
            device="gpu (NVIDIA H100 80GB HBM3)",
            # The slower of two hosts' all_sums counts; a product of several rows takes what others do here.
            dispatch=Dispatch((kernel_s,) * 3, (kernel_s,) * 3, (1e-3, (1 + rank.rank) * 1e-3, 2e-3)),
        )
        for rank in calibration.ranks
    )
    what = What(LLAMA_8B, "x", _FLOAT, "float32", "tensor", 64, batch=batch)
    plan = plan_on(own_ground(replace(calibration, ranks=ranks), _limits(2), _FLOAT), what)
    assert plan.decode_tokens_per_s is not None
    layers = LLAMA_8B["num_hidden_layers"]
    host_s = (17 * layers + 6) * kernel_s + 2 * layers * 2e-3
    assert batch / plan.decode_tokens_per_s.mid == pytest.approx(host_s, rel=0.01)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_packed_weights_beside_activations_that_were_not_measured_are_not_foretold(dtype: str) -> None:
    """A CPU computes bfloat16 many times slower than float32, whatever the weights are packed in."""
    packed = parse_quantization("4bit")
    with pytest.raises(ArgumentError, match=f"(?s)activations of {dtype}.*expected: float32.*--dtype"):
        own_ground(_calibration(2), _limits(2), replace(packed, dtype=dtype))
    assert own_ground(_calibration(2), _limits(2), replace(packed, dtype="float32")).devices


@pytest.mark.parametrize("load", [{"context": -1}, {"context": 1.5}, {"batch": 0}, {"batch": True}])
def test_a_measured_cluster_has_no_other_contexts_than_the_catalogs(load: dict[str, object]) -> None:
    ground = own_ground(_calibration(2), _limits(2), _FLOAT)
    what = {"context": 64, "batch": 1} | load
    with pytest.raises(ArgumentError, match="is no number"):
        plan_on(ground, What(LLAMA_8B, "x", _FLOAT, "float32", "tensor", **what))  # type: ignore[arg-type]
