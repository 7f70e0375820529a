"""Plans: memory, speed by cause, refusals, and that they are plain data."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kernelkit.catalog import parse_nodes
from kernelkit.errors import ArgumentError, ModelShardError
from kernelkit.perf import Plan, Range, plan
from kernelkit.perf.devices import device
from kernelkit.sharding.anatomies import anatomy
from kernelkit.sharding.capacity import largest_context
from kernelkit.sharding.layout import layout
from kernelkit.sharding.memory import DeviceLimit
from kernelkit.sharding.planmemory import planned_memory
from kernelkit.sharding.quantization import Quantization
from tests.perf.configs import DEEPSEEK_V3, LLAMA_8B, QWEN3_30B


def mid(figure: Range | None) -> float:
    assert figure is not None
    return figure.mid


@pytest.mark.parametrize("config", [LLAMA_8B, QWEN3_30B, DEEPSEEK_V3])
@pytest.mark.parametrize("strategy", ["tensor", "pipeline"])
def test_a_plan_is_whole_and_stays_itself(config: dict[str, Any], strategy: Any) -> None:
    made = plan(config, "4xm3-ultra-512", strategy=strategy)
    assert made.fits
    token_s = sum(term.time_s.mid for term in made.terms)
    assert mid(made.decode_tokens_per_s) == pytest.approx(1 / token_s)
    assert mid(made.time_to_first_token_s) == pytest.approx(4096 / mid(made.prefill_tokens_per_s))
    assert Plan.from_dict(json.loads(json.dumps(made.to_dict()))) == made
    assert made.shards.size_bytes(0) == made.weight_bytes[0]
    assert "tokens/s" in repr(made)
    assert "<table" in made._repr_html_()


@pytest.mark.parametrize("config", [LLAMA_8B, QWEN3_30B])
def test_the_cache_is_that_of_the_memory_map(config: dict[str, Any]) -> None:
    made = plan(config, "2xm3-ultra-256", context=1000, batch=1)
    limits = [DeviceLimit(rank.node, rank.limit_bytes) for rank in made.ranks]
    memory = planned_memory(made.shards, config, limits)
    assert made.kv_bytes == tuple(memory.kv_bytes(rank, 1000) for rank in range(2))


def test_what_does_not_fit_has_no_speed_and_says_what_is_missing() -> None:
    made = plan(DEEPSEEK_V3, "m3-ultra-512", quantization="8bit")
    assert not made.fits
    assert made.free_bytes[0] < 0
    assert made.decode_tokens_per_s is None
    assert "does not fit" in made.reasons[0]
    assert "It fits on 2 such machines: tensor over tb5-rdma (jaccl)." in made.reasons
    assert plan(DEEPSEEK_V3, "2xm3-ultra-512", quantization="8bit").fits


@pytest.mark.parametrize(
    ("on", "link", "way"),
    [
        ("m4-max-64", None, "tb5-rdma (jaccl-ring)"),  # a mesh has 8 ranks at most
        ("2xm4-max-64", "10gbe", "10gbe (ring)"),
    ],
)
def test_enough_machines_come_with_what_runs_over_so_many(on: str, link: str | None, way: str) -> None:
    model = DEEPSEEK_V3 | {"num_hidden_layers": 90}
    made = plan(model, on, link=link)
    (said,) = (reason for reason in made.reasons if "such machines" in reason)
    assert said.endswith(f" over {way}.")
    nodes, strategy = int(said.split()[3]), said.split()[6]
    assert nodes > 8
    backend = way.partition("(")[2].rstrip(")")
    again: dict[str, Any] = {"strategy": strategy, "link": link, "backend": backend}
    assert plan(model, "m4-max-64", nodes, **again).fits
    assert not plan(model, "m4-max-64", nodes - 1, **again).fits


def test_enough_machines_without_pipelines_are_tensor_parallel() -> None:
    reasons = plan(DEEPSEEK_V3, "h100-80").reasons
    assert any("such machines: tensor over nvlink4 (nccl)." in reason for reason in reasons)


def test_a_mesh_that_no_mac_has_the_ports_for_is_told() -> None:
    eight, six = (" ".join(plan(LLAMA_8B, f"{count}xm3-ultra-512").reasons) for count in (8, 6))
    assert "A mesh of 8 takes 7 cables at each Mac" in eight
    assert "takes" not in six.replace("Collectives take", "")
    ring = plan(LLAMA_8B, "8xm3-ultra-512", backend="jaccl-ring")
    assert not any("mesh" in reason for reason in ring.reasons)


def test_what_measurements_on_gpus_have_shown_to_be_wrong_is_told() -> None:
    one, batch, eight = (
        " ".join(plan(LLAMA_8B, on, batch=count).reasons)
        for on, count in (("2xh100-80", 1), ("2xh100-80", 8), ("8xh100-80", 1))
    )
    assert "Do not trust this batch" in batch
    assert "was measured on 2 GPUs" in eight
    assert "Do not trust" not in one
    assert "Do not trust" not in " ".join(plan(LLAMA_8B, "2xm4-max-128", batch=8).reasons)
    assert "was measured on" not in one


def test_the_largest_context_is_that_of_the_capacity() -> None:
    for config, on, strategy in ((LLAMA_8B, "2xm4-16", "tensor"), (QWEN3_30B, "3xm4-16", "pipeline")):
        made = plan(config, on, strategy=strategy, link="tb4")  # type: ignore[arg-type]
        whole, limits = anatomy(config), [rank.limit_bytes for rank in made.ranks]
        dealt = layout(whole, made.nodes, made.strategy)
        assert made.largest_context == largest_context(whole, dealt, limits, made.quantization)


def test_the_largest_context_is_the_largest() -> None:
    largest = plan(LLAMA_8B, "2xm4-16", quantization="8bit", link="tb4").largest_context
    assert plan(LLAMA_8B, "2xm4-16", quantization="8bit", link="tb4", context=largest).fits
    assert not plan(LLAMA_8B, "2xm4-16", quantization="8bit", link="tb4", context=largest + 1).fits


def test_names_of_the_catalog_and_their_own_quantization() -> None:
    own = plan("gpt-oss-120b", "m3-ultra-256")
    assert own.quantization == "as its config says"
    assert own.shards.size_bytes(0) == own.weight_bytes[0] < 70e9
    assert plan("llama-3.3-70b", "m3-ultra-256").quantization == "4bit"
    mixed = {"bits": 4, "group_size": 64, "model.layers.0.mlp.down_proj": {"bits": 8, "group_size": 64}}
    made = plan(LLAMA_8B, "m3-ultra-256", quantization=mixed)
    assert made.shards.size_bytes(0) == made.weight_bytes[0] > plan(LLAMA_8B, "m3-ultra-256").weight_bytes[0]


def test_a_plan_names_the_quantization_of_the_teaching_model() -> None:
    made = plan("austen", "m4-16", context=512)
    assert repr(made).startswith("austen 8bit on m4-16, 512 tokens")
    assert made.shards.size_bytes(0) == made.weight_bytes[0]


def test_machines_of_different_memory_get_shares_by_it() -> None:
    mixed = "m3-ultra-512,m4-max-64"
    made = plan(LLAMA_8B | {"num_hidden_layers": 520}, mixed, quantization="8bit", context=100)
    assert made.fits
    assert made.split is not None
    assert made.weight_bytes[0] > made.weight_bytes[1]
    layers = plan(
        LLAMA_8B | {"num_hidden_layers": 520},
        mixed,
        quantization="8bit",
        context=100,
        strategy="pipeline",
    )
    assert layers.fits
    assert layers.split is not None


def test_the_slowest_rank_sets_the_pace_of_tensor_parallelism() -> None:
    machines = ("2xm4-max-128", "m4-max-128,m3-ultra-256")
    alike, mixed = (plan(LLAMA_8B, on, split=(1, 1)) for on in machines)
    assert mid(mixed.decode_tokens_per_s) == pytest.approx(mid(alike.decode_tokens_per_s))
    assert plan(LLAMA_8B, "2xm3-ultra-256").terms != alike.terms


@pytest.mark.parametrize("strategy", ["tensor", "pipeline"])
def test_faster_machines_get_more_where_that_is_faster(strategy: Any) -> None:
    mixed = ["m4-max-128", "m3-ultra-256"]
    evenly = (1, 1) if strategy == "tensor" else (16, 16)
    made, even = (plan(LLAMA_8B, mixed, strategy=strategy, split=split) for split in (None, evenly))
    assert made.split is not None
    assert made.split[0] < made.split[1]
    assert mid(made.decode_tokens_per_s) > 1.02 * mid(even.decode_tokens_per_s)
    assert any(f"--split {','.join(map(str, made.split))}." in reason for reason in made.reasons)
    again = plan(LLAMA_8B, mixed, strategy=strategy, split=made.split)
    assert again.decode_tokens_per_s == made.decode_tokens_per_s
    assert not any("--split" in reason for reason in even.reasons)
    assert plan(LLAMA_8B, "m3-ultra-96,m3-ultra-256", strategy=strategy).split is None


def test_a_faster_machine_gets_no_more_than_fits() -> None:
    large = {"model": LLAMA_8B | {"num_hidden_layers": 620}, "quantization": "8bit", "context": 100}
    mixed = "m4-max-128,m3-ultra-96"
    assert not plan(**large, on=mixed, split=(2, 3)).fits
    made = plan(**large, on=mixed)
    assert (made.fits, made.split) == (True, None)
    pipeline = plan(**large, on=mixed, strategy="pipeline")
    assert pipeline.fits
    assert pipeline.split is not None
    assert pipeline.split[1] > 310


def test_a_pipeline_gives_one_token_no_more_speed_but_a_long_prompt() -> None:
    one, two = (
        plan(LLAMA_8B, "m3-ultra-256", nodes, strategy="pipeline", context=16_384) for nodes in (1, 2)
    )
    assert mid(two.decode_tokens_per_s) < mid(one.decode_tokens_per_s)
    assert mid(two.prefill_tokens_per_s) > 1.5 * mid(one.prefill_tokens_per_s)


def test_more_sequences_share_what_is_read() -> None:
    one, many = (plan(LLAMA_8B, "m3-ultra-256", batch=batch, context=128) for batch in (1, 8))
    assert mid(many.decode_tokens_per_s) > 5 * mid(one.decode_tokens_per_s)


def test_a_long_context_takes_time_and_memory() -> None:
    short, long = (plan(LLAMA_8B, "m3-ultra-256", context=context) for context in (1000, 100_000))
    assert mid(long.decode_tokens_per_s) < mid(short.decode_tokens_per_s)
    assert long.kv_bytes[0] == 100 * short.kv_bytes[0]
    assert short.largest_context == LLAMA_8B["max_position_embeddings"]


@pytest.mark.parametrize(
    ("changes", "error", "word"),
    [
        ({"on": "2xh200-141", "strategy": "pipeline"}, ArgumentError, "nccl has no send"),
        ({"on": "2xm2-ultra-192", "link": "tb5-rdma"}, ArgumentError, "has no Thunderbolt 5 RDMA"),
        ({"on": "9xm3-ultra-512"}, ArgumentError, "at most 8"),
        ({"on": "3xh100-nvl-94"}, ArgumentError, "NVLink 4 bridge joins 2 ranks"),
        ({"on": "9xh100-80"}, ArgumentError, "NVLink 4 joins 8 ranks"),
        ({"strategy": "magic"}, ArgumentError, "no plan for that strategy"),
        ({"strategy": "hybrid"}, ArgumentError, r"(?s)no plan for a hybrid.*kk\.Job\.planned\(.*stages="),
        ({"context": 0}, ArgumentError, "context is no number"),
        ({"context": "100k"}, ArgumentError, "(?s)context is no number.*100_000.*got: '100k'"),
        ({"on": "m4-16", "backend": "foo"}, ArgumentError, "no plan for the backend 'foo'"),
        ({"on": "2xm4-16", "link": "tb4", "backend": ""}, ArgumentError, "no plan for the backend ''"),
        ({"model": {"model_type": "unheard", "hidden_size": 1}}, ModelShardError, "unheard"),
        ({"on": "40xm3-ultra-512", "strategy": "pipeline", "link": "10gbe"}, ModelShardError, "32 layers"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], error: type[Exception], word: str) -> None:
    with pytest.raises(error, match=word):
        plan(**{"model": LLAMA_8B, **changes})


def test_a_bridge_between_two_cards_is_slower_than_their_siblings_nvlink() -> None:
    bridged, sxm = (plan(LLAMA_8B, on).terms for on in ("2xh100-nvl-94", "2xh100-80"))
    transfer = {name: terms[-1].time_s for name, terms in (("bridge", bridged), ("sxm", sxm))}
    assert transfer["bridge"].mid > transfer["sxm"].mid
    assert transfer["bridge"].high == pytest.approx(transfer["sxm"].high * 142 / 95, rel=0.01)
    assert not any("such machines" in reason for reason in plan(DEEPSEEK_V3, "h100-nvl-94").reasons)


def test_a_cards_own_measured_bandwidth_goes_before_its_siblings_share() -> None:
    (h200,), (h100,) = parse_nodes("h200-141"), parse_nodes("h100-80")
    own, shared = (device(node.chip, Quantization()) for node in (h200, h100))
    assert own is not None
    assert shared is not None
    assert own.read_bytes_per_s.mid == 4.3e12  # as measured; its nominal one is 4.8e12
    assert own.read_bytes_per_s.low == pytest.approx(0.6 * 4.8e12)
    assert shared.read_bytes_per_s.mid == pytest.approx(0.82 * 3.35e12)


def test_each_sequence_of_a_batch_goes_through_quantized_weights_anew_on_a_gpu() -> None:
    """As MLX's kernel for one row does there; on a Mac, and in 16 bits, they are read once for all."""

    def step_s(on: str, quantization: str, batch: int) -> float:
        rate = plan(
            "llama-3.3-70b", on, quantization=quantization, context=512, batch=batch
        ).decode_tokens_per_s
        assert rate is not None
        return batch / rate.mid

    assert step_s("h200-141", "4bit", 8) > 6 * step_s("h200-141", "4bit", 1)
    assert step_s("m3-ultra-512", "4bit", 8) < 1.1 * step_s("m3-ultra-512", "4bit", 1)
    # In 16 bits the host has more to do for products of several rows, and the weights are read once.
    assert 1.1 < step_s("2xh200-141", "bfloat16", 8) / step_s("2xh200-141", "bfloat16", 1) < 1.5


def test_experts_of_a_batch_are_as_many_rows_as_sequences_on_a_gpu() -> None:
    one, two = (plan(QWEN3_30B, "h100-80", quantization="4bit", context=512, batch=batch) for batch in (1, 2))
    compute = [next(term.time_s.mid for term in made.terms if term.cause == "compute") for made in (one, two)]
    assert compute[1] == pytest.approx(2 * compute[0], rel=0.05)


def test_a_prompts_first_token_waits_for_two_graphs_where_the_host_sets_the_pace() -> None:
    made = plan(LLAMA_8B, "2xh100-80", quantization="bfloat16", context=1)
    first, rate = made.time_to_first_token_s, made.decode_tokens_per_s
    assert first is not None
    assert rate is not None
    token_s = 1 / rate.mid
    assert first.mid == pytest.approx(2 * token_s)
    large = plan("llama-3.3-70b", "h200-141", quantization="bfloat16", context=1)
    assert large.time_to_first_token_s is not None
    assert large.decode_tokens_per_s is not None
    assert large.time_to_first_token_s.mid == pytest.approx(1 / large.decode_tokens_per_s.mid)


def test_what_was_not_measured_of_quantized_weights_on_gpus_is_told() -> None:
    said = "only whole models of 4 bits were measured"
    for on, quantization, told in (
        ("h100-80", "4bit", False),
        ("h100-80", "8bit", True),
        ("h100-80", "mxfp4", True),
        ("m3-ultra-256", "8bit", False),
    ):
        reasons = " ".join(plan(LLAMA_8B, on, quantization=quantization).reasons)
        assert (said in reasons) == told, (on, quantization)
    assert "1.6 times slower to 1.1 times faster" in " ".join(
        plan(LLAMA_8B, "2xh100-80", quantization="4bit").reasons
    )


def test_wifi_is_not_predicted_and_says_so() -> None:
    made = plan(LLAMA_8B, "2xm3-ultra-256", link="wifi")
    assert made.fits
    assert made.decode_tokens_per_s is None
    assert any("No honest prediction" in reason for reason in made.reasons)


def test_a_jump_of_large_sums_is_told() -> None:
    # 16 sequences of 16,384 numbers of 2 bytes are 512 KiB.
    before, after = (plan("llama-3.1-405b", "8xm3-ultra-512", batch=batch) for batch in (16, 17))
    assert before.decode_tokens_per_s is not None
    assert after.decode_tokens_per_s is not None
    assert after.decode_tokens_per_s.mid < before.decode_tokens_per_s.mid
    told = [any("512 KiB" in reason for reason in made.reasons) for made in (before, after)]
    assert told == [False, True]
    assert any("in 14 steps" in reason for reason in after.reasons)
