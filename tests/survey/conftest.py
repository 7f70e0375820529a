"""Hosts that are not there, behind an `ssh` that is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.survey.standin import Standin


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Standin:
    return Standin(tmp_path / "standin", monkeypatch)
