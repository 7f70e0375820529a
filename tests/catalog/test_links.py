"""The catalog of links: every figure has a source, the file is found, and errors name the entry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kernelkit.catalog import LinkKind, files, link_kind, links
from kernelkit.catalog.files import data_file, parse_list, read_list
from kernelkit.errors import ArgumentError, KernelkitError
from kernelkit.hosts.linkreport import Way


def test_every_kind_of_cable_is_there() -> None:
    assert set(links()) == {
        "tb3", "tb4", "tb5", "tb5-rdma", "1gbe", "2.5gbe", "10gbe", "25gbe", "40gbe", "100gbe",
        "wifi", "wifi6", "wifi6e", "wifi7", "nvlink4", "nvlink4-bridge", "loopback",
    }  # fmt: skip


def test_nobody_measured_more_than_a_link_can_carry() -> None:
    for kind in links().values():
        if kind.nominal_bits_per_s and kind.bandwidth_bytes_per_s:
            assert 8 * kind.bandwidth_bytes_per_s[1] <= kind.nominal_bits_per_s, kind.key


def test_a_kind_is_a_way_of_a_link_report() -> None:
    assert link_kind("tb5").way("en5") == Way("tb5", "Thunderbolt 5", 80e9, "en5")
    with pytest.raises(ArgumentError, match=r"(?s)no kind of link 'usb'.*tb5-rdma, tb5"):
        link_kind("usb")


def entry(**fields: Any) -> str:
    return json.dumps({"links": [{"key": "x", "title": "X"}, {"key": "y", "title": "Y", **fields}]})


def test_an_entry_needs_no_figure() -> None:
    assert parse_list(entry(), "links", LinkKind)["y"] == LinkKind("y", "Y")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "no list of links"),
        ('{"links": 3}', "no list of links"),
        ('{"links": [3]}', r"links\[0\] is no kind of link"),
        (entry(colour="red"), r"links\[1\] \(y\) is no kind of link: LinkKind has no colour"),
        (entry(name="red"), "LinkKind has no name"),
        (entry(title=" "), "title is empty"),
        ('{"links": [{"key": "x"}]}', r"links\[0\] \(x\).*lacks title"),
        (entry(key="x"), "differ by key"),
        (entry(nominal_bits_per_s="fast", nominal_source="z"), "nominal_bits_per_s is 'fast'"),
        (entry(nominal_bits_per_s=True, nominal_source="z"), "nominal_bits_per_s is True"),
        (entry(nominal_bits_per_s=-1, nominal_source="z"), "nominal_bits_per_s is -1"),
        (entry(latency_s=[2, 1], latency_source="z"), "latency_s is no range"),
        (entry(latency_s=[0, 1], latency_source="z"), "latency_s is .*above 0"),
        (entry(latency_s=1e-4, latency_source="z"), "latency_s is 0.0001, not a list"),
        (entry(latency_s=[1e-4, 1e-4]), "latency_s and latency_source go together"),
        (entry(nominal_bits_per_s=1e9), "nominal_bits_per_s and nominal_source go together"),
        (entry(bandwidth_source="z"), "bandwidth_bytes_per_s and bandwidth_source go together"),
        (entry(backend="gloo"), "backend is 'gloo'"),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        parse_list(text, "links", LinkKind)


def test_a_file_is_found_in_an_installed_package_and_missed_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_PLACES", (tmp_path / "inside", tmp_path / "outside"))
    with pytest.raises(KernelkitError, match=r"(?s)links/links.json is missing.*inside.*outside"):
        data_file("links/links.json")
    for name in ("outside", "inside"):
        (tmp_path / name / "links").mkdir(parents=True)
        (tmp_path / name / "links" / "links.json").write_text("no JSON")
    assert data_file("links/links.json") == tmp_path / "inside" / "links" / "links.json"
    with pytest.raises(ArgumentError, match=r"inside/links/links\.json: this is no JSON"):
        read_list(data_file("links/links.json"), "links", LinkKind)
