"""What this rank's host takes for a token: to build the graph of its kernels, and to hand them over.

A model decodes that is so small that the device is done before the host is. The next token's graph is built
while this one is computed, as mlx-lm does it, so the time from token to token is the host's. It is taken
with one row, with several, and with the model cut over the ranks; all are measured in turn, on all ranks at
once, since their hosts may be one machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import mlx.core as mx

from kernelkit.perf.launches import OUTSIDE, launches
from kernelkit.rank import state
from kernelkit.rank.readings import Times, seconds, slowest
from kernelkit.sharding.anatomies import anatomy

_LAYERS = 16
_HEAD_SIZE = 64
_ROWS = 8
_TOKENS = 16
_SUMS_PER_LAYER = 2  # after attention and after the MLP


def measure(rounds: int = 11) -> dict[str, list[float]]:
    """On all ranks at once, some seconds.

    Args:
        rounds: 2 or more, beside a first one that does not count, since kernels are compiled in it.

    Returns:
        `kernel_s`, of each kernel of a token; `product_s`, of each product of several rows; of several ranks
        `sum_s`, by how much more a token takes for each all_sum in it. Each low, likely and high: nine in ten
        of the readings above the low, nine in ten below the high.
    """
    config = _config(state.world_size)
    whole = _model(config)
    decoders = {"row": (whole, 1), "rows": (whole, _ROWS)}
    if state.world_size > 1:
        decoders["sums"] = (_model(config, cut=True), 1)
    readings: dict[str, list[float]] = {name: [] for name in decoders}
    for _ in range(1 + rounds):
        for name, (model, rows) in decoders.items():
            slowest(0.0)  # all ranks begin together
            readings[name].append(_step_s(model, rows))
    return of_steps(config, {name: every[1:] for name, every in readings.items()})


def of_steps(config: Mapping[str, Any], steps_s: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """From the seconds of one token of each round: with one `row`, with several `rows`, with `sums`."""
    made = anatomy(config)
    total = OUTSIDE
    for layer in made.layers:
        total += launches(layer)
    row_s = Times.of(steps_s["row"])
    kernel_s = row_s.median_s / total.all
    others_s = (total.all - total.products) * kernel_s
    # A product of several rows is a kernel as well, and takes no less than one.
    products_s = [max(kernel_s, (step_s - others_s) / total.products) for step_s in steps_s["rows"]]
    found = {"kernel_s": row_s.each(total.all), "product_s": Times.of(products_s)}
    if "sums" in steps_s:
        pairs = zip(steps_s["sums"], steps_s["row"], strict=True)
        sums_s = [max(0.0, cut_s - whole_s) / (_SUMS_PER_LAYER * _LAYERS) for cut_s, whole_s in pairs]
        found["sum_s"] = Times.of(sums_s)
    return {name: [times.low_s, times.median_s, times.high_s] for name, times in found.items()}


def _config(ranks: int) -> dict[str, Any]:
    """A llama that so many ranks can cut."""
    heads = 2 * ranks
    return {
        "model_type": "llama",
        "hidden_size": heads * _HEAD_SIZE,
        "intermediate_size": 2 * heads * _HEAD_SIZE,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "rms_norm_eps": 1e-5,
        "vocab_size": 1024,
        "tie_word_embeddings": False,
    }


def _model(config: Mapping[str, Any], *, cut: bool = False) -> Any:
    from mlx_lm.models import llama

    model = llama.Model(llama.ModelArgs.from_dict(config))
    on_gpu = mx.default_device() == mx.Device(mx.gpu)
    model.set_dtype(mx.bfloat16 if on_gpu else mx.float32)
    if cut:
        model.shard(state.group)
    mx.eval(model.parameters())
    return model


def _step_s(model: Any, rows: int) -> float:
    """From token to token, while a text is generated as `mlx_lm.generate.generate_step` does it."""
    from mlx_lm.models.cache import make_prompt_cache

    cache = make_prompt_cache(model)
    begin: Any = mx.async_eval  # not annotated upstream

    def step(tokens: mx.array) -> mx.array:
        logits = model(tokens[:, None], cache=cache)[:, -1]
        chosen = mx.argmax(logits - mx.logsumexp(logits, axis=-1, keepdims=True), axis=-1)
        begin(chosen)
        return chosen

    now = step(mx.zeros((rows,), mx.int32))

    def turn() -> None:
        nonlocal now
        following = step(now)
        now.tolist()
        now = following

    step_s = median(seconds(turn) for _ in range(_TOKENS))
    mx.eval(now)
    return step_s
