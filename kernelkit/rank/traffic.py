"""Count the bytes that this rank's calls have sent since the cell began, by operation and by receiver.

Counted when the program calls, as in the ledger, not when MLX runs it. Collectives inside `mx.compile`, and
those of a group of some of the ranks, are not seen.
"""

from __future__ import annotations

from dataclasses import dataclass

import mlx.core as mx

from kernelkit.hosts.traffic import sent_bytes
from kernelkit.rank import state

# Of the arrays that the program gave, by operation.
op_bytes: dict[str, int] = {}
# Of what that sends to each other rank; see `hosts.traffic`.
peer_bytes: dict[int, int] = {}


def begin() -> None:
    """A new cell or operation: count from zero."""
    op_bytes.clear()
    peer_bytes.clear()


@dataclass(frozen=True)
class Sends:
    """What one call of all ranks sends.

    Attributes:
        op: the operation.
        size_bytes: of the array that the program gave.
        peers: bytes to each other rank.
    """

    op: str
    size_bytes: int
    peers: tuple[tuple[int, int], ...]


def of_collective(op: str, x: mx.array) -> Sends:
    """Of a call with that array."""
    peers = sent_bytes(op, x.size, x.dtype.size, state.rank, state.world_size, state.backend)
    return Sends(op, x.nbytes, tuple(peers.items()))


def count(sends: Sends) -> None:
    """A call of all ranks."""
    op_bytes[sends.op] = op_bytes.get(sends.op, 0) + sends.size_bytes
    for peer, size_bytes in sends.peers:
        peer_bytes[peer] = peer_bytes.get(peer, 0) + size_bytes


def send(peer: int, x: mx.array) -> None:
    """A call of this rank alone: as many bytes as the array has."""
    op_bytes["send"] = op_bytes.get("send", 0) + x.nbytes
    peer_bytes[peer] = peer_bytes.get(peer, 0) + x.nbytes
