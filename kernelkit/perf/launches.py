"""How many kernels one token takes in a layer, as mlx-lm's forward passes issue them on a GPU.

Counted from the modules that a layer has. `waits` are those on the longest way through it, each of which
needs what another has just written: on Metal kernels that do not need each other run side by side. `all` are
all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

from kernelkit.sharding.anatomy import Attention, Layer, Matrix
from kernelkit.sharding.pieces import ROW


@dataclass(frozen=True)
class Launches:
    """Kernels of one token.

    Attributes:
        waits: that wait for another, one after the other.
        all: of them.
        products: among these, with a matrix.
    """

    waits: int
    all: int
    products: int = 0

    def __add__(self, other: Launches) -> Launches:
        return Launches(self.waits + other.waits, self.all + other.all, self.products + other.products)


# Embedding, last norm, head; and of the choice of a token: logsumexp, subtraction, maximum.
OUTSIDE = Launches(6, 6, 1)
# By the kind of cache, beside norms and products. Rotation, writing of the cache, attention, and the sum with
# what came in; keys and values are rotated and written side by side. A latent adds scores of the rotary part
# and takes softmax and both products apart, since no fused kernel is made for its sizes (mlx_lm's
# deepseek_v3). A state convolves, gates and steps.
_ATTENTION = {
    "full": Launches(4, 6),
    "sliding": Launches(4, 6),
    "latent": Launches(8, 11),
    "state": Launches(8, 12),
}
# The products one after the other: in and out; of a latent down, up, into the latent space, back, and out.
_PRODUCTS_ONE_AFTER_ANOTHER = {"full": 2, "sliding": 2, "latent": 3, "state": 2}
# Softmax, partition, weighting, sum over experts; and beside them choice, sum, division of the weights.
_ROUTING = Launches(4, 7)
# Activation and the sum with what came in.
_GLU = Launches(2, 2)
_NORMS_OF_HEADS = ("q_norm", "k_norm")


def launches(layer: Layer) -> Launches:
    """Of one layer."""
    products = [matrix for matrix in layer.matrices if matrix.inputs is not None]
    norms = [matrix for matrix in layer.matrices if matrix.inputs is None and matrix.array == "weight"]
    total = Launches(0, len(products) + len(norms), len(products))
    for attention in layer.attentions:
        total += _attention(attention)
    total += Launches(_norm_waits(norms), 0)
    total += _query_waits(products)
    for matrix in products:
        if matrix.cut == ROW and not _of_attention(matrix):
            total += _mlp(matrix)
    # A bias of a packed product is a kernel of its own.
    return total + Launches(sum(m.bias for m in products if m.cut == ROW), sum(m.bias for m in products))


def _attention(attention: Attention) -> Launches:
    return _ATTENTION[attention.keeps] + Launches(_PRODUCTS_ONE_AFTER_ANOTHER[attention.keeps], 0)


def _norm_waits(norms: list[Matrix]) -> int:
    """Norms of queries and keys run side by side."""
    names = [matrix.path.rpartition(".")[2] for matrix in norms]
    beside = sum(name in _NORMS_OF_HEADS for name in names)
    latent = sum(name == "kv_a_layernorm" for name in names)
    return len(names) - beside // 2 - latent


def _query_waits(products: list[Matrix]) -> Launches:
    """Queries that go through a narrower vector first: one product more, whose norm is counted."""
    return Launches(sum(m.path.endswith("q_a_proj") for m in products), 0)


def _of_attention(matrix: Matrix) -> bool:
    return matrix.deals == "heads" or "attn" in matrix.path


def _mlp(down: Matrix) -> Launches:
    """An MLP, or experts behind their router, by its last product."""
    if down.experts > 1:
        return Launches(3, 0) + _GLU + _ROUTING  # router, in, out
    return Launches(2, 0) + _GLU if "shared" not in down.path else Launches(1, 2)
