"""Clusters, links, models and generations to try pictures on: made by formulae, nothing was measured."""

from __future__ import annotations

from itertools import combinations, pairwise

from kernelkit.generation import Generation
from kernelkit.hosts.clustermap import ClusterMap, Edge, HostNode, RankNode
from kernelkit.hosts.linkfit import PING_BYTES, SIZES_BYTES, Sample
from kernelkit.hosts.linkreport import Flow, Link, LinkEnd, LinkReport, Way
from kernelkit.sharding.memory import METAL, DeviceLimit, MemoryMap
from kernelkit.sharding.planmemory import planned_memory
from kernelkit.sharding.shape import planned_shards
from kernelkit.sharding.shardmap import ShardMap

THUNDERBOLT_5 = Way("tb5", "Thunderbolt 5", 80e9, "en5")
WIFI = Way("wifi", "Wi-Fi", 1.2e9, "en0")
_GB = 10**9


def cluster_map(
    hosts: int, shape: str = "mesh", *, running: bool = False, sent_bytes: int = 12_400_000
) -> ClusterMap:
    """Macs with one rank each; the link of ranks 0 and 1 is slow, where there are three or more."""
    order = list(range(hosts))
    pairs = (
        list(combinations(order, 2)) if shape == "mesh" else [*pairwise(order), (0, hosts - 1)][: hosts or 1]
    )
    states = ("running", "waiting", "idle") if running else ("idle",)
    doings = {"running": "at line 3: y = model(x)", "waiting": "waits in all_sum at line 4 for 12 s"}
    nodes = tuple(
        HostNode(
            f"studio-{i}.local",
            "Apple M3 Ultra",
            512 * _GB,
            (40 + 50 * i) * _GB,
            (
                RankNode(
                    i,
                    doings.get(states[i % len(states)], "idle"),
                    states[i % len(states)],  # type: ignore[arg-type]
                    "Device(gpu, 0)",
                    4000 + i,
                    "Accelerate",
                    "0.32.4",
                    (30 + i) * _GB,
                    (29 + i) * _GB,
                ),
            ),
        )
        for i in order
    )
    sent_bytes = sent_bytes if running else 0
    edges = tuple(_edge(nodes, a, b, (a, b) == (0, 1) and hosts > 2, sent_bytes) for a, b in pairs)
    ring = tuple(order) if shape == "ring" else ()
    return ClusterMap(nodes, edges, "jaccl", "running" if running else "idle", shape, ring)  # type: ignore[arg-type]


def _edge(nodes: tuple[HostNode, ...], a: int, b: int, low: bool, sent_bytes: int) -> Edge:
    words = f"rank {a} - rank {b} reaches 11 % of Thunderbolt 5: it runs over Wi-Fi (en0)" if low else ""
    speed = 1.1e9 if low else (6.4 + 0.1 * a) * 1e9
    return Edge(
        (nodes[a].name, nodes[b].name),
        (a, b),
        "Wi-Fi" if low else "Thunderbolt 5",
        "en0" if low else f"en{5 + b}, en{5 + a}",
        10e9,
        (speed, 0.98 * speed),
        (1.4e-3 if low else 9e-6, 1.4e-3 if low else 9e-6),
        "low" if low else "measured",
        words,
        sent_bytes=(sent_bytes, sent_bytes),
    )


def link_report(ranks: int) -> LinkReport:
    """Every pair of ranks over Thunderbolt 5, ranks 0 and 1 over Wi-Fi."""
    links = []
    for a, b in combinations(range(ranks), 2):
        slow = (a, b) == (0, 1) and ranks > 2
        way = WIFI if slow else THUNDERBOLT_5
        ends = tuple(LinkEnd(r, f"studio-{r}.local", way.interface, f"10.0.{a}{b}.{r}") for r in (a, b))
        speed, latency_s = (1.1e8, 1.4e-3) if slow else (6.4e9, 9e-6 + 1e-6 * (a + b))
        mlx = tuple(_flow(s, r, latency_s, speed, "send") for s, r in ((a, b), (b, a)))
        tcp = tuple(_flow(s, r, 3 * latency_s, 0.6 * speed, "tcp") for s, r in ((a, b), (b, a)))
        links.append(Link((ends[0], ends[1]), way, THUNDERBOLT_5, True, mlx, tcp, "", 4.0))
    return LinkReport("2026-01-01T00:00:00Z", "jaccl", tuple(links))


def _flow(sender: int, receiver: int, latency_s: float, speed: float, how: str) -> Flow:
    samples = []
    for size_bytes in (PING_BYTES, *SIZES_BYTES):
        time_s = latency_s + size_bytes / speed
        samples.append(Sample(size_bytes, time_s, 9, 0.97 * time_s, 1.1 * time_s, how))
    return Flow.measured(sender, receiver, tuple(samples), ())


def generation(tokens: int = 64, ranks: int = 2) -> Generation:
    """Tokens at 20 per second after a prompt of 1.2 s, every tenth one late."""
    times_s = [1.2 + 0.05 * i + (0.04 if i % 10 == 9 else 0.0) for i in range(tokens)]
    return Generation(
        text="text",
        tokens=list(range(tokens)),
        prompt_tokens=31,
        prompt_tokens_per_s=25.8,
        tokens_per_s=20.0,
        peak_memory_bytes=(300_000_000,) * ranks,
        finish_reason="length",
        seed=1,
        token_times_s=tuple(times_s),
        elapsed_s=(times_s[-1],) * ranks,
        communication_s=tuple(0.5 + 0.2 * rank for rank in range(ranks)),
    )


def shard_map(ranks: int, layers: int = 16, strategy: str = "tensor") -> ShardMap:
    """A llama in 4 bits, whose 9 heads and 3 KV heads are padded on most numbers of ranks."""
    config = {**_LLAMA, "num_hidden_layers": layers}
    packing = {"bits": 4, "group_size": 32}
    return planned_shards(config, ranks, strategy, "sample", quantization=packing)  # type: ignore[arg-type]


def memory_map(ranks: int) -> MemoryMap:
    """The same model on Macs of 512 GB."""
    limits = [DeviceLimit(f"studio-{rank}.local", 512 * _GB, METAL, 40 * _GB) for rank in range(ranks)]
    return planned_memory(shard_map(ranks), _LLAMA, limits)


_LLAMA = {
    "model_type": "llama",
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "num_hidden_layers": 16,
    "vocab_size": 49_152,
    "max_position_embeddings": 131_072,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
}
