"""A model's files on several hosts, as the notebook compares them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from kernelkit.errors import ModelNotFoundError
from kernelkit.model.files import fetch_wanted, find_files
from tests.model.operators import FakeOperator

WEIGHTS = {"model-1.safetensors": 1000, "model-2.safetensors": 2000}
DIGESTS = {"config.json": "c", "tokenizer.json": "t"}


def found(folder: str = "/models/m", **changes: Any) -> dict[str, Any]:
    base = {"folder": folder, "kind": "folder", "sizes": WEIGHTS, "lacking": [], "digests": DIGESTS}
    return base | changes


def operator(*by_rank: tuple[str, Mapping[str, Any]], wanted: Mapping[int, list[str]] | None = None) -> Any:
    def answer(rank: int, name: str, arguments: Mapping[str, Any]) -> Any:
        if name == "find_files":
            return by_rank[rank][1]
        return (wanted or {})[rank] if name == "wanted_files" else None

    return FakeOperator([host for host, _ in by_rank], answer)


def error(what: str) -> dict[str, Any]:
    return {"error": ModelNotFoundError(what, got="no such folder").to_dict()}


def ignore(rank: int, event: dict[str, Any]) -> None:
    """Progress is not looked at here."""


def test_one_rank_of_each_host_looks_and_each_rank_gets_its_hosts_folder() -> None:
    cluster = operator(("a", found("/a")), ("b", found("/b")), ("a", {}), ("b", {}))
    files = find_files(cluster, "~/m", ignore)
    assert cluster.asked == [(rank, "find_files", {"name": "~/m"}) for rank in (0, 1)]
    assert files.folders == {0: "/a", 1: "/b", 2: "/a", 3: "/b"}
    assert fetch_wanted(cluster, files, ignore) is False


def test_on_one_host_alone_its_own_error_is_told() -> None:
    with pytest.raises(ModelNotFoundError, match="there is no model 'x'"):
        find_files(operator(("a", error("there is no model 'x'")), ("a", {})), "x", ignore)
    everywhere = error("there is no model 'x'")
    with pytest.raises(ModelNotFoundError, match="there is no model 'x'"):
        find_files(operator(("a", everywhere), ("b", everywhere)), "x", ignore)


@pytest.mark.parametrize(
    ("lacking", "cure"), [("b", "%model push m"), ("a", "%model push m --from b"), ("ab", "")]
)
def test_a_host_that_lacks_it_is_named_with_the_cure(lacking: str, cure: str) -> None:
    by_host = [(host, error(f"none on {host}") if host in lacking else found()) for host in "ab"]
    with pytest.raises(ModelNotFoundError) as caught:
        find_files(operator(*by_host), "m", ignore)
    assert caught.value.cure == cure
    assert all(f"{host}: none on {host}" in caught.value.got for host in lacking)
    assert ("is on none" in caught.value.what) == (lacking == "ab")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"sizes": {**WEIGHTS, "model-2.safetensors": 1999}},
            "model-2.safetensors has 1999 bytes (2 KB) on b",
        ),
        ({"sizes": {"model-1.safetensors": 1000}}, "b has no model-2.safetensors"),
        ({"sizes": {**WEIGHTS, "model.safetensors": 1}}, "a has no model.safetensors, b has"),
        ({"digests": {**DIGESTS, "config.json": "other"}}, "config.json on b is not that of a"),
        ({"digests": {"config.json": "c"}}, "b has no tokenizer.json"),
        ({"digests": {**DIGESTS, "chat_template.jinja": "j"}}, "a has no chat_template.jinja"),
    ],
)
def test_hosts_that_have_different_files(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ModelNotFoundError, match="different files of m") as caught:
        find_files(operator(("a", found()), ("b", found(**changes))), "m", ignore)
    assert told in caught.value.got
    assert caught.value.got.count("\n") == 1
    assert "%model push m" in caught.value.cure


def test_hosts_whose_kernelkits_bring_different_models() -> None:
    by_host = [(host, found(kind="austen", digests={"config.json": host})) for host in "ab"]
    with pytest.raises(ModelNotFoundError, match="different files of austen") as caught:
        find_files(operator(*by_host), "austen", ignore)
    assert "the same kernelkit" in caught.value.cure


def test_each_host_downloads_what_its_own_ranks_hold() -> None:
    files = ["model-1.safetensors", "model-2.safetensors"]
    hub = {"kind": "hub", "lacking": files}
    cluster = operator(
        ("a", found("/a", **hub)),
        ("b", found("/b", **hub)),
        ("a", {}),
        ("c", found("/c")),
        wanted={0: files[:1], 1: files[1:], 2: files, 3: []},
    )
    assert fetch_wanted(cluster, find_files(cluster, "org/m", ignore), ignore) is True
    fetched = [(rank, asked) for rank, name, asked in cluster.asked if name == "fetch_files"]
    assert fetched == [
        (0, {"name": "org/m", "path": "/a", "files": files}),
        (1, {"name": "org/m", "path": "/b", "files": files[1:]}),
    ]
    assert [rank for rank, name, _ in cluster.asked if name == "forget_prepared"] == [0, 1, 2, 3]
