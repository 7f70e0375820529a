"""Count the bytes that this rank's calls have sent since the cell began, by operation and by receiver.

Counted when the program calls, as in the ledger, not when MLX runs it. Collectives inside `mx.compile`, and
those of a group of some of the ranks, are not seen.
"""

from __future__ import annotations

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


def collective(op: str, x: mx.array) -> None:
    """A call of all ranks."""
    op_bytes[op] = op_bytes.get(op, 0) + x.nbytes
    item_bytes = x.dtype.size
    for peer, size in sent_bytes(op, x.size, item_bytes, state.rank, state.world_size, state.backend).items():
        peer_bytes[peer] = peer_bytes.get(peer, 0) + size


def send(peer: int, x: mx.array) -> None:
    """A call of this rank alone: as many bytes as the array has."""
    op_bytes["send"] = op_bytes.get("send", 0) + x.nbytes
    peer_bytes[peer] = peer_bytes.get(peer, 0) + x.nbytes
