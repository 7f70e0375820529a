"""What tab completion offers: hosts of the user's ssh configuration, JSON files, and the catalog's keys."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from kernelkit.errors import ArgumentError

_MOST_FILES = 200


def host_names() -> list[str]:
    """Hosts of `~/.ssh/config` (patterns left out) and of `./hosts.json`."""
    return list(
        dict.fromkeys([*_of_hostfile(Path("hosts.json")), *_of_config(Path.home() / ".ssh/config", 0)])
    )


def model_keys() -> list[str]:
    """The catalog's models."""
    from kernelkit.catalog import models

    return list(models())


def link_keys() -> list[str]:
    """The catalog's kinds of links."""
    from kernelkit.catalog import links

    return list(links())


def machines(typed: str) -> list[str]:
    """The catalog's chips with each memory that they are sold with, after a count and other machines."""
    from kernelkit.catalog import chips

    before = re.match(r"(.*,)?(\d+x)?", typed)
    start = before[0] if before else ""
    return [f"{start}{key}-{gib}" for key, chip in chips().items() for gib in chip.memory_sizes_gib]


def json_files(typed: str) -> list[str]:
    """JSON files that continue what was typed; folders end in a slash."""
    folder = Path(typed).expanduser() if typed.endswith("/") else Path(typed or ".").expanduser().parent
    start = typed[: typed.rfind("/") + 1]
    found = []
    try:
        for entry in sorted(folder.iterdir())[:_MOST_FILES]:
            if entry.is_dir() and not entry.name.startswith("."):
                found.append(f"{start}{entry.name}/")
            elif entry.suffix == ".json":
                found.append(f"{start}{entry.name}")
    except OSError:  # no such folder, or not ours to read: nothing to offer
        return []
    return found


def _of_hostfile(path: Path) -> list[str]:
    from kernelkit.hosts.hostfile import parse_hostfile

    try:
        return [host.ssh for host in parse_hostfile(path.read_text()).hosts]
    except (OSError, UnicodeDecodeError, ArgumentError, json.JSONDecodeError):
        return []


def _of_config(path: Path, depth: int) -> Iterator[str]:
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        word, *rest = re.split(r"[\s=]+", line.strip())
        if word.lower() == "host":
            yield from (name for name in rest if not set(name) & set("*?!"))
        elif word.lower() == "include" and depth < 4:
            for pattern in rest:
                base = Path(pattern).expanduser()
                parent = base.parent if base.is_absolute() else path.parent / base.parent
                for included in sorted(parent.glob(base.name)):
                    yield from _of_config(included, depth + 1)
