"""What fits into each rank's memory: weights, the KV cache at a context, what others use, what is free."""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass

from kernelkit.jsonfile import Stored
from kernelkit.tables import text_table
from kernelkit.units import format_bytes

METAL, MACHINE, GPU = "Metal's recommended working set", "this machine's memory", "GPU memory"
_USED = "used by others"
_COLUMNS = ("rank", "host", "weights", "KV per token", _USED, "free", "limit", "which is")


@dataclass(frozen=True)
class DeviceLimit:
    """What a device can hold, for a plan.

    Attributes:
        host: the machine's name; ranks on one host share its limit, unless that is GPU memory.
        limit_bytes, limit, used_bytes: as in `RankMemory`.
    """

    host: str
    limit_bytes: int
    limit: str = METAL
    used_bytes: int | None = None


@dataclass(frozen=True)
class RankMemory:
    """One rank's part of its device's memory.

    Attributes:
        rank: the rank.
        host: the machine's name.
        weight_bytes: of the model that this rank holds.
        kv_bytes_per_token: of layers that keep all tokens, what one token of one sequence takes; None where
            that is not known.
        used_bytes: what all else takes of the limit; None where it is not known.
        limit_bytes: what the device can hold.
        limit: what sets that: Metal's recommended working set, this machine's memory, or GPU memory.
        shared_by: so many ranks share this limit.
        windows: `(tokens, bytes per token)` of layers that keep the last so many tokens.
        state_bytes: of one sequence, of layers that keep a state of one size.
    """

    rank: int
    host: str
    weight_bytes: int
    kv_bytes_per_token: int | None
    used_bytes: int | None
    limit_bytes: int
    limit: str
    shared_by: int = 1
    windows: tuple[tuple[int, int], ...] = ()
    state_bytes: int = 0

    def kv_bytes(self, context: int) -> int | None:
        """Of the caches of one sequence of `context` tokens; None where that is not known."""
        if self.kv_bytes_per_token is None:
            return None
        windows = sum(min(context, tokens) * size for tokens, size in self.windows)
        return self.kv_bytes_per_token * context + windows + (self.state_bytes if context else 0)


@dataclass(frozen=True)
class MemoryMap(Stored):
    """The memory of all ranks.

    Attributes:
        model: what it is called.
        ranks: in order.
        max_context: the longest context that the model was made for, in tokens; None where it is not known.
        batch: sequences at once.
        kv_words: why the size of the KV cache is not known; empty where it is.
        used_words: what `used_bytes` is, where it is something else than others' use.
    """

    _key = "kernelkit_memory"
    _name = "memory map"
    _indent = None

    model: str
    ranks: tuple[RankMemory, ...]
    max_context: int | None
    batch: int = 1
    kv_words: str = ""
    used_words: str = ""

    def kv_bytes(self, rank: int, context: int) -> int | None:
        """Bytes of a rank's KV cache once each sequence has `context` tokens; None where it is not known."""
        size_bytes = self.ranks[rank].kv_bytes(context)
        return None if size_bytes is None else size_bytes * self.batch

    def free_bytes(self, rank: int, context: int) -> int | None:
        """Bytes that are left of a rank's limit, below 0 where it does not fit; None where KV is not known.

        Ranks that share a limit share what is left: each is told the same.
        """
        left = self._without_kv(rank)
        for other in self._beside(rank):
            size_bytes = 0 if context == 0 else self.kv_bytes(other.rank, context)
            if size_bytes is None:
                return None
            left -= size_bytes
        return left

    def largest_context(self) -> int | None:
        """The longest context that fits on every rank, at most `max_context`; None where KV is not known.

        0 where not even the weights fit.
        """
        if any(rank.kv_bytes_per_token is None for rank in self.ranks):
            return None
        fits = (self.max_context, *(self._fits(rank.rank) for rank in self.ranks))
        return min((context for context in fits if context is not None), default=None)

    def _fits(self, rank: int) -> int | None:
        """The longest context that this rank's limit leaves room for; None where any does."""
        left, beside = self._without_kv(rank), self._beside(rank)
        if left < 0:
            return 0
        per_token = self.batch * sum(other.kv_bytes_per_token or 0 for other in beside)
        # Windows and states only add to what grows with every token.
        most = left // per_token if per_token else max((w[0] for o in beside for w in o.windows), default=1)
        full = bisect(range(most + 1), 0, key=lambda context: -(self.free_bytes(rank, context) or 0)) - 1
        return full if per_token or full < most else None

    def _without_kv(self, rank: int) -> int:
        mine = self.ranks[rank]
        weights = sum(other.weight_bytes for other in self._beside(rank))
        return mine.limit_bytes - weights - (mine.used_bytes or 0)

    def _beside(self, rank: int) -> list[RankMemory]:
        """The ranks that share this one's limit, itself among them."""
        mine = self.ranks[rank]
        if mine.shared_by == 1:
            return [mine]
        return [
            other for other in self.ranks if other.host == mine.host and other.shared_by == mine.shared_by
        ]

    def check(self) -> None:
        """See that its parts fit together.

        Raises:
            ValueError: they do not; it says why.
        """
        if not self.ranks:
            raise ValueError("there is no rank")
        if [memory.rank for memory in self.ranks] != list(range(len(self.ranks))):
            raise ValueError("the ranks are not 0, 1, 2, ... in order")
        counts = (self.batch, *(memory.shared_by for memory in self.ranks))
        if min(counts) < 1 or (self.max_context is not None and self.max_context < 1):
            raise ValueError("batch, shared_by and max_context begin at 1")
        for memory in self.ranks:
            sizes = (memory.weight_bytes, memory.kv_bytes_per_token, memory.used_bytes, memory.limit_bytes)
            kept = (memory.state_bytes, *(number for window in memory.windows for number in window))
            if any(size is not None and size < 0 for size in (*sizes, *kept)):
                raise ValueError(f"rank {memory.rank} has a size below 0")

    def __repr__(self) -> str:
        rows = [self._row(memory) for memory in self.ranks]
        columns = [self.used_words or name if name == _USED else name for name in _COLUMNS]
        return "\n".join([self._title(), text_table(columns, rows)])

    def _title(self) -> str:
        if self.kv_words:
            fits = f"KV cache not known: {self.kv_words}"
        elif (most := self.largest_context()) is None:
            fits = "KV cache not known"
        elif most == 0:
            fits = "it does not fit"
        else:
            fits = f"a context of up to {most:,} tokens fits"
        several = f" for each of {self.batch} sequences" if self.batch > 1 else ""
        return f"{self.model or 'model'}: {fits}{several}"

    def _row(self, memory: RankMemory) -> tuple[str, ...]:
        def known(size_bytes: int | None) -> str:
            return "?" if size_bytes is None else format_bytes(size_bytes)

        return (
            str(memory.rank),
            memory.host,
            format_bytes(memory.weight_bytes),
            known(memory.kv_bytes_per_token) + (", windows" if memory.windows else ""),
            known(memory.used_bytes),
            known(self.free_bytes(memory.rank, 0)),
            format_bytes(memory.limit_bytes),
            memory.limit + (f", shared by {memory.shared_by} ranks" if memory.shared_by > 1 else ""),
        )
