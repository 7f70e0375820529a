"""What the shard map calls things: short names, headings, and why each part is held as it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from kernelkit.outputs.text import run_labels
from kernelkit.sharding.heads import Share
from kernelkit.sharding.shardmap import Parameter, ShardMap
from kernelkit.sharding.shardwords import repeated_words

_NAMES = {
    "embed_tokens": "embed",
    "wte": "embed",
    "lm_head": "head",
    "input_layernorm": "input norm",
    "post_attention_layernorm": "post-attn norm",
    "kv_a_proj_with_mqa": "kv_a",
}
# Why there is more of a model on the ranks than in its files.
ADDED = {
    "padding": "Without it the sizes would not divide into the ranks' parts.",
    "repeated": "There are fewer KV heads than parts to cut the model into: several parts have the same one.",
}
_EXPERTS = ("switch_mlp", "experts", "switch_glu")
_STRATEGIES = {
    "tensor": "tensor parallel",
    "pipeline": "pipeline",
    "hybrid": "tensor parallel stages",
}


def caption(shards: ShardMap) -> str:
    """`"SmolLM2-135M, tensor parallel on 2 ranks"`."""
    way = _STRATEGIES.get(shards.strategy, shards.strategy)
    ranks = "1 rank" if shards.world_size == 1 else f"{shards.world_size} ranks"
    return f"{shards.model.rstrip('/').rpartition('/')[2] or shards.model_type}, {way} on {ranks}"


def notes(drawn: Mapping[str, Any]) -> list[str]:
    """What stands beside a map's title: whether it is planned or real, and how its numbers are kept."""
    kept = [drawn["quantization"], drawn.get("dtype", "")]
    return ["planned" if drawn["planned"] else "real", *filter(None, kept)]


def dtypes(shards: ShardMap) -> str:
    """`"bfloat16"`: those of the parameters that are no packed words, the one of most bytes first."""
    found: Counter[str] = Counter()
    for parameter in shards.parameters:
        if parameter.bits is None or parameter.dtype != "uint32":
            found[parameter.dtype] += sum(piece.size_bytes for piece in parameter.pieces)
    return " and ".join(dtype for dtype, _ in found.most_common())


def rank_label(shards: ShardMap, rank: int) -> str:
    """What a rank has: `"layers 0–15"`, or `"heads 6–8 of 9 + 3 of zeros"`."""
    if len(set(shards.layer_ranges)) > 1 or shards.strategy == "pipeline":
        return _span("layer", *shards.layer_ranges[rank])
    return _heads("head", shards.heads, shards.heads_of(rank))


def kv_label(shards: ShardMap, rank: int) -> str:
    """The KV heads of a rank, in the same words; empty in a pipeline."""
    if shards.strategy == "pipeline":
        return ""
    return _heads("KV head", shards.kv_heads, shards.kv_heads_of(rank))


def _heads(what: str, count: int | None, held: Share | None) -> str:
    """The rank's heads, how many of them are repeated, and how many of zeros stand beside them."""
    if count is None or held is None:
        return ""
    whose = f" of {count}{repeated_words(held)}" if held.end > held.start else ""
    added = f" + {held.padded} of zeros" if held.padded else ""
    return f"{_span(what, held.start, held.end)}{whose}{added}"


def _span(what: str, start: int, end: int) -> str:
    if end <= start:
        return f"no {what}s"
    return f"{what} {start}" if end == start + 1 else f"{what}s {start}–{end - 1}"


def short_name(module: str) -> str:
    """`"self_attn.q_proj" -> "q"`, `"mlp.switch_mlp.up_proj" -> "experts up"`."""
    *above, last = module.split(".")
    if last.isdigit() and above:  # one of a list
        return f"{short_name('.'.join(above))} {last}"
    name = _NAMES.get(last, last.removesuffix("_proj").replace("layernorm", "norm"))
    if any(part in _EXPERTS for part in above):
        return f"experts {name}"
    if any(part.startswith("shared_expert") for part in above):
        return f"shared {name}"
    return "router" if module.endswith("mlp.gate") else name.replace("_", " " if "norm" in name else "_")


def short_names(modules: Sequence[str]) -> list[str]:
    """Theirs, told apart: `"self_attn.1.q_proj" -> "q 1"` beside `self_attn.0.q_proj`."""
    names = [short_name(module) for module in modules]
    told = []
    for module, name in zip(modules, names, strict=True):
        alike = [other.split(".") for other, theirs in zip(modules, names, strict=True) if theirs == name]
        *above, _ = module.split(".")
        differs = [part for i, part in enumerate(above) if any(other[i : i + 1] != [part] for other in alike)]
        behind = all(part.isdigit() for part in differs)
        told.append(" ".join([name, *differs] if behind else [*differs, name]))
    return told


def group_of(module: str, dimensions: int) -> str:
    """The heading that it stands under: attention, mlp, or small, for vectors."""
    if dimensions < 2:
        return "small"
    if any(word in module for word in ("attn", "attention")):
        return "attention"
    return (
        "mlp" if any(word in module for word in ("mlp", "expert", "moe", "feed_forward", "ffn")) else "other"
    )


def is_embedding(module: str) -> bool:
    """Whether it turns tokens into values: such a module stands before the layers."""
    return "attn" not in module and ("emb" in module or "wte" in module)


def why(parameter: Parameter) -> str:
    """A sentence or two: what the cut means for the computation, or why every rank holds all of it."""
    follows = parameter.collective
    if parameter.cut == "column":
        after = (
            f"{follows} puts the columns together."
            if follows
            else "The row cut that follows takes them as they lie: nothing is sent."
        )
        more = f" {ADDED['repeated']}" if any(piece.repeated for piece in parameter.pieces) else ""
        return f"Each rank computes some columns of the output from the whole input. {after}{more}"
    if parameter.cut == "row":
        with_experts = "the all_sum after the experts adds them up with theirs"
        after = f"{follows} adds them up, for every rank" if follows else with_experts
        return f"Each rank has a part of the inputs, so a partial sum of every output: {after}."
    if parameter.cut == "whole":
        return "One rank holds the whole layer; what it computes goes to the rank with the next layer."
    return f"Every rank holds all of it: {_because(parameter.module)}"


def _because(module: str) -> str:
    if "norm" in module:
        return "it works on values that every rank has."
    if is_embedding(module):
        return "each looks up the same tokens, and none has to send them on."
    if "head" in module:
        return "each computes the same logits and chooses the same token."
    if module.endswith(("gate", "router")):
        return "all must choose the same experts for a token."
    return "each computes the same with it."


def ranks_text(ranks: Sequence[int]) -> str:
    """`"rank 0"`, or `"ranks 1-3, 5"`."""
    return f"rank{'s' if len(ranks) > 1 else ''} {', '.join(run_labels(ranks))}"


def by_ranks(told: Mapping[int, str], *, named: bool = True) -> list[str]:
    """What is told of each rank, the same once: `["768 KB on rank 0", "384 KB on ranks 1-2"]`.

    Only itself where it is the same on all; with `named=False` in the manner `"0: (4, 2)"`.
    """
    alike: dict[str, list[int]] = {}
    for rank, words in told.items():
        alike.setdefault(words, []).append(rank)
    if len(alike) == 1:
        return list(alike)
    if named:
        return [f"{words} on {ranks_text(ranks)}" for words, ranks in alike.items()]
    return [f"{', '.join(run_labels(ranks))}: {words}" for words, ranks in alike.items()]


def shape_text(shape: Sequence[int]) -> str:
    """As NumPy and MLX print it."""
    return f"({', '.join(str(size) for size in shape)}{',' if len(shape) == 1 else ''})"


def layer_numbers(layers: Sequence[int], kind: int) -> str:
    """`"layers 0-2, 5"`: those of a kind; many short runs end in a count."""
    words = run_labels([layer for layer, each in enumerate(layers) if each == kind])
    if len(words) > 3:
        words = [*words[:2], f"... ({sum(k == kind for k in layers)} layers)"]
    only = len(words) == 1 and "-" not in words[0]
    return f"layer{'' if only else 's'} {', '.join(words)}"
