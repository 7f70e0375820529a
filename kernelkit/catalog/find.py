"""A model's config, however the model is named: by a short name, a hub id, a folder or a file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kernelkit.catalog.models import ModelEntry, models
from kernelkit.errors import ModelNotFoundError
from kernelkit.hub import asked
from kernelkit.sharding.config import read_config

EXPECTED = (
    "a name that kk.catalog.models() lists, a hub id such as mlx-community/NAME, a model's folder, "
    "or its config.json"
)
# How the names of converted checkpoints end. What is called 8bit-MXFP8 has the bytes of affine 8 bits.
_PACKED = re.compile(
    r"-(?:(?P<bits>\d-?bits?(?:-gs\d+)?)(?:-mxfp8)?|(?P<name>mxfp4-q\d|mxfp4|mxfp8|nvfp4|bf16|fp16))$",
    re.IGNORECASE,
)
_OWNED = re.compile(r"[^/]+/[^/]+")
# For the hub's first answer.
_PATIENCE_S = 5


def find_model(what: str | Path | Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """A model's config, and what the model is called.

    A folder or file that is there goes before a name of the catalog. The config of a hub id is looked for in
    the hub's cache on this machine, then in the catalog, and only then on the hub: `config.json` alone, a few
    KB.

    Returns:
        What decides sizes of its `config.json`. For a checkpoint that the catalog knows by its id alone, such
        as `mlx-community/DeepSeek-V3.1-4bit`, `quantization` is the name at the end of the id (`4bit`).

    Raises:
        ModelNotFoundError: nothing has that name, or the hub cannot be reached.
        ArgumentError: it is a file or mapping, and no model's config.
    """
    if not isinstance(what, str) or _is_local(what):
        return read_config(what)
    known = models()
    is_id = _is_hub_id(what)
    if is_id and (cached := _cached(what)) is not None:
        return read_config(cached)[0], what
    if what in known:
        return _of_entry(known[what], what)
    if is_id:
        return read_config(_downloaded(what))[0], what
    near = known.near(what)
    cure = f"did you mean {' or '.join(near)}?" if near else f"kk.catalog.models() lists {len(known)}"
    raise ModelNotFoundError(
        f"there is no model {what!r}", expected=EXPECTED, got="nothing of that name", cure=cure
    )


def _is_local(name: str) -> bool:
    try:
        path = Path(name).expanduser()
        return path.is_file() or (path / "config.json").is_file()
    except (OSError, RuntimeError):  # too long for a file; of a user who is not there
        return False


def _is_hub_id(name: str) -> bool:
    """Of an owner and a model. The hub's own check takes half a second to bring in, so it comes second."""
    if _OWNED.fullmatch(name) is None:
        return False
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def _of_entry(entry: ModelEntry, name: str) -> tuple[dict[str, Any], str]:
    """An entry's config; by a hub id that says how the weights are packed, with that."""
    packed = _PACKED.search(name) if "/" in name else None
    if packed is None:
        return dict(entry.config), entry.title
    plain = {key: value for key, value in entry.config.items() if key != "quantization_config"}
    return {**plain, "quantization": (packed["bits"] or packed["name"]).lower()}, name


def _cached(name: str) -> str | None:
    """The file in the hub's cache on this machine."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "config.json")
    return found if isinstance(found, str) else None


def _downloaded(name: str) -> str:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    def ask() -> str:
        # Once: a download's own tries take 23 s where there is no network.
        get_hf_file_metadata(hf_hub_url(name, "config.json"), timeout=_PATIENCE_S)
        return hf_hub_download(name, "config.json")

    return asked(name, EXPECTED, ask)
