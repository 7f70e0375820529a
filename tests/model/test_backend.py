"""What a backend of MLX's cannot carry is refused before a rank is asked for anything."""

from __future__ import annotations

import pytest

from kernelkit.errors import ModelShardError
from kernelkit.model.loading import Layout, load
from tests.model.operators import FakeOperator


@pytest.mark.parametrize("strategy", ["pipeline", "hybrid"])
def test_nccl_has_no_send_so_no_pipeline(strategy: str) -> None:
    cluster = FakeOperator(["h0", "h0"], lambda rank, name, arguments: {})
    cluster.backend = "nccl"
    with pytest.raises(ModelShardError, match="no send and recv over NCCL") as caught:
        load(cluster, "anything", Layout(strategy), lambda rank, event: None, lambda: None)  # type: ignore[arg-type]
    assert "--strategy tensor; or %cluster connect --backend ring" in caught.value.cure
    assert cluster.asked == []
