"""A ring of two ranks that was started by hand, for contestants without kernelkit."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from kernelkit.launch.command import blas_environment
from kernelkit.launch.openblas import find_openblas
from tests.benchmarks.processes import Script

RANKS = 2


@contextmanager
def ring(script: str, *arguments: str) -> Iterator[list[Script]]:
    """Two ring ranks of a contestant's script, each with the environment that kernelkit gives to its own."""
    threads = max(1, (os.cpu_count() or 1) // RANKS)
    blas = blas_environment(find_openblas(), threads, os.environ.get("LD_PRELOAD", ""))
    with tempfile.TemporaryDirectory(prefix="kernelkit-bench-") as temporary, ExitStack() as stack:
        hostfile = Path(temporary, "hosts.json")
        hostfile.write_text(json.dumps([[f"127.0.0.1:{port}"] for port in free_ports(RANKS)]))
        scripts = []
        for rank in range(RANKS):
            env = {**blas, "MLX_RANK": str(rank), "MLX_HOSTFILE": str(hostfile)}
            scripts.append(stack.enter_context(Script(script, *arguments, env=env)))
        formed = [script.answer()["ranks"] for script in scripts]
        if formed != [RANKS] * RANKS:
            raise ValueError(f"the plain ring did not form: sizes {formed}")
        yield scripts


def free_ports(count: int) -> list[int]:
    """Ports that are free now; held together, so that they differ."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
