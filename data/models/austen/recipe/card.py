"""The model card: `card.md` filled from `results.json` alone. `python card.py ..` writes it again."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def card(results: dict[str, Any]) -> str:
    """Markdown, from what `export.py` measured."""
    config, data, training = results["config"], results["data"], results["training"]
    best, last, held_out = results["best"], results["last"], results["held_out"]
    step_tokens = training["batch"] * training["length"]
    return (
        Path(__file__)
        .with_name("card.md")
        .read_text(encoding="utf-8")
        .format(
            layers=config["num_hidden_layers"],
            hidden=config["hidden_size"],
            heads=config["num_attention_heads"],
            head_dim=config["head_dim"],
            kv_heads=config["num_key_value_heads"],
            mlp=config["intermediate_size"],
            context=config["max_position_embeddings"],
            parameters=results["parameters"],
            **results["quantization"],
            **{key: value for key, value in data.items() if key != "chapters"},
            chapters=sum(data["chapters"].values()),
            loss=held_out["nats_per_token"],
            float32_loss=held_out["float32_nats_per_token"],
            perplexity=held_out["perplexity"],
            bits_per_character=held_out["bits_per_character"],
            window=held_out["window_tokens"],
            environment="".join(f"{name}={value} " for name, value in training["environment"].items()),
            flags=_flags(training),
            mlx=training["mlx"],
            mlx_lm=results["mlx_lm"],
            ranks="one rank" if training["ranks"] == 1 else f"{training['ranks']} ranks",
            device=training["device"],
            steps=last["step"],
            step_tokens=step_tokens,
            passes=last["step"] * step_tokens / data["train_tokens"],
            elapsed_s=last["elapsed_s"],
            tokens_per_s=last["tokens_per_s"],
            best_step=best["step"],
            temperature=results["temperature"],
            samples="\n\n".join(f"> **{one['prompt']}**{_quoted(one['text'])}" for one in results["samples"]),
        )
    )


def _flags(training: dict[str, Any]) -> str:
    """The command line again, less what names folders or was not given."""
    names = ("epochs", "batch", "length", "lr", "warmup", "dropout", "weight_decay", "seed")
    flags = [f"--{name.replace('_', '-')} {training[name]:g}" for name in names]
    if training["sizes"]:
        flags.append(f"--sizes '{json.dumps(training['sizes'])}'")
    return " ".join(flags)


def _quoted(text: str) -> str:
    return text.replace("\n", "\n> ")


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    (folder / "README.md").write_text(
        card(json.loads((folder / "results.json").read_text())), encoding="utf-8"
    )
