"""Are the ranks in step? MLX does not say: a collective that only some entered gives wrong numbers later."""

from __future__ import annotations

import secrets

from kernelkit.channel.base import answer_of
from kernelkit.cluster.bringup import Members
from kernelkit.cluster.follow import ASK_TIMEOUT_S, INTERRUPT_GRACE_S, ledgers_of
from kernelkit.cluster.running import Wait
from kernelkit.errors import KernelkitError
from kernelkit.places import Call, first_difference


def out_of_step(members: Members) -> str:
    """Gather a new nonce from all ranks, as when the group was formed.

    Returns:
        Why the group cannot be used any more, or nothing where it can.

    Raises:
        RankLostError: a rank's process ended.
    """
    arguments = {"nonce": secrets.randbelow(2**30)}
    check = Wait(members, {rank: members.channel.call(rank, "verify", arguments) for rank in members.facts})
    if not check.until_done(INTERRUPT_GRACE_S) or check.failed:
        return "the ranks are out of step: some entered a collective that others did not"
    try:
        for rank, reply in check.replies.items():
            answer_of(rank, reply)
    except KernelkitError as error:
        return error.what
    return ""


def difference(members: Members, wait: Wait) -> dict[int, Call | None] | None:
    """Whether a cell that ended well on all ranks called different collectives on them.

    Costs nothing where it did not: count and checksum came with the ranks' replies.

    Returns:
        The first collective at which they differ, as each rank called it, or None.
    """
    ledgers = wait.ledgers
    checksums = {tuple(sorted(ledger.items())) for ledger in ledgers.values()}
    if len(ledgers) < len(members.facts) or len(checksums) < 2:
        return None
    reports = members.channel.ask(list(ledgers), "report", {}, ASK_TIMEOUT_S)
    return first_difference(ledgers_of(reports, len(members.facts), list(ledgers)))
