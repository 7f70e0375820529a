"""What a collective takes: MLX's own algorithms over a link's latency and bandwidth.

`jaccl`, a mesh with a cable between every two: each rank sends all it has to each other one at once; large
messages of three ranks or more go round a ring in both directions (mlx/distributed/jaccl, `mesh.cpp`).
`jaccl-ring` and `ring` (mlx/distributed/ring, `ring.cpp`): a reduction is scattered and gathered in
`2 * (ranks - 1)` steps of a part of the message each; jaccl's sends in both directions at once, and TCP's
with large messages. `nccl`: a ring in one kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

from kernelkit.catalog import LinkKind
from kernelkit.errors import ArgumentError
from kernelkit.perf import constants
from kernelkit.perf.ranges import ZERO, Range

BACKENDS = ("jaccl", "jaccl-ring", "ring", "nccl")
# jaccl's mesh (mesh_impl.h, MESH_MAX_PEERS).
MESH_RANKS = 8
_MESH_RING_BYTES = 512 * 1024  # mesh.cpp: 256 x 1,024 numbers of bfloat16
_RING_WAY_BYTES = 262_144  # ring.cpp: each further socket has at least so much to send


@dataclass(frozen=True)
class Wire:
    """A link as a backend uses it.

    Attributes:
        backend: one of `BACKENDS`.
        latency_s: of a small message, one way; of `nccl`, of a small all_sum on the GPUs.
        bytes_per_s: one way.
        crossing_s: from the GPU to the processor that sends, and back.
        host_s: what an all_sum takes of the host beside it.
    """

    backend: str
    latency_s: Range
    bytes_per_s: Range
    crossing_s: Range
    host_s: Range

    def all_sum(self, size_bytes: float, ranks: int) -> tuple[Range, Range]:
        """Seconds of one: of latency, and of bytes.

        Args:
            size_bytes: of the array, on each rank.
        """
        if ranks == 1:
            return ZERO, ZERO
        if self.backend == "jaccl" and not self.leaves_mesh(size_bytes, ranks):
            return self._latency(1), self.bytes_per_s.of_amount(size_bytes)
        steps, part = 2 * (ranks - 1), size_bytes / ranks
        if self.backend == "nccl":
            # Its latency is that of a whole all_sum of two ranks; with more it may take as many steps.
            latency = self.latency_s
            most = latency.high * (ranks - 1)
            return Range(latency.low, latency.mid, most), self.bytes_per_s.of_amount(steps * part)
        ways = 2.0 if self.backend != "ring" else min(2.0, max(1.0, part // _RING_WAY_BYTES))
        return self._latency(steps), self.bytes_per_s.of_amount(steps * part / ways)

    def leaves_mesh(self, size_bytes: float, ranks: int) -> bool:
        """Whether jaccl sums so much round a ring, in `2 * (ranks - 1)` steps, though there is a mesh."""
        return self.backend == "jaccl" and ranks > 2 and size_bytes > _MESH_RING_BYTES

    def all_gather(self, size_bytes: float, ranks: int) -> tuple[Range, Range]:
        """Seconds of one of `size_bytes` from each rank: of latency, and of bytes."""
        if ranks == 1:
            return ZERO, ZERO
        if self.backend == "jaccl":
            return self._latency(1), self.bytes_per_s.of_amount(size_bytes)
        return self._latency(ranks - 1), self.bytes_per_s.of_amount(size_bytes * (ranks - 1))

    def send(self, size_bytes: float) -> tuple[Range, Range]:
        """Seconds from one rank to its neighbour: of latency, and of bytes."""
        return self._latency(1), self.bytes_per_s.of_amount(size_bytes)

    def _latency(self, steps: int) -> Range:
        return self.latency_s.times(steps) + self.crossing_s


def wire(kind: LinkKind, backend: str, metal: bool, fast_synch: bool) -> Wire | None:
    """A link of the catalog; None where it lacks what a prediction needs.

    Args:
        metal: whether collectives run on the CPU beside a GPU of Apple's.
        fast_synch: whether `MLX_METAL_FAST_SYNCH=1` is set.
    """
    latency, rate = _latency(kind, backend), _rate(kind)
    if latency is None or rate is None:
        return None
    crossing = ZERO
    if metal:
        crossing = (constants.METAL_FAST_CROSSING_S if fast_synch else constants.METAL_CROSSING_S).value
    return Wire(backend, latency, rate, crossing, constants.NCCL_HOST_S.value if backend == "nccl" else ZERO)


def check_backend(backend: str | None) -> None:
    """See that a backend is one that plans know, also where a single machine needs none.

    Raises:
        ArgumentError: it is not; by name.
    """
    if backend is not None and backend not in BACKENDS:
        expected = " or ".join(BACKENDS)
        raise ArgumentError(
            f"there is no plan for the backend {backend!r}", expected=expected, got=str(backend)
        )


def able(kind: LinkKind) -> tuple[str, ...]:
    """The backends that run over a link, its own first."""
    return ("jaccl", "jaccl-ring") if kind.backend == "jaccl" else (kind.backend,)


def backend_of(kind: LinkKind, backend: str | None, strategy: str, ranks: int) -> str:
    """The backend to use over a link.

    Raises:
        ArgumentError: that backend does not run over this link, or cannot do what is asked; by name.
    """
    chosen = kind.backend if backend is None else backend
    if chosen not in able(kind):
        raise ArgumentError(
            f"{chosen} does not run over {kind.title}", expected=" or ".join(able(kind)), got=chosen
        )
    if kind.most_ranks is not None and ranks > kind.most_ranks:
        raise ArgumentError(
            f"{kind.title} joins {kind.most_ranks} ranks", expected=f"1 to {kind.most_ranks}", got=str(ranks)
        )
    if ranks > 1 and strategy == "pipeline" and chosen == "nccl":
        raise ArgumentError(
            "nccl has no send and recv in MLX, so no pipeline",
            expected="ring or jaccl for a pipeline",
            got="nccl",
            cure='strategy="tensor"',
        )
    if chosen == "jaccl" and ranks > MESH_RANKS:
        raise ArgumentError(
            f"jaccl's mesh has at most {MESH_RANKS} ranks",
            expected=f"1 to {MESH_RANKS}",
            got=str(ranks),
            cure='backend="jaccl-ring"',
        )
    return chosen


def _latency(kind: LinkKind, backend: str) -> Range | None:
    if backend == "nccl":
        return constants.NCCL_SUM_S.value
    if kind.latency_s is not None:
        low, high = kind.latency_s
        return Range(low, (low * high) ** 0.5, high)
    # Of the air nobody knows how busy it is.
    if backend == "ring" and not kind.key.startswith("wifi"):
        return constants.TCP_LATENCY_S.value
    return None


def _rate(kind: LinkKind) -> Range | None:
    if kind.bandwidth_bytes_per_s is not None:
        low, high = kind.bandwidth_bytes_per_s
        return Range(low, (low * high) ** 0.5, high)
    if kind.backend == "ring" and kind.nominal_bits_per_s and not kind.key.startswith("wifi"):
        return constants.TCP_BANDWIDTH_SHARE.value.times(kind.nominal_bits_per_s / 8)
    return None
