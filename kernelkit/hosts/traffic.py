"""How many bytes one call of MLX sends to which rank: pure, from its size and the backend.

Payload alone, without the headers of TCP, which add some 0.1 %. N is the number of ranks. Of MLX 0.32.4:

- **ring** (`mlx/distributed/ring/ring.cpp`; `tests/hosts/test_traffic_lab.py` holds it against what the
  system counted on each connection). `all_sum`, `all_max` and `all_min` are a reduce-scatter and an
  all-gather around the ring, in which a rank sends `2 (N - 1) / N` of the array's bytes, to within an element
  per step (Patarasuk and Yuan 2009, "Bandwidth optimal all-reduce algorithms for clusters of workstations");
  in an `all_gather` it sends `N - 1` times its own array. A small array goes one way round, to the *previous*
  rank. A large one goes half each way: from 512 KiB on to be gathered, from N times that on to be reduced.
  One with fewer elements than there are ranks is padded to N, and goes to the next rank.
- **jaccl**, a mesh (`mlx/distributed/jaccl/lib/jaccl/mesh.cpp`, read and not run): a whole array to each of
  the others; of one to be reduced that has more than 32 KiB, among three ranks or more, `2 / N`.
- **jaccl-ring** (`ring.cpp` beside it, read and not run): as much as in a ring, always half each way, but for
  arrays to be reduced of fewer than 2 N elements, which go to the next rank.
- **nccl**, **mpi**: assumed, since both choose among algorithms by size and by wires: as much as in a ring,
  spread evenly over the others.

Where a ring has several connections between two ranks, its halves are so to within a third.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

RING_HALVES_FROM_BYTES = 2 * 2**18
MESH_SPLITS_ABOVE_BYTES = 2**15

_REDUCING = ("all_sum", "all_max", "all_min")
_GATHERING, _SCATTERING = "all_gather", "sum_scatter"

Sent = Mapping[int, int]


@lru_cache(maxsize=4096)
def sent_bytes(op: str, elements: int, item_bytes: int, rank: int, ranks: int, backend: str) -> Sent:
    """Bytes that a rank sends to each other one for a collective; who gets nothing is left out.

    Args:
        op: as `mx.distributed` calls it.
        elements, item_bytes: of the array that the rank gave.
    """
    if ranks < 2 or op not in (*_REDUCING, _GATHERING, _SCATTERING):
        return {}
    send = _ALGORITHMS.get(backend, _spread)
    return {peer: size for peer, size in send(op, elements, item_bytes, rank, ranks).items() if size}


def _ring(op: str, elements: int, item_bytes: int, rank: int, ranks: int) -> Sent:
    if op in _REDUCING and elements < ranks:
        return {(rank + 1) % ranks: _around(op, ranks * item_bytes, ranks)}
    size_bytes = elements * item_bytes
    sent = _around(op, size_bytes, ranks)
    parts = ranks if op in _REDUCING else 1
    if size_bytes < parts * RING_HALVES_FROM_BYTES:
        return {(rank - 1) % ranks: sent}
    return _both_ways(sent, rank, ranks)


def _jaccl_ring(op: str, elements: int, item_bytes: int, rank: int, ranks: int) -> Sent:
    sent = _around(op, elements * item_bytes, ranks)
    if op in _REDUCING and elements < 2 * ranks:
        return {(rank + 1) % ranks: sent}
    return _both_ways(sent, rank, ranks)


def _jaccl(op: str, elements: int, item_bytes: int, rank: int, ranks: int) -> Sent:
    size_bytes = elements * item_bytes
    if op in _REDUCING and ranks > 2 and size_bytes > MESH_SPLITS_ABOVE_BYTES:
        return _to_all(2 * size_bytes // ranks, rank, ranks)
    return _to_all(size_bytes // ranks if op == _SCATTERING else size_bytes, rank, ranks)


def _spread(op: str, elements: int, item_bytes: int, rank: int, ranks: int) -> Sent:
    return _to_all(_around(op, elements * item_bytes, ranks) // (ranks - 1), rank, ranks)


_ALGORITHMS: Mapping[str, Callable[[str, int, int, int, int], Sent]] = {
    "ring": _ring,
    "jaccl-ring": _jaccl_ring,
    "jaccl": _jaccl,
}


def _around(op: str, size_bytes: int, ranks: int) -> int:
    """What one rank sends in all around a ring."""
    if op == _GATHERING:
        return (ranks - 1) * size_bytes
    passes = 1 if op == _SCATTERING else 2
    return passes * (ranks - 1) * size_bytes // ranks


def _both_ways(sent: int, rank: int, ranks: int) -> Sent:
    before, after = (rank - 1) % ranks, (rank + 1) % ranks
    return {before: sent} if before == after else {before: sent - sent // 2, after: sent // 2}


def _to_all(size_bytes: int, rank: int, ranks: int) -> Sent:
    return {other: size_bytes for other in range(ranks) if other != rank}
