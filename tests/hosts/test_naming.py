"""What this machine is called where it is shown."""

from __future__ import annotations

import socket

import pytest

import kernelkit as kk
from kernelkit.hosts.naming import VARIABLE, own_name


def test_a_machine_is_called_as_it_calls_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert own_name() == socket.gethostname()


def test_the_name_of_the_environment_is_shown_of_every_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also by the agent and the ranks, which have the notebook's environment."""
    monkeypatch.setenv(VARIABLE, "desk")
    with kk.connect(2) as cluster:
        assert [host.name for host in cluster.map().hosts] == ["desk"]
        assert {rank.host for rank in cluster.status().ranks} == {"desk"}
        cluster.load("austen")
        assert [each.host for each in cluster.model.memory.ranks] == ["desk"] * 2
