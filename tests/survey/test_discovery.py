"""A discovery as a result: what cannot be discovered at all, how it is kept, and how it shows itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kernelkit.errors import ArgumentError, HostError
from kernelkit.hosts.hostfile import parse_hostfile
from kernelkit.survey import Discovery, discover
from tests.survey.discovered import found
from tests.survey.macs import Mac, mesh, ring
from tests.survey.standin import Standin

# Bad input.


def test_all_hosts_that_cannot_be_reached_are_named_at_once(hosts: Standin) -> None:
    hosts.add(Mac("mac1"))
    hosts.fails("denied", "denied")
    with pytest.raises(HostError, match="2 of 3 hosts cannot be used: nowhere, denied") as caught:
        discover(["mac1", "nowhere", "denied"])
    assert "Could not resolve hostname" in caught.value.got
    assert "Permission denied" in caught.value.got


@pytest.mark.parametrize(
    ("names", "what"),
    [
        ([], "one host needs no hostfile"),
        (["mac1"], "one host needs no hostfile"),
        (["mac1", "mac1"], "mac1 is listed more than once"),
        (["-oProxyCommand=x", "mac1"], "this is no name of a host"),
        (["mac1", "a b"], "this is no name of a host"),
        (["mac1", ""], "this is no name of a host"),
    ],
)
def test_names_that_cannot_be_used(hosts: Standin, names: list[str], what: str) -> None:
    with pytest.raises(ArgumentError, match=what):
        discover(names)
    assert hosts.calls() == []


def test_one_mac_under_two_names(hosts: Standin) -> None:
    mac = Mac("mac1")
    hosts.add(mac)
    hosts.add_answers("mac1.local", mac.answers())
    with pytest.raises(ArgumentError, match=r"mac1 and mac1\.local are the same machine"):
        discover("mac1, mac1.local")


# The result.


def test_saving_keeps_what_was_there(hosts: Standin, tmp_path: Path) -> None:
    path = tmp_path / "hosts.json"
    first = found(hosts, mesh(2))
    assert first.save(path) == f"wrote {path}"
    assert first.save(path) == f"{path} is right as it is"
    assert not (tmp_path / "hosts.json.bak").exists()
    second = found(hosts, mesh(3))
    assert second.save(path) == f"wrote {path}; what was there is kept as {path}.bak"
    assert parse_hostfile(path.read_text()) == second.hostfile
    assert parse_hostfile((tmp_path / "hosts.json.bak").read_text()) == first.hostfile
    path.write_text("mine\n")
    assert second.save(path).endswith("hosts.json.bak2")
    assert parse_hostfile((tmp_path / "hosts.json.bak").read_text()) == first.hostfile
    assert (tmp_path / "hosts.json.bak2").read_text() == "mine\n"


def test_it_survives_json(hosts: Standin) -> None:
    discovery = found(hosts, ring(4, bridge=True))
    assert Discovery.from_dict(json.loads(json.dumps(discovery.to_dict()))) == discovery


def test_it_shows_itself_as_text_and_as_html(hosts: Standin) -> None:
    discovery = found(hosts, ring(4, rdma="disabled"))
    bundle = discovery._repr_mimebundle_()
    text, html = bundle["text/plain"], bundle["text/html"]
    assert text == repr(discovery)
    assert text.startswith("ring over Thunderbolt: cables close a ring, but not with RDMA")
    for part in (
        "mac1 to mac3",
        "sudo ifconfig en2 inet 192.168.0.1",
        "80 Gb/s",
        "on mac4:",
        "4 hosts, 4 cables: ring",
    ):
        assert part in text
        assert part in html
    assert html.count("<table ") == 3


def test_progress_is_reported(hosts: Standin) -> None:
    said: list[str] = []
    discover(hosts.add(*mesh(2)), report=said.append)
    assert sorted(line.split()[0] for line in said) == ["mac1", "mac2"]
