"""From trained weights to the folder that `%model load` takes: 8-bit weights, tokenizer, log and model card.

    python export.py --run build/run --data build --out ..

What the card says of the model is measured on the folder that was just written, through mlx-lm, and stored in
`results.json`.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx_lm
import numpy as np
from card import card
from mlx.utils import tree_flatten
from mlx_lm import load, stream_generate
from mlx_lm.models.llama import Model, ModelArgs
from mlx_lm.sample_utils import make_sampler
from mlx_lm.utils import dequantize_model, quantize_model, save_config, save_model
from network import SIZES, held_out_loss

PROMPTS = (
    "It is a truth universally acknowledged, that",
    "Emma was not at all surprised to hear that",
    '"My dear Mr. Bennet," said',
    "The next morning, as soon as breakfast was over,",
    "Captain Wentworth had never",
)
_TEMPERATURE = 0.7
_SAMPLE_TOKENS = 160
_QUANTIZATION = {"group_size": 64, "bits": 8}
_QUICK = 8  # windows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", type=Path, default=Path("build/run"), help="the folder that train.py wrote")
    parser.add_argument("--data", type=Path, default=Path("build"), help="the folder that prepare.py wrote")
    parser.add_argument("--out", type=Path, required=True, help="the model's folder")
    arguments = parser.parse_args()
    print(json.dumps(export(arguments.run, arguments.data, arguments.out), indent=1))


def export(run: Path, data: Path, out: Path) -> dict[str, Any]:
    """Write the model's folder, measure it, and describe it; what `results.json` says."""
    settings = json.loads((run / "settings.json").read_text())
    facts = json.loads((data / "data.json").read_text())
    held_out = np.load(data / "heldout.npy")
    boundary, length = int(held_out[0]), settings["length"]
    ends = {"vocab_size": facts["vocabulary"], "bos_token_id": boundary, "eos_token_id": boundary}
    config = {**SIZES, **settings["sizes"], **ends}

    model = Model(ModelArgs.from_dict(config))
    model.load_weights(str(run / "best.safetensors"))
    float32_loss = held_out_loss(model.eval(), held_out, length)
    parameters = sum(weight.size for _, weight in tree_flatten(model.parameters()))
    model.set_dtype(mx.bfloat16)
    model, config = quantize_model(model, config, **_QUANTIZATION)
    out.mkdir(parents=True, exist_ok=True)
    save_model(out, model)
    save_config(config, out / "config.json")
    for file in ("tokenizer.json", "tokenizer_config.json", "heldout.npy"):
        shutil.copyfile(data / file, out / file)
    shutil.copyfile(run / "log.jsonl", out / "log.jsonl")

    model, tokenizer = load(str(out))
    # The numbers that were stored, in float32: products of 8-bit weights are slow on a CPU.
    model = dequantize_model(model)
    model.set_dtype(mx.float32)
    log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    loss = held_out_loss(model.eval(), held_out, length)
    per_character = facts["held_out_tokens"] / facts["held_out_characters"]
    results = {
        "parameters": parameters,
        "config": {key: config[key] for key in sorted(SIZES)},
        "quantization": _QUANTIZATION,
        "data": facts,
        "training": {name: value for name, value in settings.items() if name not in {"data", "out"}},
        "best": min(log, key=lambda line: line["held_out_loss"]),
        "last": log[-1],
        "held_out": {
            "window_tokens": length,
            "float32_nats_per_token": float32_loss,
            "nats_per_token": loss,
            "perplexity": float(np.exp(loss)),
            "bits_per_character": loss * per_character / float(np.log(2)),
        },
        # What a test can compute again in a second.
        "quick": {
            "windows": _QUICK,
            "nats_per_token": held_out_loss(model, held_out[: _QUICK * length + 1], length),
        },
        "temperature": _TEMPERATURE,
        "samples": [{"prompt": prompt, "text": _sample(model, tokenizer, prompt)} for prompt in PROMPTS],
        "device": str(mx.default_device()),
        "mlx_lm": mlx_lm.__version__,
    }
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (out / "README.md").write_text(card(results), encoding="utf-8")
    return results


def _sample(model: Any, tokenizer: Any, prompt: str) -> str:
    mx.random.seed(7)
    sampler = make_sampler(temp=_TEMPERATURE)
    ids = tokenizer.encode(prompt)
    written = stream_generate(model, tokenizer, ids, max_tokens=_SAMPLE_TOKENS, sampler=sampler)
    # Decoded together: alone, the first token would lose the space before its word.
    text = tokenizer.decode([*ids, *(answer.token for answer in written)], skip_special_tokens=True)
    return text.removeprefix(prompt)


if __name__ == "__main__":
    main()
