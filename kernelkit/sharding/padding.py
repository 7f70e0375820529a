"""The arithmetic of padding with zeros and repeating heads, until a model divides into equal parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

from kernelkit.errors import ArgumentError, ModelShardError
from kernelkit.sharding.split import check_split

# A part has whole heads, so many parts are mostly padding, and each part of a rank is cut by itself.
_MOST_PARTS = 24


@dataclass(frozen=True)
class HeadPlan:
    """The heads of one attention layer over all parts.

    Attributes:
        heads, kv_heads: all of them, those of zeros at the end included.
        copies: so many times each KV head stands in a row, each time for a part of its query heads.
    """

    heads: int
    kv_heads: int
    copies: int = 1


@dataclass(frozen=True)
class Repeat:
    """Heads that stand several times in a row.

    Attributes:
        heads: how many different ones there are.
        times: how often each of them stands there.
    """

    heads: int = 1
    times: int = 1


ONCE = Repeat()


@dataclass(frozen=True)
class Change:
    """What was done to a size of a model, over all its parts, so that it divides.

    Attributes:
        what: counted is, such as `KV heads` or `MLP rows`.
        before, after: how many of them there were, and are.
        times: how often each of the old ones stands there; what is more than that is of zeros.
    """

    what: str
    before: int
    after: int
    times: int = 1


@dataclass(frozen=True)
class Shares:
    """Into how many equal parts a model is cut, and which of them a rank has.

    Attributes:
        by_rank: parts of each rank; those of rank 0 come first.
    """

    by_rank: tuple[int, ...]

    @classmethod
    def of(cls, ranks: int, split: Sequence[int] | None = None) -> Shares:
        """One part for each rank, or as `split` says, in lowest terms: `(4, 2, 2) -> (2, 1, 1)`.

        Raises:
            ArgumentError: not one number above 0 for each rank, or too many parts.
        """
        if split is None:
            return cls((1,) * ranks)
        check_split(split)
        if len(split) != ranks or any(type(share) is not int or share < 1 for share in split):
            raise ArgumentError(
                "the shares do not fit the ranks",
                expected=f"{ranks} whole numbers above 0, such as {','.join(['2', *['1'] * (ranks - 1)])}",
                got=", ".join(map(str, split)),
            )
        common = gcd(*split)
        shares = cls(tuple(share // common for share in split))
        if shares.parts > _MOST_PARTS:
            raise ArgumentError(
                "the shares would cut the model into too many parts, most of them zeros",
                expected=f"small numbers, {_MOST_PARTS} in all at the most: 1,1 or 5,4 in place of 55,45",
                got=", ".join(map(str, split)),
            )
        return shares

    @property
    def parts(self) -> int:
        """How many parts there are."""
        return sum(self.by_rank)

    @property
    def even(self) -> bool:
        """Whether each rank has one."""
        return self.parts == len(self.by_rank)

    def first(self, rank: int) -> int:
        """The first part of a rank."""
        return sum(self.by_rank[:rank])

    def cut(self, size: int) -> list[int]:
        """How much of an axis each rank has, of a size that divides by the parts."""
        return [size // self.parts * share for share in self.by_rank]

    def padding(self, rank: int, size: int, real: int) -> int:
        """How much of a rank's part of an axis is padding: of `size` only the first `real` are not.

        >>> [Shares.of(2).padding(rank, 12, 9) for rank in range(2)], Shares((2, 1)).padding(1, 12, 9)
        ([0, 3], 3)
        """
        part = size // self.parts
        end = part * (self.first(rank) + self.by_rank[rank])
        return min(part * self.by_rank[rank], max(0, end - real))

    def repeated(self, rank: int, size: int, real: int, repeat: Repeat) -> int:
        """How much of a rank's part of an axis stands before it, on this rank or on one before.

        Args:
            size, real: as `padding` takes them; `real` counts each head as often as it stands there.

        >>> [Shares.of(4).repeated(rank, 256, 256, Repeat(2, 2)) for rank in range(4)]
        [0, 64, 0, 64]
        """
        if repeat.times == 1:
            return 0
        part, run = size // self.parts, real // repeat.heads
        start, end = (min(real, part * self.first(border)) for border in (rank, rank + 1))
        firsts = -(-end // run) - -(-start // run)  # runs of equal heads that begin here
        return end - start - firsts * (run // repeat.times)


def plan_heads(heads: int, kv_heads: int, parts: int, head_dim: int = 1, group_size: int = 1) -> HeadPlan:
    """The fewest heads, from `(heads, kv_heads)` up, that divide into `parts`.

    Zero heads are added at the end: `(9, 3)` in 2 parts are `(12, 4)`. Where there are more parts than KV
    heads it may take less to let a KV head stand several times, each time for a part of its query heads:
    `(32, 8)` in 16 parts are `(32, 16)`, two copies of each. Of both ways the one with fewer weights is
    taken, by `heads + kv_heads`: that many rows have the four projections, twice over.

    Args:
        head_dim: columns of the output projection per head.
        group_size: of its quantization; each part gets whole groups.

    Raises:
        ModelShardError: `kv_heads` does not divide `heads`.
    """
    if heads % kv_heads:
        raise ModelShardError(
            "the attention heads cannot be padded",
            expected="a whole number of query heads per KV head",
            got=f"{heads} heads, {kv_heads} KV heads",
        )
    ratio = heads // kv_heads
    plans = []
    for copies in range(1, ratio + 1):
        if ratio % copies == 0:
            columns = ratio // copies * head_dim
            unit = parts * (group_size // gcd(group_size, columns))
            more_kv = _up_to_multiple(kv_heads * copies, unit)
            plans.append(HeadPlan(more_kv * ratio // copies, more_kv, copies))
    return min(plans, key=lambda plan: plan.heads + plan.kv_heads)  # of equal ones the first: fewer copies


def padded_mlp(size: int, parts: int, group_size: int = 1) -> int:
    """The least MLP size from `size` up that gives each part whole quantization groups."""
    return _up_to_multiple(size, parts * group_size)


def _up_to_multiple(number: int, unit: int) -> int:
    return -(-number // unit) * unit
