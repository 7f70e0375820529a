"""Link reports: figures that follow from samples, JSON there and back, the table, and sentences."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kernelkit.errors import ArgumentError
from kernelkit.hosts.linkfit import (
    KIB,
    MIB,
    SIZES_BYTES,
    Sample,
    Skip,
    bandwidth_bytes_per_s,
    format_size,
    latency_s,
)
from kernelkit.hosts.linkreport import Flow, Link, LinkEnd, LinkReport, Software, Way

TB5 = Way("tb5", "Thunderbolt 5", 80e9, "en5")
WIFI = Way("wifi6e", "Wi-Fi 6E", 2.402e9, "en0")


def sample(size_bytes: int, time_s: float) -> Sample:
    return Sample(size_bytes, time_s, 3, time_s, 1.1 * time_s, "send")


def model(latency: float, bandwidth: float, sizes: tuple[int, ...] = SIZES_BYTES) -> tuple[Sample, ...]:
    return (sample(4, latency), *(sample(size, latency + size / bandwidth) for size in sizes))


def flow(sender: int, receiver: int, bandwidth: float, latency: float = 3e-5) -> Flow:
    return Flow.measured(sender, receiver, model(latency, bandwidth, (MIB, 2 * MIB)), ())


def link(a: int, b: int, there: float | None, back: float | None = None, **more: Any) -> Link:
    """A link with those bandwidths."""
    ends = (
        LinkEnd(a, f"mac{a + 1}", "en5", f"10.0.0.{a + 1}"),
        LinkEnd(b, f"mac{b + 1}", "en4", f"10.0.0.{b + 1}"),
    )
    flows = (flow(a, b, there), flow(b, a, back or there)) if there else ()
    return Link(**{"ends": ends, "way": TB5, "best": TB5, "mlx": flows, **more})


def report(*links: Link) -> LinkReport:
    software = Software("mac1", "macOS-26.2-arm64", "3.12.7", "0.32.4", "0.1.0")
    return LinkReport("2026-01-02T03:04:05+00:00", "ring", links, (software,))


@pytest.mark.parametrize(("latency", "bandwidth"), [(5e-5, 8e9), (1e-4, 12.5e6), (1.5e-2, 3e6)])
def test_samples_of_the_model_give_its_two_figures(latency: float, bandwidth: float) -> None:
    samples = model(latency, bandwidth)
    assert latency_s(samples) == latency
    assert bandwidth_bytes_per_s(samples) == pytest.approx(bandwidth, rel=1e-6)


def test_only_large_sizes_make_the_bandwidth() -> None:
    small = [sample(size, 10 * (1e-4 + size / 1e9)) for size in (KIB, 64 * KIB, MIB)]
    large = model(1e-4, 1e9, (32 * MIB, 64 * MIB))
    assert bandwidth_bytes_per_s([*large, *small]) == pytest.approx(1e9, rel=1e-6)


def test_the_largest_counts_four_times_the_next() -> None:
    late = [sample(4, 0.0), sample(MIB, 2 * MIB / 1e9), sample(2 * MIB, 2 * MIB / 1e9)]
    assert bandwidth_bytes_per_s(late) == pytest.approx(1e9 * 5 / 6)


def test_what_was_not_measured_has_no_figure() -> None:
    assert bandwidth_bytes_per_s([]) is None
    assert latency_s([]) is None
    assert bandwidth_bytes_per_s([sample(4, 1e-4)]) is None
    # A message that came sooner than a ping says nothing of a rate.
    assert bandwidth_bytes_per_s([sample(4, 1e-4), sample(KIB, 5e-5)]) is None


def test_sizes_are_told_in_powers_of_two() -> None:
    assert [format_size(size) for size in (4, KIB, 256 * KIB, MIB, 64 * MIB)] == [
        "4 B", "1 KiB", "256 KiB", "1 MiB", "64 MiB",
    ]  # fmt: skip


def test_a_report_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    failed = link(0, 2, None, error="no route to host", best=None, way=Way("", "unknown"))
    skipped = (Skip(64 * MIB, "it would take 5.37 s each way"),)
    whole = link(0, 1, 6e9, tcp=(replace(flow(0, 1, 5e9), skipped=skipped), flow(1, 0, 5e9)))
    stored = report(whole, failed)
    stored.save(tmp_path / "links.json")
    assert LinkReport.load(tmp_path / "links.json") == stored
    data = json.loads((tmp_path / "links.json").read_text())
    assert data["kernelkit_links"] == 1
    assert data["links"][0]["mlx"][0]["samples"][1]["size_bytes"] == MIB


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data.update(kernelkit_links=2), "no link report"),
        (lambda data: data.pop("backend"), "backend"),
        (lambda data: data["links"][0].update(colour="red"), "colour"),
        (lambda data: data["links"][0]["mlx"][0]["samples"][0].pop("repeats"), "repeats"),
        (lambda data: data["links"][0].update(ends=data["links"][0]["ends"][:1]), "ends has 1 entries"),
    ],
)
def test_what_is_no_report_is_refused_by_name(change: Any, said: str) -> None:
    data = json.loads(json.dumps(report(link(0, 1, 6e9)).to_dict()))
    change(data)
    with pytest.raises(ArgumentError, match=said):
        LinkReport.from_dict(data)


def first_flow(data: dict[str, Any]) -> dict[str, Any]:
    return data["links"][0]["mlx"][0]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data.update(time=None), "time is None, not str"),
        (lambda data: data["links"][0]["ends"][0].update(rank=None), "rank is None, not int"),
        (lambda data: data["links"][0]["ends"][0].update(interface=None), "interface is None, not str"),
        (lambda data: first_flow(data)["samples"][0].update(low_s=None), "low_s is None, not float"),
        (lambda data: first_flow(data).update(latency_s=-1), "latency_s is -1, not 0 or from"),
        (lambda data: first_flow(data).update(latency_s=float("nan")), "latency_s is nan"),
        (lambda data: first_flow(data).update(bandwidth_bytes_per_s=float("inf")), "per_s is inf"),
        (lambda data: first_flow(data).update(bandwidth_bytes_per_s=10**400), "per_s is 1000"),
        (
            lambda data: data["links"][0]["way"].update(nominal_bits_per_s=1e-300),
            "nominal_bits_per_s is 1e-300",
        ),
        (lambda data: data.update(links={}), "links is {}, not a list"),
    ],
)
def test_damaged_fields_are_refused_by_name(damage: Any, said: str, tmp_path: Path) -> None:
    data = json.loads(json.dumps(report(link(0, 1, 6e9)).to_dict()))
    damage(data)
    (tmp_path / "links.json").write_text(json.dumps(data))  # which writes NaN, and reads it
    with pytest.raises(ArgumentError, match=said):
        LinkReport.load(tmp_path / "links.json")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "list.json").write_text("[]")
    for name, said in (("none", "none"), ("broken", "broken"), ("list", "no link report")):
        with pytest.raises(ArgumentError, match=said):
            LinkReport.load(tmp_path / f"{name}.json")


def test_the_matrix_takes_the_best_link_in_use() -> None:
    cables = report(
        link(0, 1, 1e9, 2e9, in_use=True),
        link(0, 1, 3e9, 1.5e9, in_use=True),
        link(0, 1, 9e9, in_use=False),
        link(0, 2, None, error="refused"),
        link(1, 2, 5e9, in_use=False, tcp=(flow(2, 1, 4e9, latency=1e-5),)),
    )
    assert cables.bandwidth_bytes_per_s(0, 1) == pytest.approx(3e9)
    assert cables.bandwidth_bytes_per_s(1, 0) == pytest.approx(2e9)
    assert cables.latency_s(1, 0) == pytest.approx(3e-5)
    assert cables.bandwidth_bytes_per_s(0, 2) is None
    assert cables.latency_s(0, 5) is None
    # None in use was measured there: better the other than nothing.
    assert cables.bandwidth_bytes_per_s(2, 1) == pytest.approx(5e9)
    assert cables.bandwidth_bytes_per_s(2, 1, tcp=True) == pytest.approx(4e9)
    assert cables.latency_s(1, 2, tcp=True) is None


def test_the_table_has_a_row_for_each_way() -> None:
    tcp = (flow(0, 1, 5e9, latency=1.2e-5), flow(1, 0, 5.5e9, latency=1.2e-5))
    shown = repr(report(link(0, 1, 6e9, 7e9, tcp=tcp), link(0, 2, None, error="refused")))
    assert shown.splitlines() == [
        "2 links, backend ring, 2026-01-02T03:04:05+00:00",
        "ranks  hosts        link           over  latency  bandwidth  of nominal  TCP latency  TCP bandwidth"
        "  note",
        "-----  -----------  -------------  ----  -------  ---------  ----------  -----------  -------------"
        "  ------------",
        "0 > 1  mac1 > mac2  Thunderbolt 5  en5   30 µs    6 GB/s     60 %        12 µs        5 GB/s",
        "1 > 0  mac2 > mac1  Thunderbolt 5  en4   30 µs    7 GB/s     70 %        12 µs        5.5 GB/s",
        "0 > 2  mac1 > mac3  Thunderbolt 5  en5" + 63 * " " + "not measured",
        "2 > 0  mac3 > mac1  Thunderbolt 5  en4" + 63 * " " + "not measured",
        "rank 0 - rank 2, Thunderbolt 5 (en5, en4): could not be measured: refused",
    ]


def test_html_has_the_same_and_escapes_it() -> None:
    bundle = report(link(0, 1, None, error="<no route>"))._repr_mimebundle_()
    assert bundle["text/plain"].startswith("1 link, backend ring")
    assert "&lt;no route&gt;" in bundle["text/html"]
    assert "<no route>" not in bundle["text/html"]
    assert bundle["text/html"].count("<tr>") == 3


def test_all_well_needs_no_words() -> None:
    assert report(link(0, 1, 6e9, tcp=(flow(0, 1, 6.5e9), flow(1, 0, 6.5e9)))).sentences == []


ENDS_WIFI = (LinkEnd(0, "mac1", "en0", "192.168.1.5"), LinkEnd(2, "mac3", "en0", "192.168.1.7"))


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        (
            link(0, 2, 1.1e8, ends=ENDS_WIFI, way=WIFI),
            "rank 0 - rank 2 reaches 1 % of Thunderbolt 5 (en5): it runs over Wi-Fi 6E (en0)",
        ),
        (
            link(0, 2, 1.1e7, ends=ENDS_WIFI, way=WIFI, in_use=False),
            "rank 0 - rank 2, Wi-Fi 6E (en0): 11 MB/s is 4 % of what Wi-Fi 6E has",
        ),
        (
            link(0, 1, 1.1e9),
            "rank 0 - rank 1, Thunderbolt 5 (en5, en4): 1.1 GB/s is 11 % of what Thunderbolt 5 has",
        ),
        (
            link(0, 1, 8e9, 3e9),
            "rank 0 - rank 1, Thunderbolt 5 (en5, en4): from rank 1 to rank 0 ring carries 3 GB/s,"
            " the other way 8 GB/s",
        ),
        (
            link(0, 1, 6e9, 6e9, way=Way("", "unknown"), best=None, tcp=(flow(0, 1, 1.2e10),)),
            "rank 0 - rank 1, unknown (en5, en4): from rank 0 to rank 1 ring reaches 50 % of plain TCP"
            " (6 GB/s of 12 GB/s)",
        ),
        (
            link(0, 1, 6e9, error="mac2 did not measure MLX in time"),
            "rank 0 - rank 1, Thunderbolt 5 (en5, en4): the rest of it could not be measured:"
            " mac2 did not measure MLX in time",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(measured: Link, said: str) -> None:
    assert report(measured).sentences == [said]


def test_a_wider_link_that_is_not_used_is_named() -> None:
    used, passed_over, narrow = (
        link(0, 1, 12e6, in_use=True),
        link(0, 1, 5e9, in_use=False),
        link(0, 1, 13e6, in_use=False),
    )
    said = [text for text in report(used, passed_over, narrow).sentences if "not in use" in text]
    assert len(said) == 1
    assert "carries 5 GB/s and is not in use: what is in use carries 12 MB/s" in said[0]
    assert not any("not in use" in text for text in report(passed_over).sentences)
