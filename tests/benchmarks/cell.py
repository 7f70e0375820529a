"""What a `%%sharded` cell costs beside its work, on two ranks.

A cell with `pass` runs through a real IPython shell, beside ipyparallel's `%%px` through the same
shell, and beside two plain kernels that are driven by jupyter_client with no shell around it. All
six processes are alive all the time; those that are not asked wait in a system call.
"""

from __future__ import annotations

import io
import logging
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from functools import partial

from IPython.core.interactiveshell import InteractiveShell
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from tests.benchmarks.measure import Measure, Outcome, Target, by_turns, say

_WARM_UP = 5
_RANKS = 2
_REPLY_TIMEOUT_S = 20.0


def run(quick: bool) -> Outcome:
    """Run the same empty cell on all three by turns."""
    with ExitStack() as stack:
        say("starting kernelkit's ranks, two plain kernels and ipyparallel's engines")
        shell = InteractiveShell.instance()
        stack.enter_context(_kernelkit(shell))
        clients = stack.enter_context(_plain_kernels())
        stack.enter_context(_ipyparallel(shell))
        results = by_turns(
            {
                "kernelkit": partial(_timed, partial(_cell, shell, "%%sharded\npass")),
                "plain kernels": partial(_timed, partial(_execute, clients, "pass")),
                "%%px": partial(_timed, partial(_cell, shell, "%%px\npass")),
            },
            rounds=40 if quick else 200,
            warm_up=_WARM_UP,
            show=lambda took_s: f"{took_s * 1e3:.1f} ms",
            every=50,
            budget_s=8 if quick else 30,
        )
    ours, name = results["kernelkit"], "`%%sharded` with `pass`, 2 ranks"
    plain, px = results["plain kernels"], results["%%px"]
    return Outcome(
        [
            Measure.compare(name, "s", ours, "two plain kernels", plain, Target("ratio", "<=", 1.3)),
            Measure.compare(name, "s", ours, "ipyparallel's `%%px`", px, Target("ratio", "<", 1.0)),
        ],
        _WARM_UP,
    )


def _timed(work: Callable[[], None]) -> float:
    started_s = time.perf_counter()
    work()
    return time.perf_counter() - started_s


def _cell(shell: InteractiveShell, code: str) -> None:
    """One cell, stored in the history as a notebook's is; its output is kept off the screen."""
    with redirect_stdout(io.StringIO()):
        result = shell.run_cell(code, store_history=True)
    result.raise_error()


def _execute(clients: list[BlockingKernelClient], code: str) -> None:
    """Ask every kernel, then wait for every reply and for the end of its output."""
    asked = [client.execute(code) for client in clients]
    for client, request in zip(clients, asked, strict=True):
        while client.get_shell_msg(timeout=_REPLY_TIMEOUT_S)["parent_header"].get("msg_id") != request:
            pass
        while True:
            message = client.get_iopub_msg(timeout=_REPLY_TIMEOUT_S)
            idle = message["msg_type"] == "status" and message["content"]["execution_state"] == "idle"
            if idle and message["parent_header"].get("msg_id") == request:
                break


@contextmanager
def _kernelkit(shell: InteractiveShell) -> Iterator[None]:
    _cell(shell, "%load_ext kernelkit")
    _cell(shell, f"%cluster connect {_RANKS}")
    try:
        yield
    finally:
        _cell(shell, "%cluster stop")


@contextmanager
def _plain_kernels() -> Iterator[list[BlockingKernelClient]]:
    with ExitStack() as stack:
        clients = []
        for _ in range(_RANKS):
            manager = KernelManager(kernel_name="python3")
            manager.start_kernel(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(manager.shutdown_kernel, now=True)
            client = manager.client()
            client.start_channels()
            stack.callback(client.stop_channels)
            clients.append(client)
        for client in clients:
            client.wait_for_ready(timeout=_REPLY_TIMEOUT_S)
        yield clients


@contextmanager
def _ipyparallel(shell: InteractiveShell) -> Iterator[None]:
    # Takes a third of a second and is ipyparallel's own business: the other contestants do without.
    import ipyparallel as ipp

    cluster = ipp.Cluster(n=_RANKS, log_level=logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):  # a progress bar
            view = cluster.start_and_connect_sync()[:]
        view.block = True
        view.activate()  # `%%px`
        yield
    finally:
        cluster.stop_cluster_sync()
