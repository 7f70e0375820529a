"""`python -m tests.benchmarks.nccl.predict`: what `%plan` foretells of the run's cases, to be kept.

It is run and committed before any of them was measured. Which cards a run gets is not known before, so it is
done for both.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from kernelkit import plan
from tests.benchmarks import machine
from tests.benchmarks.nccl import shapes
from tests.benchmarks.nccl.__main__ import ROOT

_NODES = {"H100": "h100-80", "H200": "h200-141"}
# Of the second run; what was foretold of the first lies beside it.
STORED = ROOT / "data" / "measurements" / "nccl_predicted_again.json"
# While 256 tokens come after 512, so many are in the caches at the middle of it.
CONTEXT = shapes.PROMPT_TOKENS + shapes.NEW_TOKENS // 2


def predicted() -> dict[str, Any]:
    """By card, case and batch: ranges of decoding and of a prompt of 512 tokens, and a token's terms."""
    cards: dict[str, Any] = {}
    for card, node in _NODES.items():
        cards[card] = {}
        for case in shapes.CASES:
            config = shapes.config(case.shape, "bf16")
            on = f"{case.gpus}x{node}"
            for batch in shapes.BATCHES:
                made = plan(config, on, quantization=case.kind, context=CONTEXT, batch=batch)
                prompt = plan(config, on, quantization=case.kind, context=shapes.PROMPT_TOKENS, batch=batch)
                cards[card][f"{case}, batch {batch}"] = {
                    "decode_tokens_per_s": made.decode_tokens_per_s and asdict(made.decode_tokens_per_s),
                    "prefill_tokens_per_s": prompt.prefill_tokens_per_s
                    and asdict(prompt.prefill_tokens_per_s),
                    "weight_bytes": list(made.weight_bytes),
                    "terms": {term.cause: asdict(term.time_s) for term in made.terms},
                    "reasons": list(made.reasons),
                }
    return cards


if __name__ == "__main__":
    facts = {
        "format": 1,
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": machine.describe(ROOT)["commit"],
        "context": CONTEXT,
        "cards": predicted(),
    }
    STORED.write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
