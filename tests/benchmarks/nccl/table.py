"""The stored run as Markdown for the README, beside what was foretold of it; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kernelkit.units import format_bytes, format_seconds
from tests.benchmarks.nccl import shapes
from tests.benchmarks.nccl.table_pace import pace

# NVIDIA's data sheet of the H100 SXM and of the H200 SXM.
_NOMINAL_BYTES_PER_S = {"H100": 3.35e12, "H200": 4.8e12}
_COLUMNS = (
    *("model, GPUs, batch", "decode, tokens/s", "plain script", "ratio", "foretold", "error"),
    *("of the bandwidth", "first token", "most memory a rank"),
)
_PREFILL = ("model, GPUs, batch", "prefill, tokens/s", "plain script", "ratio", "foretold", "error")
_ROWS = (1, 2, 4, 8, 16, 64, 512)
_MATRICES = ([8192, 8192], [28_672, 8192])
_SUMS = (8, 4096, 65_536, 2**20, 2**24, 2**26, 2**28)
_WAYS = (
    "one small kernel, an eval",
    "one all_sum, an eval",
    "64 all_sums, an eval each",
    "64 all_sums, an async_eval each",
    "64 all_sums, one eval",
    "64 all_sums, compiled, one eval",
    "64 all_sums and small kernels, one eval",
    "handing over 64 all_sums, async_eval, without the wait",
    "building the graph of 64 all_sums, no eval",
)


def markdown(report: Mapping[str, Any], foretold: Mapping[str, Any], again: Mapping[str, Any]) -> str:
    """Speeds, both programs by turns, products, sums, the anatomy of one, and a line on the conditions.

    Args:
        foretold: before the first run, which has the models in 16 bits.
        again: before the second, which has those in 4.
    """
    parts = report["parts"]
    speeds = {**parts["speed, bf16"], **parts["speed, 4bit"]}
    chip = card(report)
    told = {
        name: values
        for kind, of in (("bf16", foretold), ("4bit", again))
        for name, values in of["cards"][chip].items()
        if kind in name
    }
    cases = [(case, batch) for case in shapes.CASES for batch in shapes.BATCHES]
    rows = [row for case, batch in cases if (row := _speed(case, batch, speeds, told, chip))]
    prefill = [
        row for case, batch in cases if (row := _beside(case, batch, "prefill_tokens_per_s", speeds, told))
    ]
    sums = {entry["size_bytes"]: entry for entry in parts["sums"]["all_sum by size"]}
    line = ", ".join(f"{format_bytes(size)} {format_seconds(sums[size]['seconds'])}" for size in _SUMS)
    with_graphs = parts["sums"]["anatomy of an all_sum of 8 KiB"]
    without = parts["sums"]["the same with MLX_USE_CUDA_GRAPHS=0"]
    ways = [(name, _micro(with_graphs[name]), _micro(without[name])) for name in _WAYS]
    columns = ("8 KiB over two GPUs, each", "µs", "µs with `MLX_USE_CUDA_GRAPHS=0`")
    return "\n\n".join(
        [
            table(_COLUMNS, rows),
            table(_PREFILL, prefill),
            *(table(columns, rows) for columns, rows in pace(parts)),
            table(("one product, µs", *(f"{rows} rows" for rows in _ROWS)), _products(parts["products"])),
            f"An `all_sum` of float32 in an eval of its own: {line}.",
            table(columns, ways),
            _conditions(report, foretold, again),
        ]
    )


def _products(parts: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Of the two large matrices."""
    return [
        (
            f"{' x '.join(f'{side:,}' for side in entry['shape'])}, {kind}",
            *(_micro(entry[f"{rows} rows"]) for rows in _ROWS),
        )
        for kind in shapes.QUANTIZATIONS
        for entry in parts[kind]
        if entry["shape"] in _MATRICES
    ]


def card(report: Mapping[str, Any]) -> str:
    """`H100` or `H200`, by the name that the driver has for it."""
    name = report["gpus"][0]["name"]
    return next(known for known in _NOMINAL_BYTES_PER_S if known in name)


def _speed(
    case: shapes.Case, batch: int, speeds: Mapping[str, Any], foretold: Mapping[str, Any], chip: str
) -> tuple[str, ...] | None:
    """A row of decoding; None where kernelkit's own figure is missing."""
    beside = _beside(case, batch, "decode_tokens_per_s", speeds, foretold)
    if beside is None:
        return None
    whole = speeds[f"kernelkit, {case}"]
    ours = whole[f"batch {batch}"]
    rate = ours["decode_tokens_per_s"]
    share = _read_bytes(case, whole["weight_bytes"][0]) * rate / batch / _NOMINAL_BYTES_PER_S[chip]
    return (
        *beside,
        f"{share:.0%}",
        format_seconds(ours["first_token_s"]),
        format_bytes(max(ours["peak_memory_bytes"])),
    )


def _beside(
    case: shapes.Case, batch: int, what: str, speeds: Mapping[str, Any], foretold: Mapping[str, Any]
) -> tuple[str, ...] | None:
    """kernelkit's figure beside the plain script's and the foretold one; None where it is missing."""
    ours = speeds.get(f"kernelkit, {case}", {}).get(f"batch {batch}", {}).get(what)
    if ours is None:
        return None
    plain = speeds.get(f"plain, {case}", {}).get(f"batch {batch}", {}).get(what)
    told = foretold[f"{case}, batch {batch}"][what]["mid"]
    return (
        f"{case.shape} {case.kind}, {case.gpus}, {batch}",
        f"{ours:,.1f}",
        f"{plain:,.1f}" if plain else "not run",
        f"{ours / plain:.3f}" if plain else "",
        f"{told:,.1f}",
        f"{told / ours - 1:+.0%}",
    )


def _read_bytes(case: shapes.Case, weight_bytes: int) -> float:
    """What a token reads of them: all but the embeddings, of which it is one row."""
    config = shapes.config(case.shape, case.kind)
    bits = 16 if case.kind == "bf16" else shapes.QUANTIZATIONS[case.kind] + 2 * 16 / 64
    return weight_bytes - config["vocab_size"] * config["hidden_size"] * bits / 8


def _micro(entry: Mapping[str, float]) -> str:
    return f"{entry['seconds'] * 1e6:.1f}"


def table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _conditions(report: Mapping[str, Any], foretold: Mapping[str, Any], again: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in report["machine"]["versions"].items())
    gpu = report["gpus"][0]
    later = "; ".join(
        f"{parts}: {run['taken']}, commit {run['machine']['commit']}" for parts, run in report["runs"].items()
    )
    return (
        f"One run of each, {report['taken']}: {len(report['gpus'])} x {gpu['name']}, driver {gpu['driver']}; "
        f"{report['machine']['os']}, {report['machine']['cores']} cores; {versions}; "
        f"{', '.join(f'{name}={value}' for name, value in report['environment'].items())}; commit "
        f"{report['machine']['commit']}. On other cards of that kind, with the same versions: {later}. "
        f"Foretold at commits {foretold['commit']}, {foretold['taken']}, of 16 bits, and {again['commit']}, "
        f"{again['taken']}, of 4. {'; '.join(report['notes'])}."
    )
