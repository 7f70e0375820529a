"""Ask the ranks where they stand while a request is under way, without waiting for an answer.

The questions go to the ranks' subshells and the answers come back through the same `poll` as everything
else, so a rank that cannot answer keeps nobody waiting. Short cells are not asked at all.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from kernelkit.channel.base import Channel, Message, answer_of, has_failed
from kernelkit.places import Call, Place, Places, State

FIRST_LOOK_S = 1.0
INTERVAL_S = 0.5
# While an operation tells how it goes: a look and its messages cost a rank milliseconds of Python's lock, and
# where the host sets the pace that is time of a token.
SPARING_INTERVAL_S = 2.0
# A rank that has not answered by then is stopped, or holds Python's lock in native code.
SILENT_S = 2.0
# A thread that waits uses less processor time than this part of the time that passes.
_WAITING_SHARE = 0.004


class Observer:
    """Knows where each rank of one request stands.

    Args:
        sparing: look less often while ranks tell how it goes, none has ended, and none stands still.
    """

    def __init__(
        self, channel: Channel, world_size: int, takes_part: Sequence[int], *, sparing: bool = False
    ) -> None:
        self._channel = channel
        self._sparing = sparing
        self._takes_part = frozenset(takes_part)
        self._ranks = {rank: _Watched(rank) for rank in range(world_size)}
        self._running = tuple(takes_part)
        self._changed_s = time.monotonic()
        self._next_s = self._changed_s + FIRST_LOOK_S
        self._looked_s = self._heard_s = 0.0

    def heard(self) -> None:
        """A rank has told something: a few tokens, a layer that is loaded."""
        self._heard_s = time.monotonic()

    @property
    def settled(self) -> bool:
        """Whether every rank that answers was asked after the latest one ended.

        Before that, what is known of the ended one is older than its last collectives.
        """
        return all(watched.seen_for_s > self._changed_s or watched.silent for watched in self._ranks.values())

    def turn(self, running: Sequence[int]) -> None:
        """Ask, when it is time to.

        Args:
            running: the ranks that have not ended.
        """
        now_s = time.monotonic()
        if tuple(running) != self._running:
            self._running, self._changed_s = tuple(running), now_s
        if now_s < self._next_s or (
            self._all_goes_well(now_s) and now_s - self._looked_s < SPARING_INTERVAL_S
        ):
            return
        self._next_s, self._looked_s = now_s + INTERVAL_S, now_s
        for watched in self._ranks.values():
            if not watched.asked:
                watched.asked, watched.asked_s = self._channel.look(watched.rank), now_s

    def _all_goes_well(self, now_s: float) -> bool:
        """Whether nobody need be asked yet."""
        return (
            self._sparing
            and now_s - self._heard_s < INTERVAL_S
            and len(self._running) == len(self._takes_part)
            and not any(watched.still_s for watched in self._ranks.values())
        )

    def take(self, message: Message) -> None:
        """Look whether a message is one of the answers."""
        watched = self._ranks.get(message.rank)
        if watched is None or message.kind != "execute_reply" or message.parent != watched.asked:
            return
        watched.asked = ""
        if not has_failed(message.content):
            # At most two intervals at a time: a laptop that slept has not waited.
            most_s = 2 * (SPARING_INTERVAL_S if self._sparing else INTERVAL_S)
            watched.move(answer_of(message.rank, message.content), time.monotonic(), most_s)

    def places(self, running: Sequence[int]) -> dict[int, Place]:
        """Where every rank of the cluster stands; empty before the first look.

        Args:
            running: the ranks that have not ended.
        """
        if not any(watched.seen for watched in self._ranks.values()):
            return {}
        places = {}
        for rank, watched in self._ranks.items():
            state: State = "running" if rank in running else "ended"
            if watched.silent:
                state = "silent"
            elif rank not in self._takes_part:
                state = "absent"
            places[rank] = place_of(rank, state, watched.seen, watched.still_s)
        return places


class _Watched:
    """One rank: the question under way, the newest answer, and for how long the rank has stood still."""

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.asked = ""
        self.asked_s = 0.0
        self.seen: dict[str, Any] = {}
        self.seen_s = 0.0
        self.seen_for_s = 0.0  # when it was asked what it answered last
        self.still_s = 0.0

    @property
    def silent(self) -> bool:
        return bool(self.asked) and time.monotonic() - self.asked_s > SILENT_S

    def move(self, answer: dict[str, Any], now_s: float, most_s: float) -> None:
        if self.seen:
            passed_s = min(now_s - self.seen_s, most_s)
            worked_s = answer["cpu_s"] - self.seen["cpu_s"]
            stood = all(answer[name] == self.seen[name] for name in ("calls", "line", "in_mlx"))
            waited = worked_s < _WAITING_SHARE * passed_s
            self.still_s = self.still_s + passed_s if stood and waited else 0.0
        self.seen, self.seen_s, self.seen_for_s = answer, now_s, self.asked_s


def place_of(rank: int, state: State, answer: Mapping[str, Any], still_s: float = 0.0) -> Place:
    """A `Place` of what a rank answered to `where`; an empty answer is one that has not come."""
    if not answer:
        return Place(rank, state)
    if state == "absent":  # what it called, it called in an earlier cell
        nothing: dict[str, Any] = {"calls": 0, "recent": [], "op_bytes": {}, "peer_bytes": []}
        answer = {**answer, "line": 0, "source": "", **nothing}
    return Place(
        rank,
        state,
        line=answer["line"],
        source=answer["source"],
        doing=answer["doing"],
        in_mlx=answer["in_mlx"],
        still_s=still_s,
        calls=answer["calls"],
        recent=tuple(Call.from_dict(call) for call in answer["recent"]),
        sent=dict(answer["sent"]),
        received=dict(answer["received"]),
        op_bytes=answer.get("op_bytes", {}),
        peer_bytes=dict(answer.get("peer_bytes", ())),
    )


def as_places(places: Places, answers: Mapping[int, Mapping[str, Any]]) -> dict[int, Place]:
    """`places` with newer answers put in; how long a rank has stood still is kept."""
    return {
        rank: place_of(rank, place.state, answers[rank], place.still_s)
        if rank in answers
        else replace(place, state="silent" if place.state == "running" else place.state)
        for rank, place in places.items()
    }
