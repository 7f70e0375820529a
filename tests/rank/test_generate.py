"""Generation against mlx-lm's own loop, and the stop that leaves all ranks at the same token."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kernelkit.errors import ArgumentError
from kernelkit.rank import timing
from kernelkit.rank.generate import StopControl, encode, generate
from kernelkit.rank.load import Loaded, load
from tests.rank import tiny
from tests.rank.tiny import CountedGroup, RingRun


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    path = tiny.build(tmp_path_factory.mktemp("tiny"))
    return load(path, strategy="tensor", group=CountedGroup(0, 1))  # type: ignore[arg-type]


def _generate(loaded: Loaded, prompt: str = "hello", **changes: Any) -> dict[str, Any]:
    options = {"max_tokens": 16, "temp": 0.0, "top_p": 1.0, "seed": 0, "raw": True}
    seams = {"on_text": lambda text: None, "control": StopControl()}
    return generate(loaded, prompt, **{**options, **seams, **changes})


# --- one process ---------------------------------------------------------------------------------


def test_greedy_tokens_are_those_of_mlx_lm(loaded: Loaded) -> None:
    from mlx_lm import stream_generate

    plain = list(stream_generate(loaded.model, loaded.tokenizer, "hello", max_tokens=16))
    pieces: list[str] = []
    result = _generate(loaded, on_text=pieces.append)
    assert result["tokens"] == [response.token for response in plain]
    assert result["text"] == "".join(pieces) == "".join(response.text for response in plain)
    assert result["finish_reason"] == "length"
    assert (result["prompt_tokens"], result["generation_tokens"]) == (5, 16)
    assert result["prompt_tokens_per_s"] > 0
    assert result["generation_tokens_per_s"] > 0


def test_every_token_has_its_time(loaded: Loaded) -> None:
    told: list[str | float] = []
    result = _generate(loaded, on_text=told.append, on_token=told.append)
    times_s = result["token_times_s"]
    assert len(times_s) == len(result["tokens"])
    assert times_s[0] > 0
    assert times_s == sorted(times_s)
    assert times_s[-1] <= result["elapsed_s"]
    assert result["generation_tokens_per_s"] == pytest.approx(15 / (times_s[-1] - times_s[0]), rel=1e-3)
    # Each token has text here, and its text comes before its time.
    assert "".join(map(str, told[::2])) == result["text"]
    assert told[1::2] == pytest.approx(times_s, abs=1e-6)


def test_the_prompt_is_told_from_its_first_token_to_its_last(loaded: Loaded) -> None:
    told: list[tuple[int, int]] = []
    _generate(loaded, on_prompt=lambda done, total: told.append((done, total)))
    assert told[0] == (0, 5)
    assert told[-1] == (5, 5)
    assert told == sorted(told)


def test_communication_is_not_known_unless_recorded(loaded: Loaded) -> None:
    assert _generate(loaded)["communication_s"] is None
    assert _generate(loaded, record=True)["communication_s"] == 0.0  # alone there is none
    assert timing.clock is None


def test_peak_memory_counts_the_weights(loaded: Loaded) -> None:
    assert _generate(loaded)["peak_memory_bytes"] > loaded.summary["weight_bytes"]


def test_end_token_stops_and_is_counted_but_not_shown(loaded: Loaded) -> None:
    first = _generate(loaded)
    end = first["tokens"][5]
    cut = first["tokens"].index(end) + 1
    tokenizer = loaded.tokenizer
    before = set(tokenizer.eos_token_ids)
    tokenizer.eos_token_ids = {end}
    try:
        result = _generate(loaded)
    finally:
        tokenizer.eos_token_ids = before
    assert result["tokens"] == first["tokens"][:cut]
    assert result["generation_tokens"] == cut
    assert result["finish_reason"] == "stop"
    assert result["text"] == tokenizer.decode(result["tokens"][:-1])


def test_sampling_follows_the_seed(loaded: Loaded) -> None:
    runs = [_generate(loaded, temp=1.0, top_p=0.95, seed=seed)["tokens"] for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_a_single_token_has_no_rate(loaded: Loaded) -> None:
    result = _generate(loaded, max_tokens=1)
    assert len(result["tokens"]) == 1
    assert result["generation_tokens_per_s"] == 0.0


def test_chat_template_unless_raw(loaded: Loaded, tmp_path: Path) -> None:
    tokenizer = loaded.tokenizer
    assert tokenizer.decode(encode(tokenizer, "hi", raw=False)) == "[user]hi[assistant]"
    assert tokenizer.decode(encode(tokenizer, "hi", raw=True)) == "hi"
    plain = load(tiny.build(tmp_path, chat=False), strategy="tensor", group=CountedGroup(0, 1))  # type: ignore[arg-type]
    assert plain.tokenizer.decode(encode(plain.tokenizer, "hi", raw=False)) == "hi"


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"prompt": ""}, "prompt is empty"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"temp": -0.1}, "temp is"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
    ],
)
def test_arguments_out_of_range(loaded: Loaded, changes: dict[str, Any], what: str) -> None:
    with pytest.raises(ArgumentError, match=what):
        _generate(loaded, **changes)


def test_interrupt_goes_through(loaded: Loaded) -> None:
    control = StopControl()

    def interrupt(text: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _generate(loaded, on_text=interrupt, control=control, record=True)
    assert control.finished
    assert timing.clock is None


def test_stop_ends_at_the_asked_token(loaded: Loaded) -> None:
    control = StopControl()
    answers: list[int] = []

    def stop(text: str) -> None:
        if not answers:
            answers.append(control.freeze())
            control.release(answers[0] + 3)

    result = _generate(loaded, max_tokens=200, on_text=stop, control=control)
    assert result["finish_reason"] == "stopped"
    # The first step read the prompt, all but its last token.
    assert len(result["tokens"]) == result["generation_tokens"] == answers[0] + 3 - 1
    assert control.freeze() == answers[0] + 3  # settled


# --- the protocol, with threads for ranks and a barrier for the collectives ------------------------


def _rank(control: StopControl, collective: threading.Barrier, total: int, pause: Callable[[], None]) -> int:
    """One rank's loop: each token needs all ranks. Returns its count of tokens."""
    for count in range(1, total + 1):
        collective.wait(timeout=10)
        pause()
        if control.yielded(last=count == total):
            return count
    return total


@pytest.mark.parametrize("seed", range(60))
def test_all_ranks_stop_at_the_same_token(seed: int) -> None:
    chance = random.Random(seed)
    size, total = chance.randint(2, 4), chance.choice([1, 2, 5, 1000])
    collective = threading.Barrier(size)
    controls = [StopControl() for _ in range(size)]
    counts: dict[int, int] = {}

    def jitter() -> None:
        time.sleep(chance.random() * 1e-3)

    def run(rank: int) -> None:
        counts[rank] = _rank(controls[rank], collective, total, jitter)
        controls[rank].finish()

    threads = [threading.Thread(target=run, args=(rank,), daemon=True) for rank in range(size)]
    for thread in threads:
        thread.start()
    for _ in range(chance.randint(0, 5)):
        jitter()
    reached = []
    for control in chance.sample(controls, size):
        reached.append(control.freeze())
        jitter()
    for control in chance.sample(controls, size):
        control.release(max(reached))
        jitter()
    for thread in threads:
        thread.join(timeout=20)
    assert len(counts) == size, "a rank waits for one that has left"
    assert len(set(counts.values())) == 1
    assert counts[0] <= min(total, max(reached))
    assert collective.n_waiting == 0


def test_freeze_says_where_the_rank_is_heading() -> None:
    control = StopControl()
    assert control.freeze() == 1  # before or inside the first token
    thread = threading.Thread(target=control.yielded, kwargs={"last": False}, daemon=True)
    thread.start()
    while control.freeze() != 1 or not control._paused:
        thread.join(timeout=1e-3)
    assert control.freeze() == 1  # paused there now
    control.release(1)
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_release_behind_the_rank_is_refused_and_changes_nothing() -> None:
    control = StopControl()
    for _ in range(3):
        control.yielded(last=False)
    assert control.freeze() == 4
    with pytest.raises(ArgumentError, match="cannot stop at token 2"):
        control.release(2)
    control.release(4)
    control.release(9)  # the first one counts
    assert control.freeze() == 4
    assert control.yielded(last=False)


def test_a_finished_generation_answers_its_count() -> None:
    control = StopControl()
    assert not control.yielded(last=False)
    assert not control.yielded(last=True)
    assert control.finished
    assert control.freeze() == 2
    control.release(1)  # too late to matter


# --- two real ranks --------------------------------------------------------------------------------

STOP = """
import threading
from kernelkit.rank import timing
from kernelkit.rank.generate import StopControl, generate
from kernelkit.rank.load import load
path, strategies, folder = args
result = []

def run(loaded, control, on_text, **options):
    options = {"max_tokens": 20, "temp": 0, **options}
    return generate(loaded, "hello", top_p=1, seed=3, raw=True, on_text=on_text, control=control, **options)

def tell(round, value):
    Path(folder, f"{round}.{rank}.part").write_text(str(value))
    Path(folder, f"{round}.{rank}.part").rename(Path(folder, f"{round}.{rank}"))

def hear(round, other):
    while not Path(folder, f"{round}.{other}").exists():
        time.sleep(0.001)
    return int(Path(folder, f"{round}.{other}").read_text())

for round, strategy in enumerate(strategies):
    loaded = load(Path(path), strategy=strategy, group=group)
    greedy = run(loaded, StopControl(), lambda text: None)
    sampled = run(loaded, StopControl(), lambda text: None, temp=1.0)

    control, enough = StopControl(), threading.Event()
    pieces = []
    def stop():
        # The controller's part of the protocol, by files. Rank 1 is asked long after rank 0 has
        # paused: it answers while its main thread waits inside a collective.
        if rank == 0:
            enough.wait()
        else:
            hear(round, 0)
            time.sleep(0.5)
        tell(round, control.freeze())
        control.release(max(hear(round, other) for other in range(size)))
    def on_text(text):
        pieces.append(text)
        if len(pieces) == 5:
            enough.set()
    threading.Thread(target=stop, daemon=True).start()
    stopped = run(loaded, control, on_text, max_tokens=20000)
    again = run(loaded, StopControl(), lambda text: None)
    assert again["tokens"] == greedy["tokens"], "out of step after a stop"
    result.append([greedy["tokens"], sampled["tokens"], stopped["tokens"], stopped["finish_reason"]])
"""


def test_two_ranks_sample_alike_and_stop_in_step(tmp_path: Path, ring_run: RingRun) -> None:
    path = str(tiny.build(tmp_path / "model", "qwen2"))
    first, second = ring_run(2, STOP, path, ["tensor", "pipeline"], str(tmp_path))
    assert first == second
    for greedy, sampled, stopped, reason in first:
        assert len(greedy) == len(sampled) == 20
        assert greedy != sampled
        assert reason == "stopped"
        assert 5 <= len(stopped) < 20000
        assert stopped[:20] == greedy[: len(stopped)]
