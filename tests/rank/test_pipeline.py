"""A pipeline of layers: rings that give the logits of one process, refusals, and what each rank holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from kernelkit.errors import ModelShardError
from kernelkit.rank.load import Loaded, load
from kernelkit.rank.pipeline import cuts
from kernelkit.rank.precision import parameters
from kernelkit.sharding.paths import layer_and_module
from tests.architectures import tiny
from tests.rank import tiny as common
from tests.rank.test_load import Breaker
from tests.rank.tiny import CountedGroup, RingRun

# Plain, an uneven split, sliding windows, recurrent states, layers without a cache, a state beside the hidden
# ones, a shared KV cache, a list that runs twice, mlx-lm's pipeline, heads that can be quantized, two dtypes.
KINDS: dict[str, dict[int, list[int] | None]] = {
    "llama": {2: [1, 4], 3: [1, 3, 1]},
    "qwen3": {2: None, 3: None},
    "gemma3_text": {2: None, 3: [2, 2, 1]},
    "mamba2": {2: None, 3: None},
    "nemotron_h": {2: None, 3: None},
    "rwkv7": {2: None, 3: None},
    "gemma3n": {2: None, 3: None},
    "nanbeige": {2: None, 3: None},
    "qwen2": {2: [2, 3], 3: None},
    "wide": {2: None, 3: [2, 1, 1]},
    "prism_hadamard_qwen35": {2: None, 3: None},
}

# A prompt in pieces longer than sliding windows; a chat that goes on; caches that become quantized; a batch.
RUN = """
from mlx_lm.generate import generation_stream
from mlx_lm.models.cache import make_prompt_cache
from kernelkit.rank.load import load
result = {"text": {}, "logits": {}}
prompt = [(7 * i + 3) % 90 for i in range(70)]
for name, path, split in args[0]:
    loaded = load(Path(path), strategy="pipeline", group=group, split=split, dtype="float32")
    model = loaded.model
    texts = []
    def say(prompt, **options):
        return [r.token for r in mlx_lm.stream_generate(
            model, loaded.tokenizer, prompt, max_tokens=8, prefill_step_size=32, **options)]
    cache = make_prompt_cache(model)
    texts += [say(prompt, prompt_cache=cache), say(prompt[:9], prompt_cache=cache)]
    if name == "wide":
        texts.append(say(prompt, kv_bits=8, kv_group_size=32, quantized_kv_start=40))
    mx.synchronize(generation_stream)
    with mx.stream(generation_stream):
        texts.append(mx.argmax(model(mx.array([prompt, prompt[::-1]])), axis=-1).tolist())
        result["logits"][name] = model(mx.array([prompt[:50]])).tolist()
    result["text"][name] = texts
"""

COUNT = """
from mlx_lm.models.cache import make_prompt_cache
from kernelkit.rank.load import load
from kernelkit.rank.needs import kv_bytes
model = load(Path(args[0]), strategy="pipeline", group=group, split=[4, 1]).model
caches = make_prompt_cache(model)
model(mx.zeros((1, 26), mx.int32), cache=caches)
result = {"offsets": sorted({cache.offset for cache in caches}), "bytes": [cache.nbytes for cache in caches],
          "kv_bytes": kv_bytes(model, 26)}
assert mx.distributed.all_sum(mx.array(1), group=group).item() == size
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("architectures")
    made = {name: tiny.build(folder / name, name) for name in (*KINDS, "gpt2") if name != "wide"}
    return {**made, "wide": common.build(folder / "wide", hidden_size=128)}


def _load(path: Path, rank: int, size: int, **options: Any) -> Loaded:
    group: Any = CountedGroup(rank, size)
    return load(path, group=group, strategy="pipeline", **options)


def test_rings_of_two_and_three_give_what_one_process_gives(
    folders: dict[str, Path], ring_run: RingRun
) -> None:
    [one] = ring_run(1, RUN, [[name, str(folders[name]), None] for name in KINDS])
    for size in (2, 3):
        cases = [[name, str(folders[name]), splits[size]] for name, splits in KINDS.items()]
        for rank in ring_run(size, RUN, cases):
            for name in KINDS:
                assert rank["text"][name] == one["text"][name], (name, size)
                real, expected = mx.array(rank["logits"][name]), mx.array(one["logits"][name])
                assert mx.abs(real - expected).max() < 1e-3 * mx.abs(expected).max(), (name, size)
    assert len({str(texts) for texts in one["text"].values()}) == len(KINDS)


@pytest.mark.parametrize("name", list(KINDS))
def test_each_layer_is_on_one_rank_and_the_rest_on_all(folders: dict[str, Path], name: str) -> None:
    whole = dict(parameters(_load(folders[name], 0, 1).model))
    ranks = [_load(folders[name], rank, 3) for rank in range(3)]
    held = [{path for path, _ in parameters(loaded.model)} for loaded in ranks]
    for path in whole:
        layer, _ = layer_and_module(path)
        owners = [rank for rank in range(3) if path in held[rank]]
        ranges = [loaded.summary["layer_range"] for loaded in ranks]
        expected = [rank for rank, (start, end) in enumerate(ranges) if layer is None or start <= layer < end]
        assert owners == expected, path
    assert set.union(*held) == set(whole)


def test_layers_have_a_number_whatever_their_list_is_called(folders: dict[str, Path]) -> None:
    loaded = _load(folders["gpt2"], 1, 2)
    assert {layer_and_module(path)[0] for path, _ in parameters(loaded.model)} == {None, 0, 1}
    assert len(loaded.model.layers) == loaded.summary["layers"] == 5


def test_the_layers_of_others_are_not_read_and_the_model_is_not_computed(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    path = tiny.build(tmp_path, "llama")
    broken = Breaker(path, ("model.layers.3.", "model.layers.4."))
    assert _load(path, 1, 2, split=[2, 3], on_progress=broken).summary["layer_range"] == [0, 3]
    with pytest.raises(RuntimeError):
        _load(path, 0, 2, split=[2, 3], on_progress=broken)


def test_caches_of_other_ranks_layers_count_tokens_and_hold_nothing(
    folders: dict[str, Path], ring_run: RingRun
) -> None:
    # The first layer is rank 1's. Nothing evaluates these passes, so nothing is sent.
    answers = ring_run(2, COUNT, str(folders["gemma3_text"]))
    assert [answer["offsets"] for answer in answers] == [[26], [26]]
    assert all(size_bytes == 0 for size_bytes in [answers[0]["bytes"][0], *answers[1]["bytes"][1:]])
    assert all(size_bytes > 0 for size_bytes in [*answers[0]["bytes"][1:], answers[1]["bytes"][0]])
    assert [answer["kv_bytes"] for answer in answers] == [sum(answer["bytes"]) for answer in answers]


@pytest.mark.parametrize(
    ("name", "split", "why", "cure"),
    [
        ("iquestloopcoder", None, "does not call its layers one after the other", "--strategy tensor"),
        ("dbrx", None, "its layers compute on their way", "%cluster connect 1"),
        ("gemma3n", [1, 4, 1], "some layers share a KV cache", "--split"),
        ("llama", [3, 3], "3, 3", "another split"),
        ("llama", [1] * 6, "1, 1, 1, 1, 1, 1", "fewer ranks"),
    ],
)
def test_refusals_come_alike_on_every_rank_before_anything_is_read(
    tmp_path: Path, name: str, split: list[int] | None, why: str, cure: str
) -> None:
    path = tiny.build(tmp_path, name)
    broken, size, messages = Breaker(path), len(split or (1, 1)), set()
    for rank in range(size):
        with pytest.raises(ModelShardError) as caught:
            _load(path, rank, size, split=split, on_progress=broken)
        assert why in str(caught.value.got)
        assert cure in str(caught.value.cure)
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_a_default_split_keeps_together_what_must_be(folders: dict[str, Path]) -> None:
    loaded = _load(folders["gemma3n"], 0, 1)
    possible = cuts(loaded.model, loaded.config, 3)
    starts = [_load(folders["gemma3n"], rank, 3).summary["layer_range"][0] for rank in range(3)]
    assert set(starts) <= {0, *possible}
    assert len(possible) < len(loaded.model.layers) - 1
