"""The memory picture: the formula that the page follows, what is said to lack, and the static twin."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from kernelkit.errors import ArgumentError
from kernelkit.sharding.memory import GPU, MACHINE, METAL, MemoryMap, RankMemory
from kernelkit.units import format_bytes
from kernelkit.views.memory import lacking, memory, need_bytes, rank_names, scene
from kernelkit.views.palette import COLOURS
from tests.views.samples import memory_map

GB = 10**9


def rank(number: int, **more: Any) -> RankMemory:
    fields = {
        "host": f"mac{number + 1}",
        "weight_bytes": 10 * GB,
        "kv_bytes_per_token": 100_000,
        "used_bytes": 6 * GB,
        "limit_bytes": 48 * GB,
        "limit": METAL,
    }
    return RankMemory(rank=number, **{**fields, **more})


APART = MemoryMap("llama", (rank(0), rank(1, limit_bytes=17 * GB), rank(2)), 131_072)
TOGETHER = MemoryMap(
    "llama", tuple(rank(i, host="mac1", shared_by=2, limit=MACHINE) for i in range(2)), 131_072, batch=4
)
UNKNOWN = MemoryMap(
    "deepseek", (rank(0, kv_bytes_per_token=None, used_bytes=None),), 4096, kv_words="it caches latents"
)


@st.composite
def maps(draw: st.DrawFn) -> MemoryMap:
    """Ranks on hosts of one or of several, some over their limit."""
    sizes = st.integers(0, 60 * GB)
    ranks: list[RankMemory] = []
    for host in range(draw(st.integers(1, 3))):
        shared = draw(st.integers(1, 3))
        limit_bytes, used = draw(st.integers(GB, 100 * GB)), draw(st.none() | sizes)
        ranks += [
            rank(
                len(ranks) + i,
                host=f"mac{host}",
                weight_bytes=draw(sizes),
                kv_bytes_per_token=draw(st.integers(0, 10**6)),
                windows=draw(st.lists(st.tuples(st.integers(1, 10**5), sizes), max_size=2).map(tuple)),
                state_bytes=draw(sizes),
                used_bytes=used,
                limit_bytes=limit_bytes,
                shared_by=shared,
            )
            for i in range(shared)
        ]
    return MemoryMap("any", tuple(ranks), draw(st.none() | st.integers(1, 10**6)), draw(st.integers(1, 4)))


def texts(picture: Any) -> list[str]:
    return [text.get_text() for text in picture.figure().findobj(Text)]


@given(maps(), st.integers(0, 10**6))
def test_the_page_finds_free_what_the_map_finds_free(any_map: MemoryMap, context: int) -> None:
    drawn = scene(any_map, context)
    told = {}
    for group in drawn["groups"]:
        for entry in group["ranks"]:
            told[entry["rank"]] = group["limit_bytes"] - need_bytes(group, context)
    assert told == {r.rank: any_map.free_bytes(r.rank, context) for r in any_map.ranks}
    assert bool(lacking(drawn, context)) == (min(told.values()) < 0)


@given(maps(), st.integers(0, 10**6))
def test_the_largest_context_fits_and_the_next_does_not(any_map: MemoryMap, context: int) -> None:
    drawn = scene(any_map, context)
    largest = drawn["largest_context"]
    assert context <= drawn["longest_context"]
    if largest is None:
        assert not lacking(drawn, 10**9)
    elif not lacking(drawn, 0):
        assert not lacking(drawn, largest)
        assert largest == any_map.max_context or lacking(drawn, largest + 1)
        assert f"{largest:,}" in drawn["fits_words"]
    else:
        assert drawn["fits_words"] == "The weights alone do not fit."


@given(maps())
def test_every_rank_stands_in_one_group(any_map: MemoryMap) -> None:
    numbers = [entry["rank"] for group in scene(any_map)["groups"] for entry in group["ranks"]]
    assert sorted(numbers) == [r.rank for r in any_map.ranks]


def test_ranks_that_share_a_limit_are_one_group() -> None:
    (group,) = scene(TOGETHER)["groups"]
    assert [entry["rank"] for entry in group["ranks"]] == [0, 1]
    assert group["limit_bytes"] == 48 * GB
    # All four sequences: the page multiplies by the context alone.
    assert group["ranks"][0]["kv_bytes_per_token"] == 400_000
    gpus = MemoryMap("llama", tuple(rank(i, host="dgx", limit=GPU) for i in range(2)), None)
    assert [len(group["ranks"]) for group in scene(gpus)["groups"]] == [1, 1]


def test_what_does_not_fit_is_said() -> None:
    assert lacking(scene(APART), 4096) == []
    assert lacking(scene(APART), 131_072) == ["rank 1 lacks 12.1 GB"]
    assert lacking(scene(TOGETHER), 131_072) == ["ranks 0 and 1 together lack 82.9 GB"]


def test_what_fits_is_said_with_what_ends_it() -> None:
    assert scene(APART)["fits_words"] == "A context of up to 10,000 tokens fits: then rank 1 is full."
    assert scene(TOGETHER)["fits_words"] == (
        "A context of up to 27,500 tokens fits in each of 4 sequences: then ranks 0 and 1 are full."
    )
    roomy = MemoryMap("llama", (rank(0),), 8192)
    assert scene(roomy)["fits_words"] == "The model's whole context of 8,192 tokens fits."


def test_the_text_is_a_table_for_one_context() -> None:
    assert memory(APART, 16_384).text.splitlines() == [
        "Memory of llama on 3 ranks",
        "rank  host  weights  KV at 16,384 tokens  used by others  free     limit  which is",
        "----  ----  -------  -------------------  --------------  -------  -----  " + 31 * "-",
        "0     mac1  10 GB    1.64 GB              6 GB            30.4 GB  48 GB  " + METAL,
        "1     mac2  10 GB    1.64 GB              6 GB            -638 MB  17 GB  " + METAL,
        "2     mac3  10 GB    1.64 GB              6 GB            30.4 GB  48 GB  " + METAL,
        "A context of up to 10,000 tokens fits: then rank 1 is full.",
        "rank 1 lacks 638 MB",
    ]


def test_a_cache_that_is_not_known_has_no_slider_and_says_why() -> None:
    drawn = scene(UNKNOWN)
    assert drawn["kv_known"] is False
    assert drawn["largest_context"] is None
    picture = memory(UNKNOWN)
    assert "KV cache not known: it caches latents" in picture.text
    assert "free before KV" in picture.text
    assert "?" in picture.text
    assert "KV cache not known: it caches latents" in texts(picture)
    assert len(picture.figure().axes) == 1


def test_the_alternative_says_what_lacks() -> None:
    assert "rank 1 lacks 638 MB" in memory(APART, 16_384).alt
    assert "all fits" in memory(APART, 4096).alt


def test_the_scene_is_json() -> None:
    assert json.loads(json.dumps(scene(TOGETHER))) == scene(TOGETHER)


@pytest.mark.parametrize("wrong", [-1, "x", 1.5, True, 10**9 + 1])
def test_a_context_that_is_no_number_of_tokens_is_refused(wrong: Any) -> None:
    with pytest.raises(ArgumentError, match="expected: an integer from 0 to 1,000,000,000") as caught:
        memory(APART, context=wrong)
    assert caught.value.got == repr(wrong)


@pytest.mark.parametrize("wrong", ["memory.json", None, object()])
def test_what_is_no_map_is_refused_with_the_cure(wrong: Any) -> None:
    with pytest.raises(ArgumentError, match=r"cure: take model\.memory"):
        memory(wrong)


def test_beyond_what_the_model_was_made_for_is_said() -> None:
    roomy = MemoryMap("llama", (rank(0),), 131_072)
    said = "beyond the model's 131,072 tokens"
    picture = memory(roomy, 200_000)
    assert f"all fits, but {said}" in picture.alt
    assert picture.text.splitlines()[-1] == said
    assert said in texts(picture)
    at_most = memory(roomy, 131_072)
    assert "beyond" not in at_most.alt + at_most.text


def test_the_twin_tells_hosts_of_one_domain_apart() -> None:
    hosts = [f"computing-studio-{i:02}.local" for i in range(3)]
    shown = texts(memory(MemoryMap("llama", tuple(rank(i, host=hosts[i]) for i in range(3)), 8192)))
    assert {"00", "01", "02"} <= {text[-2:] for text in shown if text.startswith("comp")}


def test_a_slider_without_a_known_end_reaches_beyond_what_fits() -> None:
    endless = MemoryMap("llama", (rank(0),), None)
    drawn = scene(endless, 100)
    assert drawn["longest_context"] == 2**20 > 2 * drawn["largest_context"]


def test_ranks_are_named_shortly() -> None:
    named = [rank_names(ranks) for ranks in ([2], [0, 1], [0, 2], [0, 1, 2, 3, 6], [0, 1, 2, 4, 5, 7, 8, 9])]
    assert named == ["rank 2", "ranks 0 and 1", "ranks 0 and 2", "ranks 0-3 and 6", "ranks 0-2, 4, 5 and 7-9"]


def test_the_twin_shows_the_same_figures() -> None:
    shown = texts(memory(APART, 16_384))
    for expected in ("10 GB", "1.64 GB", "6 GB", "30.4 GB", "limit 48 GB", "limit 17 GB", "lacks 638 MB"):
        assert expected in shown
    assert "Memory of llama on 3 ranks, context 16,384 tokens" in shown
    assert "rank 1 lacks 638 MB" in shown
    assert "largest that fits: 10,000" in shown
    assert f"limit: {METAL}" in shown
    assert f"limit {format_bytes(48 * GB)}, shared by ranks 0 and 1" in texts(memory(TOGETHER))


def test_in_the_twin_what_is_over_the_limit_is_hatched_and_nothing_else() -> None:
    def hatched(context: int) -> list[tuple[float, float]]:
        patches = memory(APART, context).figure().axes[0].findobj(Rectangle)
        over = [patch for patch in patches if isinstance(patch, Rectangle) and patch.get_hatch()]
        return [(patch.get_x(), patch.get_width()) for patch in over]

    assert hatched(4096) == []
    assert hatched(16_384) == [(17 * GB, pytest.approx(638.4e6))]


def test_the_chart_of_free_memory_begins_at_nothing() -> None:
    chart = memory(TOGETHER).figure().axes[1]
    assert chart.get_ylim()[0] < 0
    assert memory(MemoryMap("llama", (rank(0),), 8192)).figure().axes[1].get_ylim()[0] == 0
    (label,) = chart.get_legend_handles_labels()[1]
    assert label == "ranks 0 and 1"


@pytest.mark.parametrize("count", [1, 2, 8])
def test_planned_models_are_drawn(count: int) -> None:
    picture = memory(memory_map(count))
    assert picture.png().startswith(b"\x89PNG")
    assert picture.scene["kv_known"]
    assert len(picture.scene["groups"]) == count


def test_names_are_names_and_no_formulae() -> None:
    odd = MemoryMap("$\\frac$", (rank(0, host="a_$\\x$"),), 8192)
    assert memory(odd).png().startswith(b"\x89PNG")


def test_colours_are_of_the_palette() -> None:
    bars = memory(APART).figure().axes[0].findobj(Rectangle)
    faces = {patch.get_facecolor()[:3] for patch in bars if isinstance(patch, Rectangle) and patch.get_fill()}
    wanted = {
        tuple(int(COLOURS[name][i : i + 2], 16) / 255 for i in (1, 3, 5))
        for name in ("blue", "orange", "grey")
    }
    assert wanted <= faces
