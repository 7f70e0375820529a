"""What the record of an experiment consists of: machines, models, the state of the code, and results."""

from __future__ import annotations

from dataclasses import dataclass

from kernelkit.generation import Generation


@dataclass(frozen=True)
class Host:
    """A machine that ranks were on.

    Attributes:
        name: as the status of the cluster has it.
        chip: processor, or Apple's chip.
        memory_bytes: of the machine; None where it did not say.
        os, python, mlx, mlx_lm: what ran there.
    """

    name: str
    chip: str
    memory_bytes: int | None
    os: str
    python: str
    mlx: str
    mlx_lm: str


@dataclass(frozen=True)
class Place:
    """Where a rank computed.

    Attributes:
        rank: its number.
        host: the `Host` by name.
        device: MLX's default one there.
        blas: the library of its float32 products on a CPU; empty on a GPU.
    """

    rank: int
    host: str
    device: str
    blas: str


@dataclass(frozen=True)
class Model:
    """A model as it lay on the ranks.

    Attributes:
        name: what was asked for.
        content: SHA-256 over its files, as `ShardedModel.content` gives it.
        strategy, split, stages, quantize, context: its layout; see `kernelkit.model.Layout`.
        dtype: that the ranks computed in.
        asked_dtype: that was asked for; `auto` by default.
    """

    name: str
    content: str
    strategy: str
    split: tuple[int, ...] | None
    stages: int
    quantize: int | None
    context: int | None
    dtype: str
    asked_dtype: str = "auto"


@dataclass(frozen=True)
class Code:
    """The git repository that the notebook or script ran in.

    Attributes:
        commit: 40 hexadecimal digits; empty where there is none.
        why: why there is none, in words; empty where there is one.
        changed: files under version control that differ from the commit, sorted.
        untracked: how many files git does not know and does not ignore.
        diff: SHA-256 of those differences, as git prints them; empty where nothing differs.
    """

    commit: str
    why: str = ""
    changed: tuple[str, ...] = ()
    untracked: int = 0
    diff: str = ""

    @property
    def dirty(self) -> bool:
        """Whether the commit is not all of the code."""
        return bool(self.changed or self.untracked)


@dataclass(frozen=True)
class Figure:
    """A result.

    Attributes:
        name: what was measured.
        values: in `unit`; several where it was repeated.
        unit: such as `tokens/s`, `s`, `B`; `1` for a plain number.
    """

    name: str
    values: tuple[float, ...]
    unit: str


@dataclass(frozen=True)
class Written:
    """A text that a model wrote.

    Attributes:
        name: what it is.
        generation: text, tokens, seed, speeds and all else that came of it.
        model: the number of its model in the record; None where the experiment knew of no cluster.
    """

    name: str
    generation: Generation
    model: int | None = None

    @property
    def greedy(self) -> bool:
        """Whether each token was the likeliest one: no seed plays a part."""
        return self.generation.temp == 0
