"""The unsharded model, layer by layer: its answers, and how little of it is in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from kernelkit.rank.checkplan import build_reference
from kernelkit.rank.reference import Reference
from tests.rank import tiny

TOKENS = [(position * 37 + 11) % 95 for position in range(300)]


@pytest.mark.parametrize("length", [20, 300])  # as one piece, and as two
@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma"])
def test_it_answers_as_the_model_does(tmp_path: Path, kind: str, length: int) -> None:
    path = tiny.build(tmp_path, kind)
    truth = build_reference(path, None, "auto")(mx.array(TOKENS[:length])[None])[0]
    reference = Reference(lambda: build_reference(path, None, "auto"), TOKENS[:length])
    told: list[tuple[int, int]] = []
    reference.run(lambda done, layers: told.append((done, layers)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert sorted(reference.states) == [-1, 0, 1, 2, 3]
    pieces = [reference.logits(start, min(start + 150, length)) for start in range(0, length, 150)]
    # As close as a product of fewer rows comes to one of more.
    assert mx.allclose(mx.concatenate(pieces), truth, rtol=1e-4, atol=1e-4).item()


def test_one_layer_at_a_time_is_in_memory(tmp_path: Path) -> None:
    path = tiny.build(tmp_path, hidden_size=256, intermediate_size=2048, num_hidden_layers=12)
    whole = sum(value.nbytes for value in mx.load(str(path / "model.safetensors")).values())
    reference = Reference(lambda: build_reference(path, None, "auto"), TOKENS[:4])
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    reference.run()
    assert mx.get_peak_memory() - before < whole / 4
    assert mx.get_active_memory() - before < whole / 20


def test_a_model_that_runs_its_layers_twice(tmp_path: Path) -> None:
    path = tiny.build(tmp_path)

    def build() -> Any:
        from mlx_lm.models.base import create_attention_mask

        model: Any = build_reference(path, None, "auto")
        kind = type(model.model)

        class Looped(kind):  # type: ignore[misc,valid-type]
            def __call__(self, inputs: mx.array, *_: Any) -> mx.array:
                hidden = self.embed_tokens(inputs)
                mask = create_attention_mask(hidden, None)
                for layer in [*self.layers, *self.layers]:
                    hidden = layer(hidden, mask, None)
                return self.norm(hidden)

        model.model.__class__ = Looped
        return model

    truth = build()(mx.array(TOKENS[:20])[None])[0]
    reference = Reference(build, TOKENS[:20])
    reference.run()
    assert mx.allclose(reference.logits(0, 20), truth, rtol=1e-4, atol=1e-4).item()
