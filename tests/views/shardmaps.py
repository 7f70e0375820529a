"""What tests of the shard map's picture share: a map with repeated heads, and the words of an image."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.text import Text

from kernelkit.sharding.shape import planned_shards
from tests.sharding.configs import SMALL_LLAMA

# 2 KV heads in 4 parts, of which rank 0 has two: its second one, and that of rank 2, are repeated.
REPEATED = planned_shards(
    {**SMALL_LLAMA, "num_attention_heads": 8, "num_key_value_heads": 2, "hidden_size": 512},
    3,
    split=[2, 1, 1],
)


def words_of(figure: Figure) -> list[str]:
    """All of them, in the order of drawing."""
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]  # type: ignore[union-attr]
