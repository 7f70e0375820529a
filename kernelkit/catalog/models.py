"""Models with the sizes that their configs say, and the sizes of their files on the hub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from kernelkit.catalog.files import check_figures
from kernelkit.catalog.listing import Listing
from kernelkit.catalog.own import merged, stamps
from kernelkit.catalog.words import amount
from kernelkit.units import format_bytes

FILES = tuple(
    f"models/{name}.json"
    for name in (
        *("austen", "smollm", "llama", "mistral", "qwen3", "qwen3.5", "gemma", "gpt-oss"),
        *("glm", "deepseek", "kimi", "longcat", "minimax", "nemotron"),
    )
)


@dataclass(frozen=True)
class ModelEntry:
    """One model. A figure without a source is not there.

    Attributes:
        key: such as `llama-3.3-70b`.
        title: such as `Llama 3.3 70B Instruct`.
        config: what of its `config.json` decides sizes, and how the weights are packed where it says so.
        config_source: where that is from.
        hub_ids: where its weights lie, and those of the same config in other quantizations.
        aliases: other names.
        parameters: of the language model, as published.
        active_parameters: that a token passes through, as published; None where all do.
        parameters_source: who published them.
        note: what else one must know.
    """

    name: ClassVar[str] = "model"

    key: str
    title: str
    config: Mapping[str, Any]
    config_source: str
    hub_ids: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    parameters: float | None = None
    active_parameters: float | None = None
    parameters_source: str = ""
    note: str = ""

    def check(self) -> None:
        """See `files.check_figures`; and that the config says of which architecture it is.

        Raises:
            ValueError: it is not so; the error names the field.
        """
        check_figures(self)
        if not isinstance(self.config.get("model_type"), str):
            raise ValueError("config has no model_type")


@dataclass(frozen=True)
class FileSize:
    """How large a checkpoint is on the hub, as a table lists it.

    Attributes:
        key: its hub id.
        weight_bytes: as listed.
        meant_bytes: lowest and highest of what was meant; twice the same where `weight_bytes` are bytes, and
            None where no reading of them fits. Some are rounded GB or MB that were multiplied by a power of
            1,024.
        reading: how `meant_bytes` follow from `weight_bytes`.
        quantization: by its name, as listed.
        layers, hidden_size, kv_heads, context_length: of the model, as listed.
    """

    name: ClassVar[str] = "size of a checkpoint"

    key: str
    weight_bytes: int
    layers: int
    hidden_size: int
    context_length: int
    kv_heads: int | None = None
    quantization: str = ""
    meant_bytes: tuple[int, int] | None = None
    reading: str = ""

    def check(self) -> None:
        """See that a reading and what it gives go together.

        Raises:
            ValueError: they do not.
        """
        if (self.meant_bytes is None) == bool(self.reading):
            raise ValueError("meant_bytes and reading go together")


def models() -> Listing[ModelEntry]:
    """All models by key, also found by alias and hub id, the user's own included.

    Raises:
        KernelkitError: a file of kernelkit's is not there.
        ArgumentError: a file is not what it should be; the error names file, entry and field.
    """
    return _models(stamps())


@cache
def _models(_: object) -> Listing[ModelEntry]:
    entries = merged("models", ModelEntry, FILES)
    aliases = {name: entry.key for entry in entries.values() for name in (*entry.aliases, *entry.hub_ids)}
    columns = ("key", "model", "parameters", "active", "architecture", "hub")
    return Listing(ModelEntry.name, entries, columns, _row, aliases, call="models")


@cache
def file_sizes() -> Listing[FileSize]:
    """Sizes of checkpoints on the hub, by hub id.

    Raises:
        KernelkitError: the file is not there, or not what it should be.
    """
    entries = merged("sizes", FileSize, ("models/sizes.json",))
    columns = ("hub id", "quantization", "listed", "meant", "reading")
    return Listing(FileSize.name, entries, columns, _size_row, call="file_sizes")


def _row(entry: ModelEntry) -> tuple[str, ...]:
    return (
        entry.key,
        entry.title,
        _count(entry.parameters),
        _count(entry.active_parameters),
        str(entry.config["model_type"]),
        entry.hub_ids[0] if entry.hub_ids else "",
    )


def _count(number: float | None) -> str:
    """`70.6B`, as models are named by their size."""
    return "" if number is None else amount(number, "").replace("G", "B").replace(" ", "")


def _size_row(size: FileSize) -> tuple[str, ...]:
    meant = size.meant_bytes
    return (
        size.key,
        size.quantization,
        format_bytes(size.weight_bytes),
        "" if meant is None else format_bytes(sum(meant) / 2),
        size.reading,
    )
