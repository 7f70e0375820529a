"""Carry values between the notebook and the ranks, as operations that bind and read variables there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from kernelkit import values
from kernelkit.channel.base import Message
from kernelkit.cluster.runner import Runner


def push(runner: Runner, bound: Mapping[str, Any], ranks: Iterable[int]) -> None:
    """Bind variables on these ranks.

    Raises:
        TransferError: a value that cannot be carried.
    """
    tree, buffers = values.encode(bound, "push")
    runner.operate({rank: ("push", {"tree": json.dumps(tree)}) for rank in ranks}, buffers=buffers)


def pull(runner: Runner, name: str, ranks: Iterable[int]) -> dict[int, Any]:
    """A variable's value on each of these ranks; arrays arrive as NumPy.

    Raises:
        TransferError: a rank has no such variable, or one that cannot be carried.
    """
    buffers: dict[int, list[values.Buffer]] = {}

    def take(message: Message) -> None:
        if message.buffers:
            buffers[message.rank] = message.buffers

    trees = runner.operate({rank: ("pull", {"name": name}) for rank in ranks}, on_message=take)
    return {rank: values.decode(json.loads(tree), buffers.get(rank, [])) for rank, tree in trees.items()}
