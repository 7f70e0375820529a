"""Read a config field by field, with one clear error for what is missing or no size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kernelkit.errors import ArgumentError

SLIDING, FULL = "sliding_attention", "full_attention"
_AS_PUBLISHED = "take config.json as the model's maker published it"


class Fields:
    """A config whose fields are read by name and kind.

    Args:
        config: of the language model.
        path: where that lies in the whole model, with a dot at the end: `language_model.`.
        left_out: what the whole config has beside it.
    """

    def __init__(self, config: Mapping[str, Any], path: str = "", left_out: tuple[str, ...] = ()) -> None:
        self.config = config
        self.path = path
        self.left_out = left_out

    def number(self, name: str, default: int | None = None) -> int:
        """A size.

        Raises:
            ArgumentError: it is not there and there is no default, or it is no whole number above 0.
        """
        value = self.config.get(name)
        value = default if value is None else value
        if type(value) is not int or value < 1:
            what = f"the config has no {name}" if value is None else f"the config's {name} is no size"
            raise ArgumentError(
                what, expected="a whole number above 0", got=repr(value)[:80], cure=_AS_PUBLISHED
            )
        return value

    def max_context(self) -> int | None:
        """The longest context that the model was made for, in tokens; None where the config does not say it.

        Raises:
            ArgumentError: it is no whole number above 0.
        """
        name = "max_position_embeddings"
        return None if self.config.get(name) is None else self.number(name)

    def count(self, name: str, default: int = 0) -> int:
        """A whole number that may be 0.

        Raises:
            ArgumentError: it is something else.
        """
        value = self.config.get(name)
        value = default if value is None else value
        if type(value) is not int or value < 0:
            raise ArgumentError(
                f"the config's {name} is no count",
                expected="a whole number from 0",
                got=repr(value)[:80],
                cure=_AS_PUBLISHED,
            )
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        """Whether something is so.

        Raises:
            ArgumentError: it is neither true nor false.
        """
        value = self.config.get(name)
        value = default if value is None else value
        if not isinstance(value, int) or value not in (0, 1):
            raise ArgumentError(
                f"the config's {name} is neither so nor not",
                expected="true or false",
                got=repr(value)[:80],
                cure=_AS_PUBLISHED,
            )
        return bool(value)

    def items(self, name: str, length: int | None = None) -> list[Any] | None:
        """A list with an entry for each layer; None where it is not there.

        Raises:
            ArgumentError: it is no list, or of another length.
        """
        value = self.config.get(name)
        if value is None:
            return None
        if not isinstance(value, list | tuple) or (length is not None and len(value) != length):
            expected = "a list" if length is None else f"a list of {length} entries, one for each layer"
            raise ArgumentError(
                f"the config's {name} is another", expected=expected, got=repr(value)[:80], cure=_AS_PUBLISHED
            )
        return list(value)

    def kinds(self, layers: int, default: list[str] | None = None) -> list[str]:
        """The kind of attention of each layer: full, by default."""
        return self.items("layer_types", layers) or default or [FULL] * layers

    @property
    def head_dim(self) -> int:
        """Of an attention: what the config says, or what its hidden size gives."""
        return self.number("head_dim", self.number("hidden_size") // self.number("num_attention_heads"))

    @property
    def kv_heads(self) -> int:
        """As many as there are heads where the config does not say it."""
        return self.number("num_key_value_heads", self.number("num_attention_heads"))
