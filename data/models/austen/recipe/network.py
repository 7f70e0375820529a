"""The teaching model: mlx-lm's own Llama in sizes that can be cut, with dropout while it is trained.

mlx-lm's classes are made to run models, so they have no dropout. A million tokens, read many times over, need
it: without, a network of nine million weights learns the pages by heart. The subclasses here add it and no
weights, so what is trained loads with mlx-lm unchanged.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_map_with_path
from mlx_lm.models.llama import Model, ModelArgs, TransformerBlock

# Cut over 2 or 4 ranks, every part is still whole groups of 64 weights, which is how 8-bit weights are
# stored: 8 heads of 32 over 4 ranks are 64 columns of o_proj, 768 over 4 are 192 columns of down_proj.
SIZES: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 320,
    "intermediate_size": 768,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 32,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "max_position_embeddings": 512,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}


class _Block(TransformerBlock):
    """A transformer block that drops a part of what it adds to the residual stream."""

    def __init__(self, args: ModelArgs, dropout: float) -> None:
        super().__init__(args)
        self.drop = nn.Dropout(dropout)

    def __call__(self, x: mx.array, mask: Any = None, cache: Any = None) -> mx.array:
        h = x + self.drop(self.self_attn(self.input_layernorm(x), mask, cache))
        return h + self.drop(self.mlp(self.post_attention_layernorm(h)))


class TrainableModel(Model):
    """mlx-lm's Llama with dropout after the embedding and in each block; in `eval()` mode it is mlx-lm's."""

    def __init__(self, args: ModelArgs, dropout: float = 0.0) -> None:
        super().__init__(args)
        self.drop = nn.Dropout(dropout)
        self.model.layers = [_Block(args, dropout) for _ in range(args.num_hidden_layers)]
        self.update(tree_map_with_path(self._scaled, self.parameters()))

    def __call__(self, inputs: mx.array, cache: Any = None, input_embeddings: Any = None) -> mx.array:
        return super().__call__(inputs, cache, self.drop(self.model.embed_tokens(inputs)))

    def _scaled(self, path: str, weight: mx.array) -> mx.array:
        """What is added to the residual stream starts small, or the sum of all layers would start large."""
        adds = path.endswith(("o_proj.weight", "down_proj.weight"))
        return weight * (2 * self.args.num_hidden_layers) ** -0.5 if adds else weight


def build(config: dict[str, Any], dropout: float = 0.0) -> TrainableModel:
    """A model with random weights (float32), of mlx-lm's fields in `config`."""
    return TrainableModel(ModelArgs.from_dict(config), dropout)


def mean_loss(model: nn.Module, windows: mx.array) -> mx.array:
    """Cross-entropy of tokens given those before in their window, nats a token: `[rows, length + 1]` to `[]`.

    The logits are taken to float32 first: a sum over thousands of exponentials needs it.
    """
    logits = model(windows[:, :-1]).astype(mx.float32)
    return nn.losses.cross_entropy(logits, windows[:, 1:], reduction="mean")


def held_out_windows(tokens: np.ndarray, length: int) -> np.ndarray:
    """Windows side by side that share one token, so that each is predicted once: `[windows, length + 1]`.

    What is left at the end and fills no window is not counted.
    """
    count = (len(tokens) - 1) // length
    return np.stack([tokens[row * length : (row + 1) * length + 1] for row in range(count)]).astype(np.int32)


def held_out_loss(
    model: nn.Module,
    tokens: np.ndarray,
    length: int,
    batch: int = 16,
    group: mx.distributed.Group | None = None,
) -> float:
    """Mean cross-entropy over held-out text in nats a token, the windows dealt out over the ranks of `group`.

    Args:
        model: in `eval()` mode.
        tokens: ids, `[tokens]`.
        length: tokens of context at most, since every window begins anew.
    """
    rank, size = (group.rank(), group.size()) if group else (0, 1)
    windows = held_out_windows(tokens, length)
    total = mx.zeros(())
    for start in range(0, len(mine := windows[rank::size]), batch):
        rows = mine[start : start + batch]
        total = total + mean_loss(model, mx.array(rows)) * len(rows)
        mx.eval(total)
    total = mx.distributed.all_sum(total, group=group) if size > 1 else total
    return total.item() / len(windows)
