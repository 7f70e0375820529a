"""A user's own file: read beside kernelkit's, checked by the same rules, and taken whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kernelkit import catalog
from kernelkit.catalog import own
from kernelkit.errors import ArgumentError

MINI = {"key": "my-mini", "title": "My mini", "memory_sizes_gib": [96], "memory_sizes_source": "its box"}


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own, "_added", [])
    monkeypatch.setattr(own.platformdirs, "user_config_path", lambda _: tmp_path / "config")
    monkeypatch.delenv(own.VARIABLE, raising=False)


def written(path: Path, **sections: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(sections))
    return path


def test_a_machine_of_ones_own_can_be_planned_with(tmp_path: Path) -> None:
    catalog.add(written(tmp_path / "mine.json", chips=[MINI]))
    (node,) = catalog.parse_nodes("my-mini")
    assert (node.chip.title, node.memory_bytes) == ("My mini", 96 * 2**30)
    assert "m4-max" in catalog.chips()


@pytest.mark.parametrize("where", ["variable", "settings"])
def test_the_users_file_is_found_and_read_again_when_it_changes(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "config" / "catalog.json", links=[{"key": "string", "title": "A string"}])
    if where == "variable":
        path = path.rename(tmp_path / "named.json")
        monkeypatch.setenv(own.VARIABLE, str(path))
    assert catalog.links()["string"].title == "A string"
    later = path.stat().st_mtime_ns + 10**9
    path = written(path, links=[{"key": "tb4", "title": "My cable"}])
    own.os.utime(path, ns=(later, later))
    assert "string" not in catalog.links()
    assert catalog.links()["tb4"].title == "My cable"


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"chips": [{**MINI, "memory_sizes_source": ""}]}, r"chips\[0\] \(my-mini\).*go together"),
        ({"chips": [{**MINI, "colour": "red"}]}, r"chips\[0\] \(my-mini\) is no chip: Chip has no colour"),
        ({"chips": [{**MINI, "links": ["tb9"], "links_source": "x"}]}, "chip my-mini has no such link"),
        ({"chip": [MINI]}, "the catalog has no chip"),
        ({"links": 3}, "no list of links"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_taken(
    sections: dict[str, Any], said: str, tmp_path: Path
) -> None:
    path = written(tmp_path / "mine.json", **sections)
    with pytest.raises(ArgumentError, match=said):
        catalog.add(path)
    assert "my-mini" not in catalog.chips()


def test_a_file_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArgumentError, match=r"(?s)cannot be read.*absent\.json"):
        catalog.add(tmp_path / "absent.json")
    monkeypatch.setenv(own.VARIABLE, str(tmp_path / "gone.json"))
    with pytest.raises(ArgumentError, match=r"(?s)KERNELKIT_CATALOG names no file.*gone\.json"):
        catalog.chips()
