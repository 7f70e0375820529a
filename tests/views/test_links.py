"""The link matrix: what its cells and curves say, which links are marked, and its static twin."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.collections import LineCollection
from matplotlib.text import Text

from kernelkit.errors import ArgumentError
from kernelkit.hosts.linkfit import MIB, PING_BYTES, SIZES_BYTES, Sample, Skip
from kernelkit.hosts.linkreport import Flow, Link, LinkEnd, LinkReport, Way
from kernelkit.views.links import cell_of, link_matrix, scene
from kernelkit.views.links_names import short_names
from kernelkit.views.ramp import contrast, ink_on, luminance, ramp

TB5 = Way("tb5", "Thunderbolt 5", 80e9, "en5")
WIFI = Way("wifi", "Wi-Fi", 2.4e9, "en0")
LOOPBACK = Way("loopback", "loopback", None, "lo")


def flow(sender: int, receiver: int, bandwidth: float, latency_s: float = 3e-5) -> Flow:
    samples = tuple(
        Sample(size, seconds := latency_s + size / bandwidth, 9, 0.95 * seconds, 1.2 * seconds, "send")
        for size in (PING_BYTES, *SIZES_BYTES)
    )
    return Flow.measured(sender, receiver, samples, ())


def link(a: int, b: int, there: float | None, back: float | None = None, **more: Any) -> Link:
    hosts = more.pop("hosts", (f"mac{a + 1}", f"mac{b + 1}"))
    ends = (LinkEnd(a, hosts[0], "en5", "10.0.0.1"), LinkEnd(b, hosts[1], "en4", "10.0.0.2"))
    flows = (flow(a, b, there), flow(b, a, back or there)) if there else ()
    return Link(**{"ends": ends, "way": TB5, "best": TB5, "mlx": flows, **more})


def report(*links: Link) -> LinkReport:
    return LinkReport("2026-01-02T03:04:05+00:00", "jaccl", links)


MIXED = report(
    link(0, 1, 7e9, tcp=(flow(0, 1, 4e9, 2e-4), flow(1, 0, 4e9, 2e-4))),
    link(0, 1, 1e8, way=WIFI, in_use=False),
    link(0, 2, 1.1e8, way=WIFI),
    link(1, 2, 7e9, 3e9),
    link(1, 3, None, error="mac4 did not answer within 5 s"),
)


def marked(drawn: dict[str, Any]) -> list[tuple[int, int]]:
    return [
        (cell["sender"], cell["receiver"])
        for cell in drawn["cells"]
        if cell["figures"].get("mlx", {}).get("bandwidth", {}).get("low")
    ]


def texts(picture: Any) -> list[str]:
    return [text.get_text() for text in picture.figure().findobj(Text)]


def test_every_direction_has_a_cell_with_its_figures() -> None:
    drawn = scene(MIXED)
    assert [entry["rank"] for entry in drawn["ranks"]] == [0, 1, 2, 3]
    assert len(drawn["cells"]) == 12
    assert drawn["scales"]["bandwidth"]["unit"] == "GB/s"
    assert drawn["scales"]["latency"]["unit"] == "µs"
    cell = cell_of(drawn, 0, 1)
    assert cell is not None
    assert cell["figures"]["mlx"]["bandwidth"]["text"] == "7.00"
    assert cell["figures"]["mlx"]["latency"]["text"] == "30.0"
    assert cell["figures"]["tcp"]["bandwidth"]["text"] == "4.00"
    assert cell_of(drawn, 2, 0)["figures"]["mlx"]["bandwidth"]["text"] == "0.110"  # type: ignore[index]
    assert cell_of(drawn, 0, 3)["figures"] == {}  # type: ignore[index]
    assert cell_of(drawn, 0, 0) is None


def test_bright_is_fast_in_both_measures_and_by_both_means() -> None:
    drawn = scene(MIXED)
    fast, slow = cell_of(drawn, 0, 1)["figures"], cell_of(drawn, 0, 2)["figures"]  # type: ignore[index]
    assert fast["mlx"]["bandwidth"]["shade"] == 1
    assert slow["mlx"]["bandwidth"]["shade"] == 0
    assert fast["mlx"]["latency"]["shade"] == 1
    assert fast["tcp"]["latency"]["shade"] == 0
    assert [tick["shade"] for tick in drawn["scales"]["bandwidth"]["ticks"]] == [0, 0.5, 1]
    assert [tick["shade"] for tick in drawn["scales"]["latency"]["ticks"]] == [1, 0.5, 0]


def test_the_noise_of_equal_links_is_no_finding() -> None:
    alike = report(link(0, 1, 6.0e9, 6.1e9), link(0, 2, 5.9e9), link(1, 2, 6.2e9))
    shades = [cell["figures"]["mlx"]["bandwidth"]["shade"] for cell in scene(alike)["cells"]]
    assert min(shades) > 0.9


def test_what_the_report_says_marks_the_cells_that_it_is_said_of() -> None:
    drawn = scene(MIXED)
    # The Wi-Fi that joins 0 and 1 is weak and in nobody's way; of a lopsided link the slow way alone counts.
    assert marked(drawn) == [(0, 2), (2, 0), (2, 1)]
    assert "it runs over Wi-Fi" in cell_of(drawn, 0, 2)["words"][0]  # type: ignore[index]
    assert any("Wi-Fi (en5, en4): 100 MB/s" in words for words in cell_of(drawn, 0, 1)["words"])  # type: ignore[index]
    assert cell_of(drawn, 1, 2)["words"] == []  # type: ignore[index]
    assert "did not answer" in cell_of(drawn, 3, 1)["words"][0]  # type: ignore[index]
    assert drawn["sentences"] == MIXED.sentences


def test_a_wider_link_that_is_passed_over_marks_its_cells() -> None:
    taken = link(0, 1, 1.2e9, way=Way("", "unknown"), best=None)
    assert marked(scene(report(link(0, 1, 5e9, in_use=False), taken))) == [(0, 1), (1, 0)]


def test_only_the_figure_that_the_sentence_is_about_is_marked() -> None:
    quick = (flow(0, 1, 9e9, 1e-6), flow(1, 0, 9e9, 1e-6))
    drawn = scene(report(link(0, 1, 1e8, tcp=quick), link(0, 2, 7e9)), "latency")
    assert marked(drawn) == [(0, 1), (1, 0)]
    figures = cell_of(drawn, 0, 1)["figures"]  # type: ignore[index]
    assert [
        (means, measure)
        for means in figures
        for measure in figures[means]
        if "low" in figures[means][measure]
    ] == [("mlx", "bandwidth")]
    assert link_matrix(report(link(0, 1, 1e8)), "latency").alt.endswith("Of 2 directions 2 of low bandwidth.")


def test_in_the_twin_one_heat_map_has_the_marks() -> None:
    drawn = [axes for axes in link_matrix(MIXED).figure().axes if "over MLX" in axes.get_title(loc="left")]
    assert [sum(line.get_marker() == "v" for line in axes.lines) for axes in drawn] == [3, 0]


def test_what_was_measured_in_part_is_not_low() -> None:
    assert marked(scene(report(link(0, 1, 7e9, error="mac2 did not measure the rest")))) == []


@pytest.mark.parametrize("wrong", ["links.json", None, {}])
def test_what_is_no_report_is_refused(wrong: Any) -> None:
    with pytest.raises(ArgumentError, match=r"LinkReport.load\(path\)"):
        link_matrix(wrong)


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["studio01.local", "studio02.local", "studio13.local"], ["studio01", "studio02", "studio13"]),
        (["computer-room-1", "computer-room-12"], ["computer…1", "compute…12"]),
        (["alpha-host-long-1", "alpha-host-long-2", "b"], ["alpha…ng-1", "alpha…ng-2", "b"]),
        (["192.168.100.1", "192.168.101.1"], ["192.…100.1", "192.…101.1"]),
        (["a-name-of-all.local"] * 2, ["a-nam…ocal"] * 2),
    ],
)
def test_of_names_that_are_alike_the_difference_stays(names: list[str], short: list[str]) -> None:
    cut = short_names(names, lambda text: len(text) <= 10)
    assert all(len(text) <= 10 for text in cut)
    assert len(set(cut)) == len(set(names))
    assert cut == short


def test_the_twin_tells_hosts_of_one_domain_apart() -> None:
    hosts = [f"lab-studio{i:02}.local" for i in range(3)]
    pairs = [(0, 1), (0, 2), (1, 2)]
    alike = report(*(link(a, b, 7e9, hosts=(hosts[a], hosts[b])) for a, b in pairs))
    assert {"lab-studio00", "lab-studio01", "lab-studio02"} <= set(texts(link_matrix(alike)))


def test_all_well_marks_nothing() -> None:
    assert marked(scene(report(link(0, 1, 7e9), link(0, 2, 7.1e9), link(1, 2, 6.9e9)))) == []


def test_of_two_hosts_one_pair_of_ranks_was_measured() -> None:
    within = link(0, 1, 9e9, way=LOOPBACK, best=None, hosts=("mac1", "mac1"))
    drawn = scene(report(within, link(0, 2, 6e9, hosts=("mac1", "mac2"))))
    said = cell_of(drawn, 2, 1)["words"]  # type: ignore[index]
    assert said == ["between mac2 and mac1, rank 0 and rank 2 were measured: the link is the same"]
    assert not cell_of(drawn, 2, 1)["figures"]  # type: ignore[index]


def test_flows_carry_the_points_and_the_two_figures_of_their_line() -> None:
    drawn = scene(MIXED)
    one = next(flow for flow in drawn["flows"] if flow["by"] == "tcp" and flow["sender"] == 0)
    assert one["formula"] == "200 µs + size / 4 GB/s"
    assert one["latency_s"] == pytest.approx(2e-4)
    assert [sample[0] for sample in one["samples"]] == [PING_BYTES, *SIZES_BYTES]
    for size, seconds, low_s, p90_s in one["samples"]:
        assert seconds == pytest.approx(2e-4 + size / 4e9, rel=1e-3)
        assert low_s < seconds < p90_s
    assert drawn["links"][0]["nominal_bytes_per_s"] == 10e9
    assert drawn["links"][0]["interfaces"] == ["en5", "en4"]
    assert drawn["slowest"] in ([0, 2], [2, 0])
    assert drawn["fastest"] in ([0, 1], [1, 0], [1, 2])


def test_sizes_that_were_left_out_come_with_their_reason() -> None:
    cut = replace(flow(0, 1, 1e7), skipped=(Skip(64 * MIB, "it would take 6.7 s"),))
    drawn = scene(report(link(0, 1, 1e7, mlx=(cut,))))
    assert drawn["flows"][0]["skipped"] == [[64 * MIB, "it would take 6.7 s"]]


def test_it_stays_small_and_is_json() -> None:
    pairs = [(a, b) for a in range(8) for b in range(a + 1, 8)]
    both = [link(a, b, 6e9, tcp=(flow(a, b, 4e9), flow(b, a, 4e9))) for a, b in pairs]
    stored = json.dumps(scene(report(*both)))
    assert len(stored) < 120_000
    assert json.loads(stored) == scene(report(*both))


def test_the_text_is_the_table_of_the_report() -> None:
    assert link_matrix(MIXED).text == repr(MIXED)
    assert repr(link_matrix(MIXED)) == repr(MIXED)


def test_the_alternative_names_the_ends_and_what_is_marked_or_missing() -> None:
    alt = link_matrix(MIXED).alt
    assert alt.startswith("Heat map of bandwidth between 4 ranks: 0.110 GB/s from rank ")
    assert "7.00 GB/s from rank" in alt
    assert alt.endswith("Of 12 directions 3 marked as low and 6 not measured.")
    assert "µs" in link_matrix(MIXED, "latency").alt


def test_what_it_cannot_show_is_refused() -> None:
    with pytest.raises(ArgumentError, match="bandwidth or latency"):
        link_matrix(MIXED, "colour")


def test_the_twin_shows_the_figures_units_curves_and_sentences() -> None:
    shown = texts(link_matrix(MIXED))
    for expected in (
        "7.00",
        "0.110",
        "30.0",
        "Bandwidth, GB/s, over MLX (jaccl)",
        "Latency, µs, over MLX (jaccl)",
    ):
        assert expected in shown
    assert any(text.startswith("slowest: rank") for text in shown)
    assert any(text.startswith("fastest: rank") for text in shown)
    assert any("30 µs + size / 7 GB/s" in text for text in shown)
    assert any("nominal, Thunderbolt 5: size / 10 GB/s" in text for text in shown)
    assert any("did not answer within 5 s" in text for text in shown)
    assert any("hatched: not measured" in text and "low, see below" in text for text in shown)


def test_the_curves_have_their_bars() -> None:
    curves = [axes for axes in link_matrix(MIXED).figure().axes if axes.get_xscale() == "log"]
    assert len(curves) == 2
    for axes in curves:
        bars = [bar for bar in axes.collections if isinstance(bar, LineCollection)]
        assert all(len(bar.get_segments()) == 1 + len(SIZES_BYTES) for bar in bars)
        assert bars


@pytest.mark.parametrize("show", ["bandwidth", "latency"])
@pytest.mark.parametrize(
    "odd",
    [
        report(),
        report(link(0, 1, None, error="refused")),
        report(link(0, 1, 6e9, mlx=(Flow(0, 1, 3e-5, None, (Sample(4, 3e-5, 9, 3e-5, 3e-5, "send"),)),))),
        report(link(0, 1, None, tcp=(flow(0, 1, 4e9),))),
        replace(report(link(0, 5, 1e-3)), time="yesterday"),
    ],
    ids=["nothing", "failed", "pings only", "TCP only", "odd ranks and times"],
)
def test_what_is_half_measured_is_drawn_as_well(odd: LinkReport, show: str) -> None:
    picture = link_matrix(odd, show)
    assert picture.scene["title"] in " ".join(texts(picture))
    assert picture.alt


def test_names_are_names_and_no_formulae() -> None:
    picture = link_matrix(report(link(0, 1, 6e9, hosts=("$\\frac$", "a_$x$"))))
    assert picture.png().startswith(b"\x89PNG")
    assert any("$\\frac$ → a_$x$" in text for text in texts(picture))


def test_the_same_scale_as_the_page() -> None:
    expected = json.loads((Path(__file__).parent / "js" / "ramp.json").read_text(encoding="utf-8"))
    assert {shade: ramp(float(shade)) for shade in expected} == expected


@given(st.floats(0, 1))
def test_figures_can_be_read_on_every_colour(shade: float) -> None:
    colour = ramp(shade)
    assert contrast(luminance(colour), luminance(ink_on(colour))) >= 4.5


# Machado, Oliveira and Fernandes, 2009: full protanopia, deuteranopia and tritanopia, in linear RGB.
_SIGHT = {
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
    "none of colours": ((0.2126, 0.7152, 0.0722),) * 3,
}


@pytest.mark.parametrize("sight", _SIGHT)
def test_the_scale_rises_in_brightness_whatever_the_colour_vision(sight: str) -> None:
    seen = [_brightness(ramp(i / 20), _SIGHT[sight]) for i in range(21)]
    assert all(later > earlier * 1.02 for earlier, later in pairwise(seen))
    assert contrast(seen[0], seen[-1]) > 9


def _brightness(colour: str, sight: Any) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    red, green, blue = (
        sum(weight * value for weight, value in zip(row, linear, strict=True)) for row in sight
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
