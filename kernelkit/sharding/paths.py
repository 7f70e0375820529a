"""Read a parameter's dotted path: its layer, its module, and its place in the order of a forward pass."""

from __future__ import annotations

import re

_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.(.+)$")
_CONTAINERS = ("language_model", "model")
_SHARED_EXPERTS = ("shared_experts", "shared_expert")
# As a forward pass meets them; what is not named here follows by its name.
_ORDER = (
    *("embed_tokens", "input_layernorm", "self_attn", "linear_attn"),
    *("q_proj", "q_norm", "k_proj", "k_norm", "v_proj", "o_proj"),
    *("post_attention_layernorm", "mlp", "gate", "gate_proj", "up_proj", "down_proj", "norm", "lm_head"),
    *("weight", "scales", "biases", "bias"),
)
_PLACES = {name: place for place, name in enumerate(_ORDER)}


def layer_and_module(path: str) -> tuple[int | None, str]:
    """`model.layers.3.self_attn.q_proj.weight -> (3, 'self_attn.q_proj')`; outside a layer it is None.

    >>> layer_and_module("model.embed_tokens.weight")
    (None, 'embed_tokens')
    """
    match = _LAYER.search(path)
    names = (match.group(2) if match else path).split(".")[:-1]
    while not match and names and names[0] in _CONTAINERS:
        del names[0]
    return int(match.group(1)) if match else None, ".".join(names)


def summed_with_experts(path: str) -> bool:
    """Whether it is of an expert that all tokens share: what comes of it is added to the others' before the
    one all_sum of both.

    >>> summed_with_experts("mlp.shared_experts.down_proj")
    True
    """
    return any(name in _SHARED_EXPERTS for name in path.split("."))


def order(path: str) -> tuple[int, int, tuple[tuple[int, str], ...]]:
    """A key that sorts paths: embeddings, then layer by layer, then what comes after the layers."""
    layer, module = layer_and_module(path)
    part = 1 if layer is not None else 0 if module.startswith("embed") else 2
    names = (*module.split("."), path.rpartition(".")[2])
    return part, layer or 0, tuple((_PLACES.get(name, len(_ORDER)), name) for name in names)
