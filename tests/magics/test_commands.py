"""The magics in an IPython shell, with real ranks behind them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelkit import errors
from kernelkit.sharding.check import ModelCheck
from tests.magics.conftest import Notebook
from tests.rank import tiny


@pytest.mark.parametrize(
    "cell",
    ["%cluster status", "%%sharded\n1", "%sharded 1", "%model load x", "%model generate x", "%cluster stop"],
)
def test_without_a_cluster_the_cure_is_connect(bare: Notebook, cell: str) -> None:
    bare.run("%cluster stop")
    error = bare.run(cell).error
    assert isinstance(error, errors.NoClusterError)
    assert error.cure == "%cluster connect"


def test_connect_binds_cluster_and_refuses_a_second(notebook: Notebook) -> None:
    cluster = notebook.shell.user_ns["cluster"]
    assert cluster.world_size == 2
    error = notebook.run("%cluster connect 3").error
    assert isinstance(error, errors.ClusterRunningError)
    assert notebook.shell.user_ns["cluster"] is cluster
    assert cluster.state == "idle"


@pytest.mark.parametrize("argument", ["0", "-1", "10000", "two", "2.5"])
def test_impossible_numbers_of_ranks(bare: Notebook, argument: str) -> None:
    bare.run("%cluster stop")
    assert isinstance(bare.run(f"%cluster connect {argument}").error, errors.ArgumentError)


def test_cell_shows_prints_folded_and_values(notebook: Notebook) -> None:
    ran = notebook.run("%%sharded\nprint('same')\nprint('rank', rank)\nrank * 10")
    assert ran.error is None
    assert ran.stdout.startswith("[0-1] same\n[0] rank 0\n[1] rank 1\n")
    assert repr(ran.value) == "[0] 0\n[1] 10"


def test_stderr_and_rich_output_arrive_as_such(notebook: Notebook) -> None:
    ran = notebook.run(
        "%%sharded\nimport sys\nfrom IPython.display import HTML, display\n"
        "print('careful', file=sys.stderr)\ndisplay(HTML('<b>bold</b>'))"
    )
    assert ran.stderr == "[0-1] careful\n"
    assert [o.data["text/html"] for o in ran.displays if "text/html" in o.data] == ["<b>bold</b>"]


def test_a_semicolon_hides_the_value(notebook: Notebook) -> None:
    assert notebook.run("%%sharded\nrank;").value is None


def test_one_line_form_keeps_python_as_it_is(notebook: Notebook) -> None:
    assert repr(notebook.run("%sharded {'a': \"it's\", 'r': rank}").value).startswith(
        "[0] {'a': \"it's\", 'r': 0}"
    )
    assert repr(notebook.run("%sharded --ranks 1 rank").value) == "[1] 1"
    assert repr(notebook.run("%sharded --ranks=0 --rank").value) == "[0] 0"
    assert notebook.run("values = %sharded rank + 1\nvalues[1].value_repr").value == "2"


def test_top_level_await(notebook: Notebook) -> None:
    ran = notebook.run("%%sharded\nimport asyncio\nawait asyncio.sleep(0, rank)")
    assert repr(ran.value) == "[0] 0\n[1] 1"


@pytest.mark.parametrize("ranks", ["7", "0-5", "1-0", "x", "-1"])
def test_ranks_that_are_not_there(notebook: Notebook, ranks: str) -> None:
    error = notebook.run(f"%%sharded --ranks {ranks}\n1").error
    assert isinstance(error, errors.ArgumentError)
    assert "0 to 1" in str(error)
    assert notebook.shell.user_ns["cluster"].state == "idle"


def test_an_error_shows_the_ranks_traceback_with_the_cells_line_and_no_frame_of_ours(
    notebook: Notebook,
) -> None:
    shown = notebook.show_error("%%sharded\nx = 1\nif rank:\n    {}['gone']")
    plain = re.sub(r"\x1b\[[\d;]*m", "", shown)
    assert "rank 1\n" in plain
    assert "line 4" in plain
    assert "KeyError: 'gone'" in plain
    assert "RankError: rank 1 raised KeyError: 'gone'" in plain
    assert "site-packages" not in plain
    assert "kernelkit/" not in plain


def test_syntax_error_runs_nowhere(notebook: Notebook) -> None:
    error = notebook.run("%%sharded\nseen = True\nx = = 1").error
    assert isinstance(error, errors.RankError)
    assert "SyntaxError" in str(error)
    assert repr(notebook.run("%sharded 'seen' in globals()").value) == "[0-1] False"


def test_a_cell_that_kills_its_rank(notebook: Notebook) -> None:
    error = notebook.run("%%sharded --ranks 1\nimport os\nos._exit(3)").error
    assert isinstance(error, errors.RankLostError)
    assert "rank 1" in str(error)
    assert "exit status 3" in str(error)
    again = notebook.run("%sharded 1").error
    assert isinstance(again, errors.ClusterError | errors.RankLostError)
    assert "%cluster recover" in str(again)
    recovered = notebook.run("%cluster recover")
    assert recovered.error is None
    assert "everything: its process ended (exit status 3)" in repr(recovered.value)
    assert repr(notebook.run("%sharded rank").value) == "[0] 0\n[1] 1"


def test_recover_of_a_sound_cluster_leaves_it_alone(notebook: Notebook) -> None:
    notebook.run("%sharded kept = object()")
    assert "nothing to recover" in repr(notebook.run("%cluster recover").value)
    assert notebook.run("%sharded kept").error is None


def test_check_names_the_lines_that_differ(notebook: Notebook) -> None:
    branches = "if rank == 0:\n    mx.distributed.all_sum(x)\nelse:\n    mx.distributed.all_max(x)"
    cell = f"%%sharded --check\nx = mx.ones(4)\n{branches}"
    error = notebook.run(cell).error
    assert isinstance(error, errors.CollectiveMismatchError)
    # numbered as in the notebook, where %%sharded is line 1
    assert "rank 0: all_sum of float32[4] at line 4 (`mx.distributed.all_sum(x)`)" in str(error)
    assert "rank 1: all_max of float32[4] at line 6 (`mx.distributed.all_max(x)`)" in str(error)
    assert notebook.run("%sharded mx.distributed.all_sum(mx.ones(1))").error is None


def test_timeout_ends_the_cell(notebook: Notebook) -> None:
    error = notebook.run("%%sharded --timeout 0.5\nimport time\ntime.sleep(600)").error
    assert isinstance(error, errors.RankStuckError)
    assert error.what == "the cell did not end within 500 ms"
    assert "rank 1: line 3: time.sleep(600); 0 collectives" in str(error)
    assert "still usable" in str(error)
    assert notebook.run("%sharded rank").error is None


def test_restart_empties_the_namespaces(notebook: Notebook) -> None:
    notebook.run("%sharded kept = 1")
    assert notebook.run("%cluster restart").error is None
    assert repr(notebook.run("%sharded 'kept' in globals()").value) == "[0-1] False"


def test_status_is_a_table_of_all_ranks(notebook: Notebook) -> None:
    status = notebook.run("%cluster status").value
    assert [rank.doing for rank in status.ranks] == ["idle", "idle"]
    assert "OpenBLAS" in repr(status) or "reference" in repr(status) or "Accelerate" in repr(status)


def test_a_recorded_cell_shows_what_each_rank_did_when(notebook: Notebook) -> None:
    ran = notebook.run("%%sharded --record\nmx.distributed.all_sum(mx.ones(4))")
    assert ran.error is None
    assert "recorded: 2 ranks, " in ran.stdout + ran.displayed
    assert repr(ran.value) == "[0-1] array([2, 2, 2, 2], dtype=float32)"
    again = notebook.run("%%sharded\nmx.distributed.all_sum(mx.ones(4))")
    assert "recorded" not in again.stdout + again.displayed


@pytest.fixture
def unconnected(bare: Notebook) -> Iterator[Notebook]:
    """Without a cluster before and after."""
    bare.run("%cluster stop")
    yield bare
    bare.run("%cluster stop")


def test_connect_to_the_hosts_of_a_hostfile(unconnected: Notebook, tmp_path: Path) -> None:
    host = {"ssh": "127.0.0.1", "ips": ["127.0.0.1"]}
    path = tmp_path / "my hosts.json"
    path.write_text(json.dumps({"backend": "ring", "envs": ["SAID=a b"], "hosts": [host, host]}))
    ran = unconnected.run(f"%cluster connect --hostfile '{path}'")
    assert ran.error is None
    assert f"2 ranks on this machine ({path}), backend ring" in ran.stdout + ran.displayed
    assert repr(unconnected.run("%sharded __import__('os').environ['SAID']").value) == "[0-1] 'a b'"


def test_connect_to_hosts_by_name(unconnected: Notebook) -> None:
    ran = unconnected.run("%cluster connect --hosts 127.0.0.1,127.0.0.1 --backend ring")
    assert ran.error is None
    assert "2 ranks on this machine (--hosts), backend ring" in ran.stdout + ran.displayed


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        (
            "2 --hosts a,b",
            errors.ArgumentError,
            ["where to run is said twice", "a number of ranks and hosts"],
        ),
        ("--hosts a --hostfile b", errors.ArgumentError, ["where to run is said twice"]),
        ("mac1", errors.ArgumentError, ["no number of ranks", "--hosts mac1"]),
        ("mac1 mac2", errors.ArgumentError, ["no number of ranks", "--hosts mac1,mac2"]),
        ("--hostfile nowhere.json", errors.ArgumentError, ["nowhere.json", "%cluster discover"]),
        ("2 --backend jaccl", errors.ArgumentError, ["hosts[0].rdma[1]"]),
        ("--hosts 127.0.0.1 --python /no/such/python", errors.HostError, ["/no/such/python", "--python"]),
    ],
)
def test_connect_to_where_it_cannot_be_is_refused_and_leaves_no_cluster(
    line: str, kind: type[Exception], words: list[str], unconnected: Notebook
) -> None:
    error = unconnected.run(f"%cluster connect {line}").error
    assert isinstance(error, kind)
    for word in words:
        assert word in str(error)
    assert unconnected.shell.meta.kernelkit[0].find() is None


def test_a_cluster_made_in_python_is_the_magics_too(bare: Notebook) -> None:
    bare.run("%cluster stop")
    assert bare.run("import kernelkit as kk\ncluster = kk.connect(1)").error is None
    assert repr(bare.run("%sharded world_size").value) == "1"
    bare.run("%cluster stop")


def test_help_is_the_grammar(notebook: Notebook) -> None:
    magics = notebook.shell.meta.kernelkit[0]
    assert "%cluster connect [N]" in magics.cluster.__doc__
    assert "cluster.run(code" in magics.sharded.__doc__


def test_unload_takes_everything_away() -> None:
    script = (
        "from IPython.core.interactiveshell import InteractiveShell as S\ns = S.instance()\n"
        "before = len(s.Completer.custom_matchers)\n"
        "s.run_cell('%load_ext kernelkit')\ns.run_cell('%cluster connect 1')\nc = s.user_ns['cluster']\n"
        "s.run_cell('%unload_ext kernelkit')\n"
        "assert c.state == 'stopped', c.state\nassert 'sharded' not in s.magics_manager.magics['cell']\n"
        "assert len(s.Completer.custom_matchers) == before\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.mark.parametrize(
    "code", ["raise ExceptionGroup('g', [ValueError(1)])", "%no_such_magic", "raise SystemExit(3)", "1 +"]
)
def test_whatever_fails_on_a_rank_makes_the_cell_red(notebook: Notebook, code: str) -> None:
    error = notebook.run(f"%%sharded\n{code}").error
    assert isinstance(error, errors.RankError)
    assert repr(notebook.run("%sharded rank").value) == "[0] 0\n[1] 1"


def test_a_warning_reads_alike_on_every_rank_and_in_every_run(notebook: Notebook) -> None:
    shown = notebook.run("%%sharded\nimport warnings\nwarnings.warn('careful')").stderr
    assert "[0-1]" in shown
    assert "[0] " not in shown
    pids = [str(rank.pid) for rank in notebook.shell.user_ns["cluster"].status().ranks]
    assert not any(pid in shown for pid in pids)


def test_reload_and_unload_leave_a_shell_that_works() -> None:
    script = (
        "from IPython.core.interactiveshell import InteractiveShell as S\ns = S.instance()\n"
        "def run(cell):\n    s.run_cell(cell).raise_error()\n"
        "run('%load_ext kernelkit')\nrun('%reload_ext kernelkit')\nrun('%cluster connect 1')\n"
        "run('%unload_ext kernelkit')\nrun('%load_ext kernelkit')\nrun('%cluster connect 1')\n"
        "run('%sharded rank')\nrun('%cluster stop')\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


@pytest.mark.parametrize("delay_s", [0.02, 0.1, 0.4])
def test_ctrl_c_during_the_first_connect_leaves_a_shell_that_can_connect(delay_s: float) -> None:
    script = (
        "import os, signal, threading\n"
        "from IPython.core.interactiveshell import InteractiveShell as S\ns = S.instance()\n"
        "s.run_cell('%load_ext kernelkit')\n"
        f"threading.Timer({delay_s}, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "first = s.run_cell('%cluster connect').error_in_exec\n"
        "s.run_cell('%cluster stop')\n"
        "s.run_cell('%cluster connect').raise_error()\n"
        "s.run_cell('%sharded rank').raise_error()\n"
        "s.run_cell('%cluster stop')\n"
        "print(type(first).__name__)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=90)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Interrupt" in ran.stdout.splitlines()[-1]


def test_a_push_needs_another_host(notebook: Notebook) -> None:
    error = notebook.run("%model push smollm2 --to elsewhere").error
    assert isinstance(error, errors.ArgumentError)
    assert error.got == "'elsewhere'"
    error = notebook.run("%model push smollm2").error
    assert isinstance(error, errors.ArgumentError)
    assert "no host to push to" in error.what


def test_model_check_shows_its_table_and_saves_it(notebook: Notebook, tmp_path: Path) -> None:
    notebook.run(f"%model load '{tiny.build(tmp_path / 'model')}'")
    ran = notebook.run(f"%model check --long 0 --max-tokens 2 --save '{tmp_path / 'check.json'}'")
    assert ran.error is None
    assert bool(ran.value)
    assert ModelCheck.load(tmp_path / "check.json") == ran.value
    nowhere = notebook.run("%model check --long 0 --max-tokens 2 --save /no/such/folder/check.json")
    assert "cannot be written" in nowhere.stderr
    assert bool(nowhere.value)


@pytest.mark.parametrize(
    ("cell", "command", "other"),
    [
        ("%model load --help", "%model load PATH_OR_HF_ID", "%model generate"),
        ("%model load smollm2 --help", "%model load PATH_OR_HF_ID", "%model generate"),
        ("%cluster --help", "%cluster connect [N]", "%model"),
        ("%sharded --help", "%sharded EXPRESSION", "%%sharded"),
        ("%%sharded --help\n1", "%%sharded [--ranks", "\n%sharded"),
        ("%sharded --ranks 0 --check --timeout=2 --help", "%sharded EXPRESSION", "%%sharded"),
        ("%%chat --system 'be brief' --help\nhello", "%%chat", "%%generate"),
        ("%plan --help", "%plan", "%model generate"),
        ("%experiment end --help", "%experiment end", "%experiment begin"),
    ],
)
def test_help_in_a_line_is_all_that_it_does(bare: Notebook, cell: str, command: str, other: str) -> None:
    bare.run("%cluster stop")
    ran = bare.run(cell)
    assert ran.error is None
    [said] = [shown.data["text/plain"] for shown in ran.displays]
    assert command in said
    assert other not in said
    assert "\n    Python: " in said


@pytest.mark.parametrize(
    "cell",
    [
        '%model generate "What does --help mean?"',
        "%%chat --system 'say --help when asked'\nhello",
        "%%chat --system 'an open quote --help\nhello",
    ],
)
def test_the_word_in_quotes_is_a_part_of_the_text(bare: Notebook, cell: str) -> None:
    bare.run("%cluster stop")
    ran = bare.run(cell)
    assert isinstance(ran.error, errors.NoClusterError | errors.ArgumentError)
    assert not ran.displays


def test_help_behind_an_expression_is_pythons(notebook: Notebook) -> None:
    ran = notebook.run("%sharded 3 --help")
    assert ran.error is not None  # the ranks' own `help` cannot be subtracted
    assert not ran.displays
