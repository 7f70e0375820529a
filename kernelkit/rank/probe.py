"""One end of a link's measurement: `python -m kernelkit.rank.probe`, JSON lines in, JSON lines out.

The first line in says who this is, {"rank": 0 or 1, "addresses": [...]}: the addresses of this host on which
the group will need a port. It is answered by {"event": "ports", "ports": [...], "tcp_port", "host", "python",
"os", "mlx", "kernelkit"}. Then requests, in this order, any of them left out:

    {"op": "tcp", "peer": [ip, port] or null, "nonce", "sizes_bytes", "budget_s"}
    {"op": "load", "env"}                                import mlx, so that both ends join together
    {"op": "join", "backend", "env", "files", "nonce"}
    {"op": "measure", "sizes_bytes", "budget_s"}; with "collective": true by all_sum

Each is answered by {"event": "done", "op"} or {"event": "error", "op", "error"}. A join says before that
{"event": "joining"}, when it enters MLX: rank 1 should be asked once rank 0 has. Of a measurement, rank 0,
which leads, says as it comes

    {"event": "sample", "direction": "0>1", "size_bytes", "seconds", "repeats", "low_s", "p90_s", "how"}
    {"event": "skipped", "direction", "size_bytes", "reason"}

The process ends with its standard input.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import sys
import threading
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from kernelkit.errors import ConnectError, KernelkitError
from kernelkit.hosts.naming import own_name
from kernelkit.rank import probe_tcp
from kernelkit.rank.parent import die_with_parent
from kernelkit.rank.probe_pair import Pair, follow, lead

if TYPE_CHECKING:
    import mlx.core as mx


class Probe:
    """One end: what it holds from one request to the next."""

    def __init__(self, boot: dict[str, Any], answer: int) -> None:
        self.rank: int = boot["rank"]
        self._address: str = boot["addresses"][0]
        self._answer = answer
        self._reserved = [_reserve(address) for address in boot["addresses"]]
        self._listener = probe_tcp.listen(self._address) if self.rank == 0 else None
        self._backend = ""
        self._group: mx.distributed.Group | None = None

    def say(self, event: dict[str, Any]) -> None:
        os.write(self._answer, json.dumps(event).encode() + b"\n")

    def introduce(self) -> None:
        """Say which ports are held, and what this host runs."""
        self.say(
            {
                "event": "ports",
                "ports": [held.getsockname()[1] for held in self._reserved],
                "tcp_port": self._listener.getsockname()[1] if self._listener else None,
                "host": own_name(),
                "os": platform.platform(),
                "python": platform.python_version(),
                "mlx": _version("mlx"),
                "kernelkit": _version("kernelkit"),
            }
        )

    def do(self, request: dict[str, Any]) -> None:
        """Answer one request; what goes wrong is an answer as well."""
        operations: dict[str, Callable[..., None]] = {
            "tcp": self._tcp,
            "load": self._load,
            "join": self._join,
            "measure": self._measure,
        }
        name = request.pop("op")
        try:
            operations[name](**request)
        except KernelkitError as error:
            self.say({"event": "error", "op": name, "error": error.to_dict()})
        except (OSError, RuntimeError) as error:  # the link broke, and RuntimeError is how MLX says so
            broken = ConnectError(f"the link broke: {error}")
            self.say({"event": "error", "op": name, "error": broken.to_dict()})
        else:
            self.say({"event": "done", "op": name})

    def _tcp(self, peer: list[Any] | None, nonce: str, sizes_bytes: list[int], budget_s: float) -> None:
        secret = bytes.fromhex(nonce)
        if self._listener is not None:
            connection = probe_tcp.accept(self._listener, secret)
            self._listener.close()
        else:
            assert peer is not None
            connection = probe_tcp.connect(self._address, (peer[0], peer[1]), secret)
        with connection:
            self._play(probe_tcp.TcpPair(connection, max(sizes_bytes)), sizes_bytes, budget_s)

    def _load(self, env: dict[str, str]) -> None:
        os.environ.update(env)
        from kernelkit.rank import probe_mlx  # noqa: F401

    def _join(self, backend: str, env: dict[str, str], files: dict[str, str], nonce: int) -> None:
        from kernelkit.rank import probe_mlx

        self._backend = backend
        if backend not in probe_mlx.NO_SEND:
            probe_mlx.stay_on_cpu()
        self._group = probe_mlx.join(backend, env, files, self._release)
        probe_mlx.verify(self._group, self.rank, nonce)

    def _release(self) -> None:
        for held in self._reserved:
            held.close()
        self.say({"event": "joining"})

    def _measure(self, sizes_bytes: list[int], budget_s: float, collective: bool = False) -> None:
        from kernelkit.rank import probe_mlx

        if self._group is None:
            raise ConnectError("there is no group to measure: join first")
        by_sum = collective or self._backend in probe_mlx.NO_SEND
        pair: Pair = probe_mlx.SumPair(self._group) if by_sum else probe_mlx.SendPair(self._group)
        self._play(pair, sizes_bytes, budget_s)

    def _play(self, pair: Pair, sizes_bytes: list[int], budget_s: float) -> None:
        if self.rank == 0:
            lead(pair, sizes_bytes, budget_s, self.say)
        else:
            follow(pair)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # it lies on the path as it is
        return ""


def _reserve(address: str) -> socket.socket:
    """A free port of that address, held until the group takes it, as `group.reserve_port` does."""
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # MLX binds with the same option, so the moment between our close and its bind is no TIME_WAIT.
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind((address, 0))
    return held


def _keep_memory() -> None:
    """Keep what is freed: glibc gives a large array's pages back, and the next message waits for new ones.

    MLX keeps none on a CPU. On a virtual machine the pages of 64 MiB took 0.2 s, ten times as long as the
    message on its way; that is in no link. Elsewhere Metal's and CUDA's caches keep them.
    """
    if sys.platform == "linux":
        import ctypes

        m_trim_threshold, m_mmap_max = -1, -4
        if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):  # glibc's alone
            mallopt(m_mmap_max, 0)
            mallopt(m_trim_threshold, 2**31 - 1)


def _read_requests(requests: SimpleQueue[dict[str, Any]]) -> None:
    for line in sys.stdin.buffer:
        requests.put(json.loads(line))
    os._exit(0)  # the parent is gone, or has enough: also in the middle of a message


def main() -> None:
    """Serve until standard input ends."""
    die_with_parent()
    _keep_memory()
    answer = os.dup(1)
    os.dup2(2, 1)  # MLX prints how it connects; the answers stay clean
    requests: SimpleQueue[dict[str, Any]] = SimpleQueue()
    threading.Thread(target=_read_requests, args=(requests,), daemon=True).start()
    boot = requests.get()
    try:
        probe = Probe(boot, answer)
    except OSError as error:
        where = " or ".join(boot["addresses"])
        failed = ConnectError(f"no port of {where} can be had: {error.strerror or error}")
        os.write(
            answer, json.dumps({"event": "error", "op": "boot", "error": failed.to_dict()}).encode() + b"\n"
        )
        requests.get()  # the parent reads it, and ends us
        return
    probe.introduce()
    while True:
        probe.do(requests.get())


if __name__ == "__main__":
    main()
