"""What the parts of the run share: the machine's GPUs, both kinds of contestants, and the clock."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import kernelkit
from kernelkit import Cluster
from tests.benchmarks.nccl import shapes
from tests.benchmarks.processes import Script
from tests.benchmarks.ring import free_ports

# By its path: this process never loads MLX, and has nothing on a GPU.
_DRAWN = Path(__file__).with_name("drawn.py")
GRAPHS = "MLX_USE_CUDA_GRAPHS"
_INSTALL = "from tests.benchmarks.nccl import drawn\ndrawn.install()"


@dataclass
class Ground:
    """Where the run takes place.

    Attributes:
        backend: `nccl`, or `ring` for a rehearsal on processors.
        tiny: whether models are small and generations short, as in a rehearsal.
        ends_s: by the monotonic clock: no case begins after that.
        folder: of the models' folders.
    """

    backend: str
    tiny: bool
    ends_s: float
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="kernelkit-bench-")))

    @property
    def left_s(self) -> float:
        return self.ends_s - time.monotonic()

    @property
    def new_tokens(self) -> int:
        return 16 if self.tiny else shapes.NEW_TOKENS

    def model(self, case: shapes.Case) -> Path:
        """The folder of a case's model, written once."""
        folder = self.folder / case.model
        if not folder.exists():
            shapes.write(folder, shapes.config(case.shape, case.kind, tiny=self.tiny))
        return folder

    @contextmanager
    def cluster(self, ranks: int, *, draws: bool = False) -> Iterator[Cluster]:
        """kernelkit's ranks, a GPU each; with `draws` their models need no files of weights."""
        with kernelkit.connect(ranks, backend=self.backend if ranks > 1 else "auto") as cluster:
            if draws:
                cluster.run(_INSTALL)
            yield cluster

    @contextmanager
    def plain(self, ranks: int) -> Iterator[list[Script]]:
        """Processes of the plain script, in an environment as `mlx.launch` makes it."""
        with ExitStack() as stack:
            ports = free_ports(ranks)
            hosts = stack.enter_context(tempfile.NamedTemporaryFile("w", suffix=".json"))
            hosts.write(str([[f"127.0.0.1:{port}"] for port in ports]).replace("'", '"'))
            hosts.flush()
            scripts = []
            for rank in range(ranks):
                env = {
                    "CUDA_VISIBLE_DEVICES": str(rank),
                    "MLX_RANK": str(rank),
                    "MLX_WORLD_SIZE": str(ranks),
                    "NCCL_HOST_IP": "127.0.0.1",
                    "NCCL_PORT": str(ports[0]),
                    "MLX_HOSTFILE": hosts.name,
                }
                backend = self.backend if ranks > 1 else "none"
                script = Script("plain_nccl", backend, str(_DRAWN), env=env)
                scripts.append(stack.enter_context(script))
            formed = [script.answer()["ranks"] for script in scripts]
            if formed != [ranks] * ranks:
                raise ValueError(f"the plain group did not form: sizes {formed}")
            yield scripts


@contextmanager
def variable(name: str, value: str) -> Iterator[None]:
    """For ranks and scripts that start meanwhile."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def gpus() -> list[dict[str, Any]]:
    """Of each GPU its name and memory in MiB, by NVIDIA's tool; empty without it."""
    query = "name,driver_version,memory.total,memory.used,clocks.max.sm,clocks.max.mem"
    answer = told("nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader,nounits")
    rows = [[cell.strip() for cell in line.split(",")] for line in answer.splitlines()]
    names = ("name", "driver", "memory_mib", "used_mib", "most_sm_mhz", "most_memory_mhz")
    return [dict(zip(names, row, strict=True)) for row in rows if len(row) == len(names)]


def told(*command: str) -> str:
    """What a command printed; empty where it is not there, or failed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout
