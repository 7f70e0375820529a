"""Cells on real ranks: values, output, completion, and bad input."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from kernelkit import Cluster
from kernelkit.errors import ArgumentError, KernelkitError, RankError
from tests.cluster.cells import SUM, values

# -- what comes back ------------------------------------------------------------------------------


def test_every_rank_gives_its_value(cluster: Cluster) -> None:
    result = cluster.run("rank * 2, world_size")
    assert values(result) == ["(0, 2)", "(2, 2)"]
    assert repr(result) == "[0] (0, 2)\n[1] (2, 2)"


def test_a_recorded_cell_says_what_each_rank_did_when(cluster: Cluster) -> None:
    sums = "y = mx.distributed.all_sum(mx.distributed.all_sum(mx.ones(8)))"
    late = "import time\nmx.eval(mx.distributed.all_sum(mx.ones(1)))\nif rank == 1: time.sleep(0.3)"
    result = cluster.run(f"{late}\n{sums}\ny[0].item()", record=True)
    assert values(result) == ["4.0", "4.0"]
    timeline = result.timeline
    assert timeline is not None
    for lane in timeline.ranks:
        summed = [span.size_bytes for span in lane.spans if span.what == "collective"]
        assert summed == [4, 32, 32]
    assert timeline.ranks[0].seconds["wait"] > 0.2 > timeline.ranks[1].seconds["wait"]
    assert timeline.critical_rank == 1
    assert cluster.run(sums).timeline is None


@pytest.mark.parametrize(
    ("with_it", "why"), [({"ranks": [0]}, "all ranks"), ({"check": True}, "the checks as well")]
)
def test_what_cannot_be_recorded_is_refused(cluster: Cluster, with_it: dict[str, Any], why: str) -> None:
    with pytest.raises(ArgumentError, match=why):
        cluster.run("1", record=True, **with_it)


def test_without_a_last_expression_there_is_no_value(cluster: Cluster) -> None:
    result = cluster.run("x = 1;")
    assert values(result) == [None, None]
    assert not result.has_values


def test_the_namespace_persists(cluster: Cluster) -> None:
    cluster.run("kept = rank + 10\ndef double(x): return 2 * x")
    assert values(cluster.run("double(kept)")) == ["20", "22"]


def test_names_that_every_rank_has(cluster: Cluster) -> None:
    result = cluster.run("mx.__name__, nn.__name__, rank, world_size, group.size()")
    assert values(result) == [f"('mlx.core', 'mlx.nn', {rank}, 2, 2)" for rank in (0, 1)]


def test_ranks_compute_together(cluster: Cluster) -> None:
    assert values(cluster.run(SUM)) == ["3", "3"]


def test_a_cell_may_run_on_some_ranks(cluster: Cluster) -> None:
    result = cluster.run("only_here = rank; only_here", ranks=[1])
    assert dict(result).keys() == {1}
    assert result[1].value_repr == "1"
    assert values(cluster.run("'only_here' in globals()")) == ["False", "True"]


def test_streams_are_kept_apart(cluster: Cluster) -> None:
    result = cluster.run("import sys\nprint('out', rank)\nprint('err', rank, file=sys.stderr)")
    assert [result[r].stdout for r in (0, 1)] == ["out 0\n", "out 1\n"]
    assert [result[r].stderr for r in (0, 1)] == ["err 0\n", "err 1\n"]


def test_what_a_child_process_prints_is_captured(cluster: Cluster) -> None:
    result = cluster.run("import os; _ = os.system('echo from a child')")
    assert result[0].stdout == "from a child\n"


def test_a_child_process_that_reads_finds_the_end_of_its_input(cluster: Cluster) -> None:
    """As below any kernel: it must not wait on the pipe by which the agent holds the rank."""
    code = "import subprocess; subprocess.run(['cat'], timeout=3).returncode"
    assert values(cluster.run(code)) == ["0", "0"]


def test_top_level_await(cluster: Cluster) -> None:
    assert values(cluster.run("import asyncio\nawait asyncio.sleep(0)\nawait asyncio.sleep(0, rank)")) == [
        "0",
        "1",
    ]


def test_magics_of_ipython_work(cluster: Cluster) -> None:
    assert (
        "3 function calls" in cluster.run("%prun -q -s time pass\n%prun pass", ranks=[0])[0].displays[-1].text
    )
    assert values(cluster.run("x = %sx echo hi\nx[0]")) == ["'hi'", "'hi'"]


def test_help_is_shown(cluster: Cluster) -> None:
    (shown,) = cluster.run("len?", ranks=[0])[0].displays
    assert "Return the number of items" in shown.text


@pytest.mark.parametrize(
    ("code", "mime", "part"),
    [
        ("from IPython.display import HTML, display; display(HTML('<b>x</b>'))", "text/html", "<b>x</b>"),
        ("from IPython.display import Markdown, display; display(Markdown('*x*'))", "text/markdown", "*x*"),
        # "iVBOR" is what every PNG begins with in base64.
        ("import matplotlib.pyplot as plt\nplt.plot([1, 2]);", "image/png", "iVBOR"),
        ("import warnings; print(end=''); display({'a': 1})", "text/plain", "{'a': 1}"),
    ],
    ids=["html", "markdown", "figure", "plain"],
)
def test_rich_output_arrives_as_such(cluster: Cluster, code: str, mime: str, part: str) -> None:
    result = cluster.run(code)
    for rank in (0, 1):
        (shown,) = result[rank].displays
        assert part in shown.data[mime]


def test_a_rich_value_keeps_its_forms(cluster: Cluster) -> None:
    code = "class Rich:\n    def _repr_html_(self): return '<i>v</i>'\nRich()"
    value = cluster.run(code)[0].value
    assert value is not None
    assert value.data["text/html"] == "<i>v</i>"


def test_a_display_is_updated_in_place(cluster: Cluster) -> None:
    code = "h = display('old', display_id=True)\nprint('between')\nh.update('new')"
    output = cluster.run(code)[1]
    assert [d.text for d in output.displays] == ["'new'"]


def test_output_comes_while_the_cell_runs(cluster: Cluster, tmp_path: Path) -> None:
    """The ranks wait for a file that is made only once their first line has been seen."""
    seen = tmp_path / "seen"
    code = f"""
import pathlib, time
print("first")
while not pathlib.Path({str(seen)!r}).exists():
    time.sleep(0.01)
"""
    turns: list[list[int]] = []

    def on_turn(outputs: Any, running: Any, places: Any) -> None:
        turns.append(list(running))
        if all(output.stdout == "first\n" for output in outputs.values()):
            seen.touch()

    cluster.run(code, on_turn=on_turn)
    assert turns[0] == [0, 1]


def test_twenty_thousand_lines_on_each_rank_arrive_whole(cluster: Cluster) -> None:
    result = cluster.run("for i in range(20_000): print('rank', rank, 'line', i)")
    for rank in (0, 1):
        assert result[rank].stdout == "".join(f"rank {rank} line {i}\n" for i in range(20_000))


def test_last_holds_the_latest_cell_also_when_it_failed(cluster: Cluster) -> None:
    with pytest.raises(RankError):
        cluster.run("print('before'); 1 / 0")
    assert cluster.last[1].stdout == "before\n"
    error = cluster.last[1].error
    assert error is not None
    assert error["ename"] == "ZeroDivisionError"


def test_names_are_completed(cluster: Cluster, eventually: Callable[..., bool]) -> None:
    cluster.run("a_name_like_no_other = 1")
    answers: list[Any] = []

    def completed() -> bool:
        # The first completion loads its engine and may take longer than anyone would wait.
        answers.append(cluster.complete("a_name_like", 11, rank=1))
        return answers[-1] is not None

    assert eventually(completed)
    assert answers[-1]["matches"] == ["a_name_like_no_other"]


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ranks", [[], [2], [0, -1], ["0"], 1, None], ids=repr)
def test_ranks_that_are_not_there(cluster: Cluster, ranks: Any) -> None:
    if ranks is None:  # means all of them
        assert len(cluster.run("1", ranks=ranks)) == 2
        return
    with pytest.raises(ArgumentError) as caught:
        cluster.run("1", ranks=ranks)
    assert "0 to 1" in caught.value.expected


@pytest.mark.timeout(20)
@pytest.mark.parametrize("code", [5, None, b"1"], ids=repr)
def test_code_that_is_no_text(cluster: Cluster, code: Any) -> None:
    with pytest.raises(ArgumentError):
        cluster.run(code)


@pytest.mark.parametrize("code", ["", "\n", "# nothing", "'\N{SNOWMAN}'", "'''\x00'''"], ids=repr)
def test_odd_code_is_answered(cluster: Cluster, code: str) -> None:
    with suppress(RankError):
        cluster.run(code)
    assert cluster.state == "idle"


def test_a_lone_surrogate_is_answered(cluster: Cluster) -> None:
    """It has no form in UTF-8, in which messages travel."""
    with suppress(KernelkitError):
        cluster.run("'\ud800'")
    assert cluster.state == "idle"
    assert values(cluster.run("1")) == ["1", "1"]


def test_exit_and_reset_leave_a_rank_that_works(cluster: Cluster) -> None:
    assert "does not end a rank" in cluster.run("exit()")[0].stderr
    cluster.run("mine = 1")
    cluster.run("%reset -f")
    assert values(cluster.run("'mine' in globals(), rank, world_size")) == ["(False, 0, 2)", "(False, 1, 2)"]
    assert values(cluster.run(SUM)) == ["3", "3"]
