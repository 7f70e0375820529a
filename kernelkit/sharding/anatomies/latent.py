"""Models with latent attention (MLA): DeepSeek V3, Kimi K2, GLM 4.7 Flash and GLM 5, LongCat Flash.

mlx-lm keeps what unfolds the latent vector into keys and values as two stacks of matrices, one of each head:
`embed_q`, through which queries go while single tokens are decoded, and `unembed_out`.
"""

from __future__ import annotations

from dataclasses import dataclass

from kernelkit.sharding.anatomies.experts import raw_router
from kernelkit.sharding.anatomies.fields import Fields
from kernelkit.sharding.anatomies.parts import ROUTER_BITS, block_norms, corrections, glu, norm, stack, whole
from kernelkit.sharding.anatomy import Anatomy, Attention, Layer, Matrix
from kernelkit.sharding.pieces import COLUMN, ROW


@dataclass(frozen=True)
class Latent:
    """The sizes of one latent attention."""

    hidden: int
    heads: int
    rank: int
    query_rank: int | None
    rotary: int
    key_dim: int
    value_dim: int
    bias: bool

    @classmethod
    def of(cls, fields: Fields) -> Latent:
        """Read them from a config."""
        direct = fields.config.get("q_lora_rank") is None
        return cls(
            fields.number("hidden_size"),
            fields.number("num_attention_heads"),
            fields.number("kv_lora_rank"),
            None if direct else fields.number("q_lora_rank"),
            fields.number("qk_rope_head_dim"),
            fields.number("qk_nope_head_dim"),
            fields.number("v_head_dim"),
            fields.flag("attention_bias"),
        )

    def matrices(self, path: str = "self_attn") -> tuple[Matrix, ...]:
        """Of one attention."""
        query = self.key_dim + self.rotary
        return (
            *self._queries(path, query),
            Matrix(f"{path}.kv_a_proj_with_mqa", self.rank + self.rotary, self.hidden, bias=self.bias),
            norm(f"{path}.kv_a_layernorm", self.rank),
            self._of_each_head(f"{path}.embed_q", self.rank, self.key_dim),
            self._of_each_head(f"{path}.unembed_out", self.value_dim, self.rank),
            Matrix(
                f"{path}.o_proj",
                self.hidden,
                self.heads * self.value_dim,
                ROW,
                self.bias,
                unit=self.value_dim,
                deals="heads",
            ),
        )

    def _of_each_head(self, path: str, outputs: int, inputs: int) -> Matrix:
        heads = self.heads
        return Matrix(path, outputs, inputs, COLUMN, experts=heads, used=heads, deals="heads", by_head=True)

    def _queries(self, path: str, query: int) -> tuple[Matrix, ...]:
        rows = self.heads * query
        if self.query_rank is None:
            return (Matrix(f"{path}.q_proj", rows, self.hidden, COLUMN, unit=query, deals="heads"),)
        return (
            Matrix(f"{path}.q_a_proj", self.query_rank, self.hidden, bias=self.bias),
            norm(f"{path}.q_a_layernorm", self.query_rank),
            Matrix(f"{path}.q_b_proj", rows, self.query_rank, COLUMN, unit=query, deals="heads"),
        )

    def attention(self, indexed: int | None = None) -> Attention:
        """One vector of the rank and the rotary part is kept per token, on every rank of a group."""
        kept = self.rank + self.rotary
        unfolded = (self.key_dim + self.rotary, self.value_dim)
        return Attention(
            "latent",
            self.heads,
            1,
            kept,
            0,
            kept,
            self.rank,
            shared=True,
            unfolded=unfolded,
            indexed=indexed,
        )


def deepseek_v3(fields: Fields) -> Anatomy:
    """DeepSeek V3 and V3.1, Kimi K2."""
    return _deepseek(fields, indexed=False)


def deepseek_v32(fields: Fields) -> Anatomy:
    """DeepSeek V3.2 and GLM 5: an index with a cache of its own chooses what is attended to."""
    return _deepseek(fields, indexed=True)


def glm4_moe_lite(fields: Fields) -> Anatomy:
    """GLM 4.7 Flash; its head is never tied in mlx-lm."""
    return _deepseek(fields, indexed=False)


def mistral4(fields: Fields) -> Anatomy:
    """Its router is a linear module."""
    return _deepseek(fields, indexed=False, raw=False)


def _deepseek(fields: Fields, *, indexed: bool, raw: bool = True) -> Anatomy:
    latent, hidden = Latent.of(fields), fields.number("hidden_size")
    experts, shared = fields.count("n_routed_experts"), fields.count("n_shared_experts")
    size = fields.number("moe_intermediate_size") if experts else 0
    index = fields.number("index_topk") if indexed else None

    def layer(sparse: bool) -> Layer:
        if sparse:
            used = fields.number("num_experts_per_tok")
            router = (
                raw_router("mlp.gate", experts, hidden) if raw else (Matrix("mlp.gate", experts, hidden),)
            )
            mlp: tuple[Matrix, ...] = (
                *router,
                *glu("mlp.switch_mlp", hidden, size, experts=experts, used=used),
                *(glu("mlp.shared_experts", hidden, size * shared) if shared else ()),
            )
        else:
            mlp = glu("mlp", hidden, fields.number("intermediate_size"))
        return Layer(
            "moe" if sparse else "dense",
            (
                *block_norms(hidden),
                *latent.matrices(),
                *(_indexer(fields, hidden, latent.query_rank or hidden) if indexed else ()),
                *mlp,
            ),
            latent.attention(index),
            more=(_index(fields),) if indexed else (),
        )

    first, step = fields.count("first_k_dense_replace"), fields.number("moe_layer_freq", 1)
    layers = range(fields.number("num_hidden_layers"))
    sparse = (experts > 0 and at >= first and at % step == 0 for at in layers)
    return whole(fields, stack(sparse, layer), not raw and fields.flag("tie_word_embeddings"))


def _indexer(fields: Fields, hidden: int, query_rank: int) -> tuple[Matrix, ...]:
    heads, head_dim = fields.number("index_n_heads"), fields.number("index_head_dim")
    path = "self_attn.indexer"
    return (
        Matrix(f"{path}.wq_b", heads * head_dim, query_rank),
        Matrix(f"{path}.wk", head_dim, hidden),
        norm(f"{path}.k_norm", head_dim, bias=True),
        Matrix(f"{path}.weights_proj", heads, hidden),
    )


def _index(fields: Fields) -> Attention:
    """One key per token is kept, and as many zeros where values would be."""
    heads, head_dim = fields.number("index_n_heads"), fields.number("index_head_dim")
    return Attention("full", heads, 1, head_dim, head_dim, head_dim, 0, shared=True)


def longcat_flash(fields: Fields) -> Anatomy:
    """Two attentions and two MLPs in each layer, and experts beside the first of them.

    Of the experts that a token chooses some do nothing; how many differs from token to token, so all that it
    may use are counted.
    """
    latent, hidden = Latent.of(fields), fields.number("hidden_size")
    experts = fields.number("n_routed_experts")
    choices = experts + fields.count("zero_expert_num")
    attention = latent.attention()
    pair = (0, 1)
    layer = Layer(
        "moe",
        (
            *(norm(f"input_layernorm.{at}", hidden) for at in pair),
            *(norm(f"post_attention_layernorm.{at}", hidden) for at in pair),
            *(matrix for at in pair for matrix in latent.matrices(f"self_attn.{at}")),
            *(m for at in pair for m in glu(f"mlps.{at}", hidden, fields.number("ffn_hidden_size"))),
            Matrix(
                "mlp.router.classifier",
                choices,
                hidden,
                bias=fields.flag("router_bias"),
                own_bits=ROUTER_BITS,
            ),
            corrections("mlp.router", choices),
            *glu(
                "mlp.switch_mlp",
                hidden,
                fields.number("expert_ffn_hidden_size"),
                experts=experts,
                used=fields.number("moe_topk"),
            ),
        ),
        attention,
        reduces=5,
        more=(attention,),
    )
    return whole(fields, (layer,) * fields.number("num_layers"))
