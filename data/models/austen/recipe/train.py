"""Train the teaching model, alone or data parallel over the ranks of an MLX group.

    python train.py --data build --out build/run                  one process
    mlx.launch -n 2 python train.py --data build --out build/run  two, each on half of every batch

Every rank holds all weights and reads its own rows of each batch; `average_gradients` makes their gradients
one, and so all ranks take the same step. Writes `log.jsonl`, `settings.json` and `best.safetensors`, the
float32 weights of the step with the lowest held-out loss.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
from mlx.utils import tree_flatten, tree_map
from network import SIZES, build, held_out_loss, mean_loss
from pace import Plan, schedule, windows

# What changes how MLX computes, and so belongs to the command line.
_SWITCHES = ("MLX_USE_", "MLX_CUDA_", "MLX_DISABLE_")

Step = Callable[[mx.array, mx.array], tuple[mx.array, mx.array]]


def main() -> None:
    settings = _arguments()
    group = mx.distributed.init()
    out = Path(settings["out"])
    if group.rank() == 0:
        out.mkdir(parents=True, exist_ok=True)
        (out / "log.jsonl").unlink(missing_ok=True)
        (out / "settings.json").write_text(json.dumps({**settings, **_where(group)}, indent=1) + "\n")
    weights = train(settings, group, partial(_note, out if group.rank() == 0 else None))
    if group.rank() == 0:
        mx.save_safetensors(str(out / "best.safetensors"), dict(tree_flatten(weights)))


def train(settings: dict[str, Any], group: mx.distributed.Group, note: Callable[..., None]) -> dict[str, Any]:
    """The weights (float32) of the step with the lowest held-out loss.

    Args:
        settings: as the command line gives them; `--help` explains each.
        group: all its ranks call this alike.
        note: is told each line of the log, and at a new best its weights.
    """
    data = Path(settings["data"])
    tokens, held_out = (np.load(data / f"{name}.npy") for name in ("train", "heldout"))
    vocabulary = json.loads((data / "data.json").read_text())["vocabulary"]
    mx.random.seed(settings["seed"])  # the same weights on every rank
    config = {**SIZES, **settings["sizes"], "vocab_size": vocabulary}
    model = build(config, settings["dropout"])
    state = {"weights": model.parameters()}
    optimizer = optim.AdamW(
        settings["lr"], betas=[0.9, 0.95], weight_decay=settings["weight_decay"], bias_correction=True
    )
    optimizer.init(state["weights"])
    mx.random.seed(settings["seed"] + 1 + group.rank())  # another dropout on each
    step = _compiled(model, optimizer, state, group, _dtype(settings["dtype"]))

    steps_per_epoch = (len(tokens) - 1) // (settings["batch"] * settings["length"])
    plan = Plan(round(settings["epochs"] * steps_per_epoch), settings["minutes"] * 60, group)
    best, best_loss = state["weights"], math.inf
    batches = windows(tokens, settings["length"], settings["batch"], settings["seed"])
    model.train()
    while plan.done < plan.steps:
        rate = settings["lr"] * schedule(plan.done, plan.steps, settings["warmup"])
        rows = next(batches)[group.rank() :: group.size()]
        loss, norm = step(mx.array(rows), mx.array(rate))
        mx.eval(loss, norm, state, optimizer.state)
        plan.tick()
        if plan.done % settings["every"] and plan.done < plan.steps:
            continue
        model.eval()
        model.update(tree_map(lambda weight: weight.astype(_dtype(settings["dtype"])), state["weights"]))
        held_loss = held_out_loss(model, held_out, settings["length"], group=group)
        model.train()
        better = held_loss < best_loss
        if better:
            # A copy of the tree: the compiled step puts its results into the tree that is there.
            best, best_loss = tree_map(lambda weight: weight, state["weights"]), held_loss
        line = {
            "step": plan.done,
            "of": plan.steps,
            "epoch": round(plan.done / steps_per_epoch, 2),
            "rate": rate,
            "loss": loss.item(),
            "gradient_norm": norm.item(),
            "held_out_loss": held_loss,
            "tokens_per_s": round(settings["batch"] * settings["length"] / plan.step_s),
            "elapsed_s": round(plan.elapsed_s, 1),
        }
        note(line, best if better else None)
        if held_loss > best_loss + settings["stop_above"]:
            break
    return best


def _compiled(
    model: nn.Module, optimizer: optim.Optimizer, state: dict[str, Any], group: Any, dtype: mx.Dtype
) -> Step:
    """One step of training as one compiled graph, the sum over the ranks included.

    Weights are kept in float32 and cast for the pass: bfloat16 would round most updates away.
    """

    def loss_of(weights: dict[str, Any], rows: mx.array) -> mx.array:
        model.update(tree_map(lambda weight: weight.astype(dtype), weights))
        return mean_loss(model, rows)

    gradients_of = mx.value_and_grad(loss_of)
    changing = [state, optimizer.state, mx.random.state]

    @partial(mx.compile, inputs=changing, outputs=changing)
    def step(rows: mx.array, rate: mx.array) -> tuple[mx.array, mx.array]:
        optimizer.learning_rate = rate
        loss, gradients = nn.average_gradients(gradients_of(state["weights"], rows), group)
        gradients, norm = optim.clip_grad_norm(gradients, 1.0)
        state["weights"] = optimizer.apply_gradients(gradients, state["weights"])
        return loss, norm

    return step


def _note(out: Path | None, line: dict[str, Any], best: dict[str, Any] | None) -> None:
    """Print and store a line of the log, and the weights of a new best; nothing on ranks without a folder."""
    if out is None:
        return
    print(json.dumps(line), flush=True)
    with (out / "log.jsonl").open("a") as log:
        log.write(json.dumps(line) + "\n")
    if best is not None:
        mx.save_safetensors(str(out / "best.safetensors"), dict(tree_flatten(best)))


def _where(group: mx.distributed.Group) -> dict[str, Any]:
    return {
        "ranks": group.size(),
        "device": mx.device_info().get("device_name", "unknown"),
        "mlx": mx.__version__,
        "environment": {name: value for name, value in os.environ.items() if name.startswith(_SWITCHES)},
    }


def _dtype(name: str) -> mx.Dtype:
    """ "auto" is what is fast: bfloat16 on a GPU, float32 on a CPU."""
    gpu = mx.default_device() == mx.Device(mx.gpu)
    return getattr(mx, {"auto": "bfloat16" if gpu else "float32"}.get(name, name))


def _arguments() -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--data", default="build", help="the folder that prepare.py wrote")
    add("--out", default="build/run", help="the folder to write to")
    add("--minutes", type=float, default=7, help="shortens the schedule to what fits")
    add("--epochs", type=float, default=30)
    add("--batch", type=int, default=32, help="windows a step, over all ranks")
    add("--length", type=int, default=512, help="tokens of a window")
    add("--lr", type=float, default=1.5e-3, help="the highest learning rate")
    add("--warmup", type=int, default=100, help="steps")
    add("--dropout", type=float, default=0.2)
    add("--weight-decay", type=float, default=0.1)
    add("--stop-above", type=float, default=0.1, help="stop when so many nats above the best held-out loss")
    add("--every", type=int, default=50, help="steps between looks at the held-out text")
    add("--seed", type=int, default=1)
    add("--dtype", default="auto", choices=["auto", "bfloat16", "float32"])
    add("--sizes", type=json.loads, default={}, help='changes of network.SIZES, such as {"hidden_size": 384}')
    return vars(parser.parse_args())


if __name__ == "__main__":
    main()
