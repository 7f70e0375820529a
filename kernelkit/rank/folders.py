"""Where kernelkit keeps models of its own on a host: converted, pushed by another host, or partly known."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import platformdirs

_KEY_DIGITS = 12


def cache_root() -> Path:
    """`$KERNELKIT_CACHE` if it is set, else kernelkit's folder in the user's cache."""
    base = os.environ.get("KERNELKIT_CACHE")
    return Path(base).expanduser() if base else platformdirs.user_cache_path("kernelkit")


def pushed_folder(name: str) -> Path:
    """Where a model lies that another host sent and whose own place this host does not have.

    Args:
        name: as it was pushed and is loaded: a hub id, or the path of a folder.
    """
    stem = re.sub(r"[^\w.-]+", "--", name).strip("-.") or "model"
    return cache_root() / "models" / "pushed" / f"{stem[-80:]}-{_key(name)}"


def headers_folder(folder: Path) -> Path:
    """Where the headers lie of weight files that a hub's snapshot lacks."""
    return cache_root() / "headers" / _key(str(folder))


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_KEY_DIGITS]
