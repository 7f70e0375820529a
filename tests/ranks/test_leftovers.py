"""However a notebook or a program ends, five seconds later nothing of its cluster is there any more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.ranks.leftovers import SETTLED_S, Leftovers, folders
from tests.ranks.notebook import START_S, Notebook, Server, connect, open_notebooks, private_environment
from tests.waiting import eventually, gone

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is left is read from Linux's /proc")

# A kernel looks once a second whether its server is still there.
KERNEL_ENDS_S = 15.0
FROZEN_S = 2.0
COLLECTIVE = "%sharded mx.distributed.all_sum(mx.array(rank + 1)).item()"

Check = Callable[[Leftovers], None]


@pytest.fixture
def notebook(tmp_path: Path) -> Iterator[Notebook]:
    """With a cluster; the test may end it as it likes."""
    with open_notebooks(tmp_path, 1) as (notebook,):
        connect(notebook)
        yield notebook


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    with open_notebooks(tmp_path_factory.mktemp("lasting"), 1) as (notebook,):
        yield notebook


@pytest.fixture
def kept_notebook(lasting: Notebook) -> Iterator[Notebook]:
    """With a new cluster; for tests that leave its kernel alive."""
    connect(lasting)
    yield lasting
    lasting.run("%reload_ext kernelkit")  # ends a cluster that a failed test has left


@pytest.fixture
def nothing_left(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Check:
    """Fails with the list of what is left, and notes how long it took until nothing was."""

    def check(left: Leftovers) -> None:
        seconds, found = left.settle()
        record_property("settled_s", round(seconds, 2))
        print(f"{request.node.name}: nothing left after {seconds:.2f} s")
        assert found == {}

    return check


# -- the helper itself ----------------------------------------------------------------------------


def test_a_living_cluster_is_seen_in_full(kept_notebook: Notebook) -> None:
    """Else an empty list would say nothing."""
    notebook = kept_notebook
    folder = Path(notebook.run("import tempfile; print(tempfile.mkdtemp())").strip())
    found = notebook.left.now()
    pids = [notebook.agent_pid, *notebook.rank_pids]
    assert [int(line.split()[0]) for line in found["processes"]] == sorted(pids)
    assert sum("LISTEN" in line for line in found["ports"]) >= 10
    assert found["pipes"]
    assert found["unix sockets"]
    assert found["files"] == [str(folder)]
    folder.rmdir()


def test_what_was_never_recorded_is_seen_by_its_mark() -> None:
    left = Leftovers([])
    with left.marking():
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert child.stdin
    assert eventually(lambda: list(left.now()) == ["processes"])
    child.stdin.close()
    assert eventually(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
    assert list(left.now()) == ["processes"], "nobody has waited for it"
    child.wait()
    assert left.settle()[1] == {}


# -- the notebook's end ---------------------------------------------------------------------------


@pytest.mark.parametrize("hanging", [False, True], ids=["idle", "hanging"])
@pytest.mark.parametrize("end", [Notebook.restart, Notebook.kill], ids=["restart", "kill"])
def test_the_end_of_a_kernel(
    end: Callable[[Notebook], None],
    hanging: bool,
    notebook: Notebook,
    tmp_path: Path,
    nothing_left: Check,
) -> None:
    if hanging:
        notebook.hang(tmp_path / "hangs")
    end(notebook)
    nothing_left(notebook.left)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[signal.Signals, Server]]:
    """One for each way to end it; they come up side by side."""
    numbers = (signal.SIGTERM, signal.SIGKILL)
    started = {number: Server(tmp_path_factory.mktemp("server")) for number in numbers}
    yield started
    for server in started.values():
        server.process.kill()
        server.process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_the_end_of_a_jupyter_server(
    number: signal.Signals,
    servers: dict[signal.Signals, Server],
    tmp_path: Path,
    nothing_left: Check,
) -> None:
    """SIGTERM lets it end its kernels; after SIGKILL each kernel finds out by itself."""
    with servers[number].open_notebooks(2) as notebooks:
        connect(*notebooks)
        notebooks[1].hang(tmp_path / "hangs")
        servers[number].process.send_signal(number)
        assert eventually(lambda: all(gone(notebook.pid) for notebook in notebooks), KERNEL_ENDS_S)
        for notebook in notebooks:
            nothing_left(notebook.left)


def test_a_forked_child_of_the_notebook_does_not_keep_its_cluster_alive(notebook: Notebook) -> None:
    """It has inherited the pipe whose end tells the agent that the notebook is gone."""
    lines = """
        import multiprocessing, time
        context = multiprocessing.get_context("fork")
        child = context.Process(target=time.sleep, args=(600,), daemon=True)
        child.start()
        print(child.pid)
    """
    child = int(notebook.run(textwrap.dedent(lines)))
    try:
        notebook.kill()
        # Its copies of the notebook's connections stay open, but nobody is at their other ends.
        assert eventually(lambda: "processes" not in notebook.left.now(), SETTLED_S)
        assert not gone(child), "it was to outlive the notebook"
    finally:
        os.kill(child, signal.SIGKILL)


def test_what_ranks_started_ends_also_when_the_agent_is_killed(
    kept_notebook: Notebook, nothing_left: Check
) -> None:
    kept_notebook.run("%sharded __import__('subprocess').Popen(['sleep', '600'])")
    kept_notebook.left.record(kept_notebook.agent_pid)
    os.kill(kept_notebook.agent_pid, signal.SIGKILL)
    kept_notebook.run("%cluster stop")
    nothing_left(kept_notebook.left)


# -- a program's end ------------------------------------------------------------------------------

_PROGRAM = """
    import os, pathlib, sys, threading
    import kernelkit as kk
    cluster = kk.connect()
    if {hanging}:
        code = "if rank == 0:\\n pathlib.Path({note!r}).touch(); mx.eval(mx.distributed.all_sum(mx.ones(1)))"
        cluster.run("import pathlib")
        threading.Thread(target=cluster.run, args=(code,), daemon=True).start()
    print("connected", flush=True)
    sys.stdin.readline()
    {end}
"""


@pytest.mark.parametrize("hanging", [False, True], ids=["idle", "hanging"])
@pytest.mark.parametrize(
    ("end", "status"), [("os.abort()", -signal.SIGABRT), ("sys.exit(3)", 3), ("raise RuntimeError", 1)]
)
def test_the_end_of_a_program(
    end: str, status: int, hanging: bool, tmp_path: Path, nothing_left: Check
) -> None:
    env = private_environment(tmp_path)
    left = Leftovers(folders(env))
    note = tmp_path / "hangs"
    program = textwrap.dedent(_PROGRAM).format(hanging=hanging, note=str(note), end=end)
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=env | left.environ,
        cwd=tmp_path,
    )
    assert process.stdin
    assert process.stdout
    try:
        assert process.stdout.readline() == b"connected\n"
        assert not hanging or eventually(note.exists, START_S)
        left.record(*[child.pid for child in psutil.Process(process.pid).children()])
        process.stdin.close()
        assert process.wait(START_S) == status
        nothing_left(left)
    finally:
        process.stdout.close()
        process.kill()
        process.wait()
        left.kill()


# -- a lid that closes ----------------------------------------------------------------------------

_LONG_CELL = """
%%sharded
import pathlib, time
pathlib.Path({note!r}).touch()
ends_s = time.monotonic() + 0.5
total = 0
while mx.distributed.all_min(mx.array(float(time.monotonic() < ends_s))).item():
    total = mx.distributed.all_sum(mx.array(rank + 1)).item()
total
"""


def _everybody(notebook: Notebook) -> list[int]:
    return [notebook.pid, notebook.agent_pid, *notebook.rank_pids]


@pytest.mark.parametrize(
    "whom",
    [_everybody, lambda notebook: [notebook.pid], lambda notebook: [notebook.agent_pid]],
    ids=["everybody", "kernel", "agent"],
)
def test_a_cluster_that_stood_still_works_on(
    whom: Callable[[Notebook], list[int]],
    kept_notebook: Notebook,
    tmp_path: Path,
    nothing_left: Check,
) -> None:
    """Frozen while a cell computes, as by a closed lid or a debugger, and thawed again."""
    notebook = kept_notebook
    pids = whom(notebook)
    note = tmp_path / "computes"
    cell = notebook.begin(_LONG_CELL.strip().format(note=str(note)))
    assert eventually(note.exists, START_S)
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        stopped = psutil.STATUS_STOPPED
        assert eventually(lambda: all(psutil.Process(pid).status() == stopped for pid in pids))
        time.sleep(FROZEN_S)  # that is the lid's time, not a wait for anything
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    assert "[0-1] 3" in notebook.finish(cell)
    assert "[0-1] 3" in notebook.run(COLLECTIVE)
    notebook.run("%cluster stop")
    nothing_left(notebook.left)


# -- two at a time --------------------------------------------------------------------------------


def test_clusters_of_two_notebooks_do_not_touch_each_other(tmp_path: Path, nothing_left: Check) -> None:
    with open_notebooks(tmp_path, 2) as notebooks:
        connect(*notebooks)
        first, second = notebooks
        listening = [notebook.left.listening().values() for notebook in notebooks]
        ports = [{port for ports in one for port in ports} for one in listening]
        assert all(len(one) >= 10 for one in ports)
        assert not ports[0] & ports[1]
        for factor in (1, 10):
            collective = "%sharded mx.distributed.all_sum(mx.array({} * (rank + 1))).item()"
            cells = [
                notebook.begin(collective.format(factor * (i + 1))) for i, notebook in enumerate(notebooks)
            ]
            texts = [notebook.finish(cell) for notebook, cell in zip(notebooks, cells, strict=True)]
            assert texts == [f"[0-1] {3 * factor}", f"[0-1] {6 * factor}"]
        first.run("%cluster stop")
        nothing_left(first.left)
        assert "[0-1] 3" in second.run(COLLECTIVE)
        connect(first)
        first.kill()
        nothing_left(first.left)
        assert "[0-1] 3" in second.run(COLLECTIVE)
        second.run("%cluster stop")
        nothing_left(second.left)
