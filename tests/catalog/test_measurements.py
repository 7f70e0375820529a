"""Published figures: each says what it is, and names machines, models and links that the catalog knows."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kernelkit.catalog import Measurement, chips, find_model, links, measurements, parse_nodes
from kernelkit.catalog.files import parse_list
from kernelkit.errors import ArgumentError
from kernelkit.sharding.anatomies import anatomy
from kernelkit.sharding.quantization import parse_quantization


@pytest.mark.parametrize("row", measurements().values(), ids=lambda row: row.key)
def test_a_row_names_what_the_catalog_knows(row: Measurement) -> None:
    if row.model or row.config:
        assert anatomy(find_model(row.config or row.model)[0]).parameters > 0
    if row.quantization:
        parse_quantization(row.quantization)
    if row.link:
        assert row.link in links()
    if row.kind == "decode" and row.on:
        assert len(parse_nodes(row.on)) == row.nodes
    if row.kind == "memory":
        chip, (low, high) = chips()[row.on], row.bytes_per_s or (0, 0)
        assert chip.memory_measured_bytes_per_s == pytest.approx((low, high), rel=0.002)


def test_the_published_pairs_of_nodes_are_there() -> None:
    series: dict[str, list[tuple[int, float]]] = {}
    for row in measurements().values():
        if row.series and row.nodes and row.tokens_per_s:
            series.setdefault(row.series, []).append((row.nodes, row.tokens_per_s[1]))
    assert series["geerling-qwen3-235b-exo"] == [(1, 19.5), (2, 26.2), (4, 31.9)]
    assert series["geerling-deepseek-v3.1-llamacpp"] == [(1, 14.8), (2, 16.0), (4, 14.6)]
    assert series["h200-llama-8b"] == [(1, 204), (2, 112)]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "one of tokens_per_s.* is wanted, not none"),
        ({"latency_s": [1, 2], "time_s": [1, 2]}, "not latency_s and time_s"),
        ({"time_s": [2, 1]}, "time_s is no range"),
        ({"time_s": [1, 2], "source": ""}, "source is empty"),
        ({"time_s": [1, 2], "marks": ["guess"]}, "marks is 'guess'"),
        ({"time_s": [1, 2], "config": 3}, "config is 3, not an object"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], said: str) -> None:
    row = {"key": "x", "kind": "link", "title": "X", "source": "Y", **fields}
    with pytest.raises(ArgumentError, match=said):
        parse_list(json.dumps({"measurements": [row]}), "measurements", Measurement)


def test_the_table_says_figure_and_source() -> None:
    text = repr(measurements())
    line = next(line for line in text.splitlines() if line.startswith("mlx-lm-qwen3-4b-4bit"))
    assert "134.5 tokens/s" in line
    assert "BENCHMARKS.md" in line
    assert "1.82 GB/s at 256 KB" in text
    assert "4.9 ms to 54 ms" in text
