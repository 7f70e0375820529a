"""What one rank sent, collected as Jupyter would show it, within bounds."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelkit.outputs import collect
from kernelkit.outputs.collect import Display, RankOutput, Stream


def stream(text: str, name: str = "stdout") -> tuple[str, dict[str, Any]]:
    return "stream", {"name": name, "text": text}


def display(text: str, display_id: str | None = None, *, update: bool = False) -> tuple[str, dict[str, Any]]:
    transient = {"display_id": display_id} if display_id else {}
    content = {"data": {"text/html": text}, "metadata": {"m": text}, "transient": transient}
    return ("update_display_data" if update else "display_data"), content


def collected(*messages: tuple[str, dict[str, Any]]) -> RankOutput:
    output = RankOutput(0)
    for kind, content in messages:
        output.feed(kind, content)
    return output


def shown(output: RankOutput) -> list[str]:
    return [i.text if isinstance(i, Stream) else i.data["text/html"] for i in output.items]


def test_text_of_one_stream_is_joined_and_streams_keep_their_order() -> None:
    output = collected(stream("a"), stream("b\n"), stream("oops\n", "stderr"), stream("c\n"))
    assert shown(output) == ["ab\n", "oops\n", "c\n"]
    assert (output.stdout, output.stderr) == ("ab\nc\n", "oops\n")


def test_displays_stand_between_the_text_around_them() -> None:
    output = collected(stream("before\n"), display("rich"), stream("after\n"))
    assert shown(output) == ["before\n", "rich", "after\n"]
    assert [d.data for d in output.displays] == [{"text/html": "rich"}]


def test_a_value_is_kept_apart_from_what_was_shown() -> None:
    output = collected(("execute_result", {"data": {"text/plain": "42"}, "metadata": {}}))
    assert output.value_repr == "42"
    assert output.items == []
    assert collected().value_repr is None


def test_an_error_is_kept() -> None:
    error = {"ename": "ValueError", "evalue": "no", "traceback": ["t"]}
    assert collected(("error", error)).error == error


@pytest.mark.parametrize("kind", ["status", "execute_input", "comm_open", "a_kind_of_tomorrow"])
def test_kinds_that_show_nothing_are_ignored(kind: str) -> None:
    output = collected((kind, {"data": {"text/plain": "x"}}))
    assert output.items == []
    assert output.value is None


def test_clear_output_takes_away_what_was_shown() -> None:
    output = collected(stream("old"), display("old"), ("clear_output", {"wait": False}), stream("new"))
    assert shown(output) == ["new"]


def test_clear_output_that_waits_keeps_the_old_until_the_new_comes() -> None:
    output = collected(stream("old"), ("clear_output", {"wait": True}))
    assert shown(output) == ["old"]
    output.feed(*display("new"))
    assert shown(output) == ["new"]
    output.feed(*stream("more"))
    assert shown(output) == ["new", "more"]


def test_clear_output_at_once_cancels_one_that_waits() -> None:
    output = collected(
        ("clear_output", {"wait": True}), ("clear_output", {"wait": False}), stream("a"), stream("b")
    )
    assert shown(output) == ["ab"]


def test_an_update_replaces_its_display_in_place() -> None:
    output = collected(display("one", "id1"), display("two", "id2"), display("new", "id1", update=True))
    assert shown(output) == ["new", "two"]
    assert output.displays[0].metadata == {"m": "new"}


def test_an_update_reaches_every_display_of_that_id() -> None:
    output = collected(display("a", "id"), display("b", "id"), display("new", "id", update=True))
    assert shown(output) == ["new", "new"]


def test_an_update_of_an_unknown_display_shows_nothing() -> None:
    assert shown(collected(display("a", "id"), display("b", "other", update=True))) == ["a"]


def test_a_widget_leaves_its_fallback_behind() -> None:
    data = {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}, "text/plain": "IntSlider()"}
    output = collected(("display_data", {"data": data, "metadata": {}}))
    assert output.displays[0].data == {"text/plain": "IntSlider()"}
    assert output.displays[0].is_text


def test_help_of_a_pager_is_shown_and_other_payloads_are_not() -> None:
    output = RankOutput(0)
    payload = [
        {"source": "page", "data": {"text/plain": "Signature: f()"}},
        {"source": "set_next_input", "text": "x"},
    ]
    output.feed_reply({"status": "ok", "payload": payload})
    assert [d.text for d in output.displays] == ["Signature: f()"]


def test_twenty_thousand_lines_are_kept_whole() -> None:
    output = collected(*(stream(f"line {i}\n") for i in range(20_000)))
    assert output.stdout == "".join(f"line {i}\n" for i in range(20_000))


def test_past_the_cap_head_and_tail_stay_and_the_middle_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "KEPT_CHARS", 100)
    output = collected(*(stream(f"{i:04}\n") for i in range(1000)))
    lines = output.stdout.splitlines()
    assert (lines[0], lines[-1]) == ("0000", "0999")
    assert "… 980 lines (4,900 characters) dropped here …" in lines
    assert [line for line in lines if line.isdigit()] == [f"{i:04}" for i in (*range(10), *range(990, 1000))]


@settings(deadline=None)
@given(st.lists(st.text("ab\n", max_size=30), max_size=12))
def test_nothing_is_lost_uncounted_however_the_text_was_cut_into_messages(pieces: list[str]) -> None:
    whole = "".join(pieces)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collect, "KEPT_CHARS", 20)
        kept = Stream("stdout")
        for piece in pieces:
            kept.add(piece)
    assert whole.startswith(kept.head)
    assert whole.endswith(kept.tail)
    assert len(kept.head) + len(kept.tail) + kept.cut_chars == len(whole)
    assert len(kept.head) + len(kept.tail) <= 20
    dropped = whole[len(kept.head) : len(whole) - len(kept.tail)]
    assert kept.cut_lines == dropped.count("\n")
    if not dropped:
        assert kept.text == whole


def test_two_streams_by_turns_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cap is per rank and cell: a program that writes to both streams must not get round it."""
    monkeypatch.setattr(collect, "KEPT_CHARS", 1000)
    output = collected(*(stream("x" * 99 + "\n", ("stdout", "stderr")[i % 2]) for i in range(500)))
    assert len(output.stdout) + len(output.stderr) < 5000


def test_displays_past_the_cap_are_counted_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "KEPT_DISPLAYS", 3)
    output = collected(*(display(str(i)) for i in range(5)))
    assert shown(output) == ["0", "1", "2"]
    assert output.dropped_displays == 2


def test_text_between_displays_does_not_count_as_displays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "KEPT_DISPLAYS", 3)
    messages = [message for i in range(3) for message in (stream(f"step {i}\n"), display(str(i)))]
    output = collected(*messages)
    assert len(output.displays) == 3
    assert output.dropped_displays == 0


def test_clearing_forgets_what_was_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collect, "KEPT_DISPLAYS", 1)
    output = collected(display("a"), display("b"), ("clear_output", {"wait": False}), display("c"))
    assert shown(output) == ["c"]
    assert output.dropped_displays == 0


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.text("ab\n", min_size=1)), max_size=8))
def test_the_recent_part_is_the_end_of_all(pieces: list[tuple[str, str]]) -> None:
    output = collected(*(stream(text, name) for name, text in pieces))
    whole = "".join(shown(output))
    recent = output.recent(10)
    assert whole.endswith("".join(shown(recent)))
    assert sum(map(len, shown(recent))) == min(10, len(whole))
    assert (recent.rank, recent.value, recent.error) == (0, None, None)


def test_the_recent_part_keeps_its_displays_and_leaves_the_original_alone() -> None:
    output = collected(stream("old " * 100), display("rich"), stream("new"))
    assert shown(output.recent(5)) == ["d ", "rich", "new"]
    assert shown(output) == ["old " * 100, "rich", "new"]


def test_a_display_knows_its_text() -> None:
    assert Display({"text/plain": "x"}).text == "x"
    assert not Display({"text/plain": "x", "text/html": "y"}).is_text
