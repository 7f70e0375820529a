"""What is asked of a model, whole or sharded: logits of a prompt, and of a decode with caches.

Its source is run on the ranks as well, so it imports nothing of this project.
"""

from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

LETTERS = 95  # tokens that are compared; a vocabulary may be larger, see `tiny`
PROMPT = [(position * 37 + 11) % LETTERS for position in range(20)]
STEPS = 6


def ask(model: Any) -> dict[str, Any]:
    """Run a model twice over the prompt.

    Returns:
        `whole`: float32 (20, 95), the logits of one pass without caches. `cached`: float32 (7, 95), the
        logits after the prompt and after each of 6 greedy steps. `tokens`: those of the steps.
    """
    prompt = mx.array([PROMPT])
    whole = model(prompt)[0, :, :LETTERS].astype(mx.float32)
    mx.eval(whole)

    cache = make_prompt_cache(model)
    rows, tokens = [], []
    for step in range(STEPS + 1):
        inputs = mx.array([[tokens[-1]]]) if step else prompt
        rows.append(model(inputs, cache=cache)[0, -1, :LETTERS].astype(mx.float32))
        tokens.append(int(mx.argmax(rows[-1]).item()))
    return {"whole": whole, "cached": mx.stack(rows), "tokens": tokens[:STEPS]}
