"""The magics of this version: `%cluster`, `%%sharded`, `%model`, `%%generate`; data only."""

from __future__ import annotations

import math

from kernelkit.magics.grammar import Command, Flag, Magic


def _seconds(text: str) -> float:
    """A positive number of seconds; ValueError for anything else."""
    seconds = float(text)
    if not 0 < seconds < math.inf:
        raise ValueError(text)
    return seconds


_RANKS = Flag("ranks", "0,2-3", str, help="only these ranks")

_TIMEOUT = Flag("timeout", "S", _seconds, help="end the cell after S seconds, and say where ranks wait")
_CHECK = Flag("check", help="compare every collective with the other ranks before it runs (slower)")

_SAMPLING = (
    Flag("max-tokens", "N", int, help="at most so many new tokens (256)"),
    Flag("temp", "T", float, help="0 takes the likeliest token (0)"),
    Flag("top-p", "P", float, help="draw among the likeliest tokens of this probability together (1)"),
    Flag("seed", "S", int, help="draws the same text again; alike on every rank"),
    Flag("raw", help="no chat template around the prompt"),
)

CLUSTER = Magic(
    "%cluster",
    (
        Command(
            "connect",
            "start N local ranks (2) and form a group",
            "cluster = kernelkit.connect(N)",
            argument="N",
        ),
        Command("status", "what every rank is and does", "cluster.status()"),
        Command("recover", "new ranks, with the variables and the model of the old", "cluster.recover()"),
        Command("restart", "new ranks, empty namespaces", "cluster.restart()"),
        Command(
            "interrupt", "what Ctrl-C does, from another console of this notebook", "cluster.interrupt()"
        ),
        Command("stop", "end all ranks", "cluster.stop()"),
    ),
    later=frozenset(
        {"discover", "doctor", "links", "panel", "calibrate", "--hostfile", "--hosts", "--backend"}
    ),
)

_STRATEGY = Flag("strategy", "tensor|pipeline", str, ("tensor", "pipeline"), "how to cut it (tensor)")

SHARDED = Magic(
    "%%sharded",
    (
        Command(
            "",
            "run this cell on every rank",
            "cluster.run(code, ranks=[...], timeout_s=S, check=True)",
            flags=(_RANKS, _TIMEOUT, _CHECK),
        ),
    ),
    later=frozenset({"--record"}),
)

SHARDED_LINE = Magic(
    "%sharded",
    (
        Command(
            "",
            "run one expression or statement on every rank",
            "cluster.run('EXPRESSION')",
            argument="EXPRESSION",
            required=True,
            flags=(_RANKS, _TIMEOUT, _CHECK),
        ),
    ),
    later=SHARDED.later,
)

MODEL = Magic(
    "%model",
    (
        Command(
            "load",
            "shard a model over all ranks: a folder, a hub id, or smollm2",
            "model = cluster.load(PATH_OR_HF_ID, strategy='tensor')",
            argument="PATH_OR_HF_ID",
            required=True,
            choices=("smollm2",),
            flags=(
                Flag("strategy", "tensor|pipeline", str, ("tensor", "pipeline"), "how to cut it (tensor)"),
            ),
        ),
        Command(
            "generate",
            "generate text on all ranks in step",
            "model.generate(PROMPT, max_tokens=256, temp=0, seed=None, raw=False)",
            argument="PROMPT",
            required=True,
            flags=_SAMPLING,
        ),
        Command("unload", "free the weights", "model.unload()"),
    ),
    later=frozenset({"shards", "check", "push", "--split", "--quantize"}),
)

GENERATE = Magic(
    "%%generate",
    (Command("", "the cell's text is the prompt", "model.generate(PROMPT, ...)", flags=_SAMPLING),),
)

ALL = {magic.name: magic for magic in (CLUSTER, SHARDED, SHARDED_LINE, MODEL, GENERATE)}
