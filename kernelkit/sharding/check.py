"""The result of a check that a sharded model equals the unsharded one: plain data, stored as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kernelkit.jsonfile import Stored
from kernelkit.sharding import checkwords
from kernelkit.sharding.coverage import Coverage as Coverage


@dataclass(frozen=True)
class LayerDifference:
    """Where hidden states part: the first place at which they differ by more than rounding explains.

    Attributes:
        layer: counted over the whole model; None for before the first layer, or after the last.
        place: in words: `layer 3`, `the embeddings`, `after the layers: the last norm or the head`.
        difference: of the hidden states' vectors after it, its norm relative to that of the reference's; None
            where it is no finite number.
        tolerance: what rounding explains there.
        ranks: whose hidden states differ.
    """

    layer: int | None
    place: str
    difference: float | None
    tolerance: float
    ranks: tuple[int, ...]


@dataclass(frozen=True)
class PromptCheck:
    """One prompt: the logits at each of its tokens and of the greedy tokens after it, held against the truth.

    Attributes:
        name: what it is called.
        prompt_tokens: its length.
        new_tokens: how many greedy tokens the ranks generated after it.
        differs_at: the first of these that the unsharded model would not have chosen, from 0; None if none.
        differences: how many there are; ties are counted.
        only_ties: the unsharded model gives each of these as much as its own choice, within the tolerance.
        max_difference: the largest of any logit; None where it is no finite number.
        max_at: the position, from 0, where it is.
        scale: the root mean square of the unsharded model's logits.
        tolerance: the largest difference that rounding explains: `sharding.tolerance` times `scale`.
        mean_difference: the root mean square of the differences of all logits; None as above.
        mean_tolerance: of that, what rounding explains.
        ranks_difference: the largest between rank 0 and another rank in a position's largest logit or in its
            log-sum-exp; None where it is no finite number.
        ranks_agree: all ranks generated the same tokens.
        layer: where the hidden states part; None if the logits do not differ.
        note: what else to know of it.
    """

    name: str
    prompt_tokens: int
    new_tokens: int
    differs_at: int | None
    differences: int
    only_ties: bool
    max_difference: float | None
    max_at: int
    scale: float
    tolerance: float
    mean_difference: float | None
    mean_tolerance: float
    ranks_difference: float | None
    ranks_agree: bool
    layer: LayerDifference | None = None
    note: str = ""

    @property
    def within(self) -> bool:
        """The logits differ by no more than rounding explains, on every rank."""
        pairs = (
            (self.max_difference, self.tolerance),
            (self.mean_difference, self.mean_tolerance),
            (self.ranks_difference, self.tolerance),
        )
        return all(difference is not None and difference <= most for difference, most in pairs)

    def __bool__(self) -> bool:
        return self.within and self.ranks_agree and (self.differs_at is None or self.only_ties)


@dataclass(frozen=True)
class ModelCheck(Stored):
    """Whether a sharded model equals the unsharded one; `bool(check)` tells.

    Attributes:
        model: what it is called.
        model_type: its architecture.
        strategy: `tensor` or `pipeline`.
        world_size: number of ranks.
        dtype: of the activations.
        coverage: whether the ranks together hold the whole model.
        prompts: none where coverage failed: such a model is not run.
        elapsed_s: all of it.
        reference_bytes: the most that rank 0 held beside its part of the model while the unsharded one ran.
    """

    _key = "kernelkit_check"
    _name = "model check"

    model: str
    model_type: str
    strategy: str
    world_size: int
    dtype: str
    coverage: Coverage
    prompts: tuple[PromptCheck, ...]
    elapsed_s: float
    reference_bytes: int

    def __bool__(self) -> bool:
        return bool(self.coverage) and bool(self.prompts) and all(self.prompts)

    def check(self) -> None:
        """See that its parts fit together.

        Raises:
            ValueError: they do not; it says why.
        """
        if self.world_size < 1:
            raise ValueError(f"{self.world_size} ranks")
        for prompt in self.prompts:
            if prompt.prompt_tokens < 1 or prompt.new_tokens < 1:
                raise ValueError(f"{prompt.name}: {prompt.prompt_tokens} and {prompt.new_tokens} tokens")
            if prompt.differs_at is not None and not 0 <= prompt.differs_at < prompt.new_tokens:
                raise ValueError(f"{prompt.name}: token {prompt.differs_at} of {prompt.new_tokens}")
            for size in (prompt.scale, prompt.tolerance, prompt.mean_tolerance):
                if not 0 <= size < float("inf"):
                    raise ValueError(f"{prompt.name}: a scale or tolerance of {size}")

    def __repr__(self) -> str:
        return checkwords.as_text(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": checkwords.as_html(self)}
