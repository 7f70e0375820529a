"""What a model is made of, reckoned from its config: modules, layers, attention; no weights, no ranks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from kernelkit.sharding.pieces import REPLICATED

# full: all that was read; sliding: the last `window` tokens; latent: one compressed vector for all heads
# (MLA); state: of a fixed size, whatever was read.
Keeps = Literal["full", "sliding", "latent", "state"]
# What a cut deals out: attention heads, KV heads, or whatever the rows or columns are.
Deals = Literal["heads", "kv_heads", "units"]
# Into which shares tensor parallelism can cut a model's layers.
Cuts = Literal["any", "even", "none"]


@dataclass(frozen=True)
class Matrix:
    """One module with a weight of `[outputs, inputs]`, or, of experts, `[experts, outputs, inputs]`.

    Attributes:
        path: below the layer, such as `self_attn.q_proj`; of one outside the layers, in the whole model.
        outputs: rows. Of a norm, its length.
        inputs: columns; None of a norm or another vector.
        cut: what a tensor-parallel rank keeps: `column`, `row` or `replicated`.
        bias: whether a vector of `outputs` lies beside it.
        experts: so many such matrices stand in it.
        used: so many of them one token is multiplied with.
        unit: rows (of `column`) or columns (of `row`) that stay together when it is cut: a head's size; 1.
        looked_up: an embedding, of which a token reads one row and multiplies nothing.
        quantizable: whether MLX's quantization packs it, as it does linear and embedding modules.
        array: the name of its array in the module.
        deals: what `unit` is one of.
        by_head: its matrices are those of heads, and a cut deals them out, not the rows of each.
        conv: a convolution over time of each channel alone, stored as `[outputs, inputs, 1]`.
        own_bits: in which mlx-lm's conversion packs it, in groups of 64, whatever the rest is packed in.
        float32: mlx-lm keeps it so, whatever dtype the rest is cast to.
    """

    path: str
    outputs: int
    inputs: int | None
    cut: str = REPLICATED
    bias: bool = False
    experts: int = 1
    used: int = 1
    unit: int = 1
    looked_up: bool = False
    quantizable: bool = True
    array: str = "weight"
    deals: Deals = "units"
    by_head: bool = False
    conv: bool = False
    own_bits: int | None = None
    float32: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        if self.inputs is None:
            return (self.outputs,)
        stacked = (self.experts,) if self.by_head or self.experts > 1 else ()
        return (*stacked, self.outputs, self.inputs, *((1,) if self.conv else ()))

    @property
    def parameters(self) -> int:
        """Numbers in it, its bias included."""
        return self.experts * self.outputs * ((self.inputs or 1) + self.bias)


@dataclass(frozen=True)
class Attention:
    """What one layer reads of the past, and keeps for the future.

    Attributes:
        keeps: the kind of its cache.
        heads: query heads.
        kv_heads: heads of keys and values that are cached; 1 of a latent, 0 of a state or where the layer
            reads another one's cache.
        key_dim, value_dim: numbers per cached head and token. Of a latent, `key_dim` is the rank of the
            compressed vector plus the rotary part, and `value_dim` is 0: the values are the same vector.
        score_dim: numbers that one head multiplies per pair of tokens for the scores, and again
            `value_score_dim` for the weighted sum. Of a latent, those of decoding.
        window: tokens, of a sliding one.
        state_numbers: of one sequence, of a state.
        float32_numbers: so many of those are float32, whatever the model's dtype is.
        shared: whether every rank of a tensor-parallel model keeps all of it, as with a latent.
        unfolded: `(score, value)` numbers per head and pair where a latent reads several tokens at once:
            mlx-lm then makes keys and values of every cached vector, and compares those.
        indexed: so many tokens are attended to at the most, chosen by an index over all of them.
    """

    keeps: Keeps
    heads: int
    kv_heads: int
    key_dim: int
    value_dim: int
    score_dim: int
    value_score_dim: int
    window: int | None = None
    state_numbers: int = 0
    float32_numbers: int = 0
    shared: bool = False
    unfolded: tuple[int, int] | None = None
    indexed: int | None = None

    def cached_numbers(self, tokens: int) -> int:
        """Numbers in the cache of one sequence of `tokens`, over all heads."""
        if self.keeps == "state":
            return self.state_numbers
        kept = min(tokens, self.window) if self.window else tokens
        return kept * self.kv_heads * (self.key_dim + self.value_dim)


@dataclass(frozen=True)
class Layer:
    """One layer.

    Attributes:
        kind: layers of one kind are alike; such as `dense`, `moe`, `moe sliding`.
        matrices: its modules.
        attention: None of a layer without.
        reduces: all_sums of `hidden` numbers per token that a tensor-parallel rank makes in it.
        more: further attentions of the layer: a second one, or the index of a sparse one.
        small_reduces: all_sums of one number per token: norms over the values of all heads.
    """

    kind: str
    matrices: tuple[Matrix, ...]
    attention: Attention | None
    reduces: int = 2
    more: tuple[Attention, ...] = ()
    small_reduces: int = 0

    @property
    def attentions(self) -> tuple[Attention, ...]:
        """All that it keeps caches for."""
        return (*((self.attention,) if self.attention else ()), *self.more)


@dataclass(frozen=True)
class Anatomy:
    """A whole model.

    Attributes:
        model_type: of its config.
        hidden: numbers that pass from layer to layer, per token.
        vocab: tokens that it knows.
        layers: in order; those of one kind are one object.
        outside: modules outside the layers: embeddings, last norm, head. A tied head is the embedding.
        tied: whether the embedding is the head too, and so is read whole for each token.
        max_context: tokens; None where the config does not say it.
        left_out: what the config has and this does not: a vision tower, layers for more than one next token.
        layers_path: where the layers lie in the model.
        cuts: whether tensor parallelism can cut its layers: into any shares, into `even` ones, or not at all,
            where mlx-lm cannot.
    """

    model_type: str
    hidden: int
    vocab: int
    layers: tuple[Layer, ...]
    outside: tuple[Matrix, ...]
    tied: bool = False
    max_context: int | None = None
    left_out: tuple[str, ...] = ()
    layers_path: str = "model.layers"
    cuts: Cuts = "any"

    def matrices(self) -> Iterator[tuple[int | None, Matrix]]:
        """Every module with its layer, None outside of them."""
        for matrix in self.outside:
            yield None, matrix
        for index, layer in enumerate(self.layers):
            for matrix in layer.matrices:
                yield index, matrix

    def kinds(self) -> list[tuple[Layer, list[int]]]:
        """Each layer object once, with the places where it stands."""
        found: dict[int, tuple[Layer, list[int]]] = {}
        for index, layer in enumerate(self.layers):
            found.setdefault(id(layer), (layer, []))[1].append(index)
        return list(found.values())

    @property
    def parameters(self) -> int:
        """Numbers in all of them."""
        layers = (len(at) * sum(m.parameters for m in layer.matrices) for layer, at in self.kinds())
        return sum(layers) + sum(matrix.parameters for matrix in self.outside)

    def kv_numbers(self, tokens: int) -> int:
        """Numbers in the KV cache of one sequence of `tokens`."""
        return sum(
            len(at) * attention.cached_numbers(tokens)
            for layer, at in self.kinds()
            for attention in layer.attentions
        )
