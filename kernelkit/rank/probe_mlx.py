"""Messages between the two processes of a probe over MLX: a group of two of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx

from kernelkit.errors import ConnectError, GroupError
from kernelkit.hosts.linkfit import PING_BYTES
from kernelkit.rank.forming import form

# What MLX can do only as a collective there.
NO_SEND = ("nccl",)


def stay_on_cpu() -> None:
    """Messages of all backends but NCCL travel on the CPU's stream: a GPU need not even wake up."""
    mx.set_default_device(mx.Device(mx.cpu))


def join(
    backend: str, env: dict[str, str], files: dict[str, str], release: Callable[[], None]
) -> mx.distributed.Group:
    """Form the group; see `form`.

    Raises:
        ConnectError: MLX could not.
    """
    try:
        return form(backend, env, files, release)
    except RuntimeError as error:
        raise ConnectError(f"could not join the {backend} group: {error}") from error


def verify(group: mx.distributed.Group, rank: int, nonce: int) -> None:
    """Gather a secret number from both: a port that another job took in between gives itself away here.

    Raises:
        GroupError: it is another group than the one asked for.
    """
    if (formed := (group.rank(), group.size())) != (rank, 2):
        got = f"rank {formed[0]} of {formed[1]}"
        raise GroupError(
            "MLX formed another group than the one asked for", expected=f"rank {rank} of 2", got=got
        )
    mine = mx.array([nonce, rank], dtype=mx.int32)
    seen: Any = mx.distributed.all_gather(mine, group=group).tolist()
    if seen != [nonce, 0, nonce, 1]:
        raise GroupError("the other end of the link belongs to another job", expected="this probe's nonce")


class SendPair:
    """`mx.distributed.send` and `recv`, each computed at once."""

    how = "send"
    both_ways = False

    def __init__(self, group: mx.distributed.Group) -> None:
        self._group = group
        self._peer = 1 - group.rank()
        self._messages: dict[int, mx.array] = {}

    def tell(self, op: int, amount: int) -> None:
        mx.eval(mx.distributed.send(mx.array([op, amount], dtype=mx.int32), self._peer, group=self._group))

    def hear(self) -> tuple[int, int]:
        heard: Any = mx.distributed.recv((2,), mx.int32, self._peer, group=self._group).tolist()
        return heard[0], heard[1]

    def send(self, size_bytes: int) -> None:
        message = _message(self._messages, size_bytes)
        mx.eval(mx.distributed.send(message, self._peer, group=self._group))

    def recv(self, size_bytes: int) -> None:
        mx.eval(mx.distributed.recv((size_bytes // 4,), mx.int32, self._peer, group=self._group))


class SumPair:
    """`mx.distributed.all_sum` for a backend without send.

    A ring of two moves as many bytes each way as the message has, so its time is one message's
    (`2 (n - 1) / n` of the size with n ranks: NCCL-tests, PERFORMANCE.md, "bus bandwidth").
    """

    how = "all_sum"
    both_ways = True

    def __init__(self, group: mx.distributed.Group) -> None:
        self._group = group
        self._messages: dict[int, mx.array] = {}

    def tell(self, op: int, amount: int) -> None:
        self._sum(mx.array([op, amount], dtype=mx.int32))

    def hear(self) -> tuple[int, int]:
        heard: Any = self._sum(mx.zeros((2,), dtype=mx.int32)).tolist()
        return heard[0], heard[1]

    def send(self, size_bytes: int) -> None:
        self._sum(_message(self._messages, size_bytes))

    recv = send

    def _sum(self, message: mx.array) -> mx.array:
        result = mx.distributed.all_sum(message, group=self._group)
        mx.eval(result)
        return result


def _message(kept: dict[int, mx.array], size_bytes: int) -> mx.array:
    """Zeros, made once. Sizes come in order: the last, its lead-in and the smallest are needed again."""
    if size_bytes not in kept:
        for other in [size for size in kept if PING_BYTES < size < size_bytes // 4]:
            del kept[other]
        kept[size_bytes] = mx.zeros((size_bytes // 4,), dtype=mx.int32)
        mx.eval(kept[size_bytes])
    return kept[size_bytes]
