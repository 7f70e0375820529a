"""A rehearsal leaves a model as it was."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from kernelkit.rank.rehearse import rehearse
from tests.architectures import forward, tiny


# kimi_k3 keeps products of its weights from its first pass; gemma3n and plamo3 keep other things.
@pytest.mark.parametrize("name", ["kimi_k3", "gemma3n", "plamo3"])
def test_a_model_answers_after_it_as_before(name: str) -> None:
    model, _ = tiny.create(name, tiny.config(name))
    rehearsed, _ = tiny.create(name, tiny.config(name))
    rehearse(rehearsed, list(rehearsed.layers))
    prompt = mx.array([forward.PROMPT])
    np.testing.assert_array_equal(np.array(rehearsed(prompt)), np.array(model(prompt)))
