"""Tensor parallelism where nothing divides: logits of three ranks and of uneven shares are those of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kernelkit.errors import ModelShardError
from kernelkit.rank.load import load
from tests.architectures import tiny
from tests.rank.tiny import CountedGroup, RingRun

# Sinks and biases of experts; latent attention; a norm over all heads; linear attention and a cut vocabulary.
KINDS = ("gpt_oss", "deepseek_v3", "minimax", "qwen3_5")

FORWARD = """
from kernelkit.errors import ModelShardError
from kernelkit.rank.load import load
from mlx_lm.models.cache import make_prompt_cache
folders, split, bits = args
tokens = mx.array([[5, 9, 40, 31, 7, 22, 60, 3, 11, 15, 33, 44, 2, 8, 19, 27]])
result = {}
for folder in folders:
    name = Path(folder).name
    try:
        model = load(Path(folder), strategy="tensor", group=group, split=split, quantize=bits).model
    except ModelShardError as error:
        result[name] = str(error)
        continue
    cache = make_prompt_cache(model)
    mx.eval(model(tokens[:, :12], cache=cache))
    steps = [model(tokens[:, i : i + 1], cache=cache)[0, -1, :90] for i in range(12, 16)]
    result[name] = mx.stack([model(tokens)[0, -1, :90], *steps]).tolist()
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    base = tmp_path_factory.mktemp("architectures")
    return [str(tiny.build(base / name, name)) for name in KINDS]


@pytest.mark.parametrize(
    ("ranks", "split", "bits"), [(3, None, None), (2, [2, 1], None), (2, None, 8)], ids=["3", "2+1", "8 bits"]
)
def test_logits_are_those_of_one_rank(
    folders: list[str], ring_run: RingRun, ranks: int, split: list[int] | None, bits: int | None
) -> None:
    [alone] = ring_run(1, FORWARD, folders, None, bits)
    together = ring_run(ranks, FORWARD, folders, split, bits)
    for name in KINDS:
        if split is not None and name == "qwen3_5":
            assert all("uneven shares" in rank[name] for rank in together)
            continue
        scale = max(abs(value) for row in alone[name] for value in row)
        for rank in together:
            for row, expected in zip(rank[name], alone[name], strict=True):
                assert row == pytest.approx(expected, abs=1e-4 * scale), name


@pytest.mark.parametrize("split", [None, (2, 1)])
def test_rotated_weights_are_refused_by_name(tmp_path: Path, split: tuple[int, int] | None) -> None:
    folder = tiny.build(tmp_path / "m", "prism_hadamard_qwen35")
    for rank in range(2):
        group: Any = CountedGroup(rank, 2)
        with pytest.raises(ModelShardError, match="inputs of its layers are rotated in blocks") as caught:
            load(folder, strategy="tensor", group=group, split=split)
        assert "prism_hadamard_qwen35" in caught.value.what
        assert caught.value.got == "HadamardQuantizedLinear"
        assert caught.value.cure == "--strategy pipeline"
