"""What `%cluster links` says of a link, beside iperf3, a plain MLX ring and a plain socket on the same link.

The link joins two network namespaces, shaped to 100 Mbit/s and 1 Gbit/s and not at all; it needs root on
Linux. And how long it takes to connect to four hosts there.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from kernelkit import Cluster, connect
from tests.benchmarks.measure import Measure, Outcome, Summary, Target, by_turns
from tests.hosts.lab import Lab, why_not
from tests.hosts.lab.measure import bits_per_s

# Rate, and the plain ring's messages: as long as the larger ones that kernelkit sends there.
_LINKS = {
    "100 Mbit/s": ("100mbit", 4 << 20, 3),
    "1 Gbit/s": ("1gbit", 32 << 20, 3),
    "unshaped": ("", 64 << 20, 8),
}
_PORTS = (41001, 41002)
_CONTESTANTS = Path(__file__).parent / "contestants"


def run(quick: bool) -> Outcome:
    """Measure each link by turns, then connect to four hosts."""
    if reason := why_not():
        raise RuntimeError(f"the hosts cannot be built: {reason}")
    rounds = 2 if quick else 5
    measures: list[Measure] = []
    with Lab(hosts=4) as lab, lab.inside():
        with connect(hosts=lab.names[:2]) as cluster:
            for name, (rate, size_bytes, count) in _LINKS.items():
                lab.shape(0, rate) if rate else lab.unshape(0)
                measures += _one_link(lab, cluster, name, (size_bytes, count), rounds)
        lab.unshape(0)
        measures.append(_connect_to_four(lab, rounds))
    return Outcome(measures, 1)


def _one_link(lab: Lab, cluster: Cluster, name: str, plain: tuple[int, int], rounds: int) -> list[Measure]:
    contestants: dict[str, Callable[[], dict[str, float]]] = {
        "kernelkit": partial(_ours, cluster),
        "plain ring": partial(_plain_ring, lab, *plain),
        "iperf3": lambda: {"bandwidth_bytes_per_s": bits_per_s(lab, 0, 1, lab.addresses[1]) / 8},
        "plain socket": partial(_plain_socket, lab),
    }
    results = by_turns(
        contestants,
        rounds=rounds,
        warm_up=1,
        show=lambda figures: ", ".join(f"{value:.4g}" for value in figures.values()),
    )

    def compare(
        what: str, unit: str, ours: str, peer: str, key: str, scale: float, *targets: Target
    ) -> Measure:
        mine = [result[ours] / scale for result in results["kernelkit"]]
        theirs = [result[key] / scale for result in results[peer]]
        return Measure.compare(f"{what}, {name}", unit, mine, peer, theirs, *targets)

    rate = "bandwidth_bytes_per_s"
    bandwidths = [result[rate] for result in results["kernelkit"]]
    durations_s = [result["duration_s"] for result in results["kernelkit"]]
    middle = statistics.median(bandwidths)
    spread = [100 * abs(value - middle) / middle for value in bandwidths]
    return [
        compare("bandwidth over MLX", "MB/s", rate, "plain ring", rate, 1e6, Target("ratio", ">=", 0.9)),
        Measure(f"furthest of {rounds} runs from their median, {name}", "%", Summary.of([max(spread)]),
                targets=(Target("value", "<=", 10),)),
        compare("bandwidth over plain TCP", "MB/s", f"tcp_{rate}", "iperf3", rate, 1e6),
        compare("latency over MLX", "s", "latency_s", "plain ring", "latency_s", 1),
        compare("latency over plain TCP", "s", "tcp_latency_s", "plain socket", "latency_s", 1),
        Measure(f"time for the link, {name}", "s", Summary.of(durations_s),
                targets=(Target("value", "<", 10),)),
    ]  # fmt: skip


def _ours(cluster: Cluster) -> dict[str, float]:
    (link,) = cluster.links().links
    mlx, tcp = link.flow(0, 1), link.flow(0, 1, tcp=True)
    if link.error or mlx is None or tcp is None:
        raise RuntimeError(f"the link was not measured: {link.error}")
    figures = {
        "latency_s": mlx.latency_s,
        "bandwidth_bytes_per_s": mlx.bandwidth_bytes_per_s,
        "tcp_latency_s": tcp.latency_s,
        "tcp_bandwidth_bytes_per_s": tcp.bandwidth_bytes_per_s,
        "duration_s": link.duration_s,
    }
    return {key: value for key, value in figures.items() if value is not None}


def _plain_ring(lab: Lab, size_bytes: int, count: int) -> dict[str, float]:
    hostfile = lab.folder / "plain.json"
    pairs = zip(lab.addresses, _PORTS, strict=False)
    hostfile.write_text(json.dumps([[f"{address}:{port}"] for address, port in pairs]))
    ranks = [
        lab.popen(
            rank,
            ["env", f"MLX_RANK={rank}", f"MLX_HOSTFILE={hostfile}", sys.executable, "-P",
             str(_CONTESTANTS / "plain_link.py"), str(size_bytes), str(count)],
            stdout=subprocess.PIPE,
        )
        for rank in (0, 1)
    ]  # fmt: skip
    out = [rank.communicate(timeout=60)[0] for rank in ranks]
    figures: dict[str, float] = json.loads(out[0])
    return figures


def _plain_socket(lab: Lab) -> dict[str, float]:
    program = [sys.executable, "-P", str(_CONTESTANTS / "plain_socket.py")]
    server = lab.popen(1, [*program, "serve", lab.addresses[1]], stdout=subprocess.PIPE, text=True)
    with server:
        assert server.stdout
        port = server.stdout.readline().strip()
        figures: dict[str, float] = json.loads(lab.run(0, [*program, "ping", lab.addresses[1], port]).stdout)
    return figures


def _connect_to_four(lab: Lab, rounds: int) -> Measure:
    def once() -> float:
        started_s = time.perf_counter()
        with connect(hosts=lab.names):
            return time.perf_counter() - started_s

    results = by_turns({"4 hosts": once}, rounds=rounds, warm_up=1, show=lambda taken_s: f"{taken_s:.2f} s")
    return Measure(
        "connect to 4 hosts", "s", Summary.of(results["4 hosts"]), targets=(Target("value", "<", 10),)
    )
