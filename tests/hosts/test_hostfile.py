"""MLX's hostfile: the same file serves `mlx.launch` and kernelkit, and what is wrong in it is named."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from mlx._distributed_utils import launch
from mlx._distributed_utils.common import Hostfile as MlxHostfile

from kernelkit.errors import ArgumentError
from kernelkit.hosts.hostfile import BACKENDS, Host, Hostfile, format_hostfile, parse_hostfile

RING = [{"ssh": "mac1", "ips": ["10.0.0.1"], "rdma": []}, {"ssh": "mac2", "ips": ["10.0.0.2"], "rdma": []}]
MESH = {
    "backend": "jaccl",
    "envs": ["MLX_METAL_FAST_SYNCH=1", "EMPTY="],
    "hosts": [
        {"ssh": "mac1", "ips": ["10.0.0.1"], "rdma": [None, "rdma_en2", ["rdma_en3", "rdma_en4"]]},
        {"ssh": "ann@mac2", "ips": [], "rdma": ["rdma_en2", None, "rdma_en5"]},
        {"ssh": "mac3", "ips": ["fe80::1", "10.0.0.3"], "rdma": [["rdma_en3", "rdma_en4"], "rdma_en5", None]},
    ],
}


def written(data: Any) -> str:
    """As `mlx.distributed_config` writes it."""
    return json.dumps(data, indent=4)


def cabled(*rdma: list[Any]) -> list[dict[str, Any]]:
    return [{"ssh": f"mac{i}", "ips": [f"10.0.0.{i}"], "rdma": row} for i, row in enumerate(rdma)]


def addressed(*ips: list[str]) -> list[dict[str, Any]]:
    return [{"ssh": f"mac{i}", "ips": list(row)} for i, row in enumerate(ips)]


SQUARE = ([None, "a", None, "d"], ["a", None, "b", None], [None, "b", None, "c"], ["d", None, "c", None])


def mlx_reads(text: str, folder: Path) -> Any:
    path = folder / "hosts.json"
    path.write_text(text)
    return MlxHostfile.from_file(path).to_json()


def test_an_object_is_read_field_by_field() -> None:
    hostfile = parse_hostfile(written(MESH))
    assert (hostfile.backend, hostfile.envs) == ("jaccl", ("MLX_METAL_FAST_SYNCH=1", "EMPTY="))
    assert hostfile.hosts[0] == Host("mac1", ("10.0.0.1",), (None, "rdma_en2", ("rdma_en3", "rdma_en4")))
    assert [hostfile.hosts[0].devices(j) for j in range(3)] == [(), ("rdma_en2",), ("rdma_en3", "rdma_en4")]


def test_a_list_is_hosts_and_nothing_else() -> None:
    hostfile = parse_hostfile(written(RING))
    assert hostfile == Hostfile((Host("mac1", ("10.0.0.1",)), Host("mac2", ("10.0.0.2",))))
    assert hostfile.hosts[0].devices(1) == ()


@pytest.mark.parametrize("data", [RING, MESH, {"backend": "", "envs": [], "hosts": RING}])
def test_a_file_of_mlx_comes_back_byte_for_byte(data: Any) -> None:
    assert format_hostfile(parse_hostfile(written(data))) == written(data)


def test_a_list_with_a_backend_becomes_an_object() -> None:
    hostfile = Hostfile((Host("mac1"),), backend="ring", bare=True)
    assert parse_hostfile(format_hostfile(hostfile)) == hostfile


@pytest.mark.parametrize(
    "text",
    [
        written(RING),
        written(MESH),
        '[{"ssh": "127.0.0.1"}, {"ssh": "127.0.0.1"}]',  # one machine twice; all but ssh left out
        '{"hosts": [{"ssh": "mac1", "ips": ["mac1.local"], "port": 22}], "comment": "ours"}',
        '{"hosts": [{"ssh": "mac1"}], "hosts": [{"ssh": "mac2"}]}',
        '[{"ssh": "m\\u00e4c", "rdma": [null]}]',
        '{"backend": "of tomorrow", "hosts": [{"ssh": "mac1", "rdma": [null]}]}',
    ],
)
def test_mlx_reads_the_same_before_and_after(text: str, tmp_path: Path) -> None:
    hostfile = parse_hostfile(text)
    theirs = mlx_reads(text, tmp_path)
    assert mlx_reads(format_hostfile(hostfile), tmp_path) == theirs
    assert {
        "backend": hostfile.backend,
        "envs": list(hostfile.envs),
        "hosts": [host.to_dict() for host in hostfile.hosts],
    } == theirs


def test_null_counts_as_left_out() -> None:
    text = '{"backend": null, "envs": null, "hosts": [{"ssh": "mac1", "ips": null, "rdma": null}]}'
    assert parse_hostfile(text) == Hostfile((Host("mac1"),))


def test_a_host_may_name_its_python_which_mlx_passes_over(tmp_path: Path) -> None:
    path = "/Users/ann/my env/bin/python"
    text = written([{"ssh": "mac1", "ips": [], "rdma": [], "python": path}, RING[1]])
    hostfile = parse_hostfile(text)
    assert [host.python for host in hostfile.hosts] == [path, ""]
    assert format_hostfile(hostfile) == text
    assert mlx_reads(text, tmp_path)["hosts"] == [{"ssh": "mac1", "ips": [], "rdma": []}, RING[1]]


@pytest.mark.parametrize("python", [None, ""])
def test_a_python_that_is_left_empty_is_none(python: str | None) -> None:
    hostfile = parse_hostfile(json.dumps([{"ssh": "mac1", "python": python}]))
    assert hostfile == Hostfile((Host("mac1"),))
    assert "python" not in hostfile.hosts[0].to_dict()


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (7, "top level"),
        (None, "top level"),
        ([], "hosts"),
        ({"envs": []}, "hosts"),
        ({"hosts": {"ssh": "mac1"}}, "hosts"),
        ({"hosts": RING, "backend": ["ring"]}, "backend"),
        ({"hosts": RING, "envs": "K=V"}, "envs"),
        ({"hosts": RING, "envs": ["K=V", "K V"]}, "envs[1]"),
        ({"hosts": RING, "envs": ["1K=V"]}, "envs[0]"),
        ({"hosts": RING, "envs": ["K=\0"]}, "envs[0]"),
        ({"hosts": RING, "envs": ["K=\ud800"]}, "envs[0]"),
        ({"hosts": RING, "envs": [{"K": "V"}]}, "envs[0]"),
        (["mac1"], "hosts[0]"),
        ([{"ips": []}], "hosts[0].ssh"),
        ([{"ssh": "mac1"}, {"ssh": ""}], "hosts[1].ssh"),
        ([{"ssh": "-oProxyCommand=date"}], "hosts[0].ssh"),
        ([{"ssh": "mac1 mac2"}], "hosts[0].ssh"),
        ([{"ssh": "mac1\n"}], "hosts[0].ssh"),
        ([{"ssh": "mac1", "ips": "10.0.0.1"}], "hosts[0].ips"),
        ([{"ssh": "mac1", "ips": ["10.0.0.1", 5]}], "hosts[0].ips[1]"),
        (cabled([None, "en2"], ["en2"]), "hosts[1].rdma"),
        (cabled([None, "en2"], ["en2", "en2"]), "hosts[1].rdma[1]"),
        (cabled([None, 2], ["en2", None]), "hosts[0].rdma[1]"),
        (cabled([None, ["en2", None]], ["en2", None]), "hosts[0].rdma[1][1]"),
        ([{"ssh": "mac1"}, {"ssh": "mac2", "python": 3}], "hosts[1].python"),
        ([{"ssh": "mac1", "python": ["python3"]}], "hosts[0].python"),
        ([{"ssh": "mac1", "python": "python\n3"}], "hosts[0].python"),
        ([{"ssh": "mac1", "python": "python\0"}], "hosts[0].python"),
    ],
)
def test_a_refusal_names_the_field(data: Any, field: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        parse_hostfile(json.dumps(data))
    assert re.fullmatch(rf"hostfile: {re.escape(field)}( \(\S+\))? cannot be used", caught.value.what)
    # Once its ssh name is known, the host is named as well.
    assert ("(" in caught.value.what) == bool(re.match(r"hosts\[\d\]\.(?!ssh)", field))
    assert caught.value.expected
    assert caught.value.got
    assert "mlx.distributed_config" in caught.value.cure


@pytest.mark.parametrize("text", ["", "mac1,mac2", "[", '[{"ssh": "mac1"},]', "[" * 100_000, "9" * 5_000])
def test_what_is_no_json_is_refused_with_the_place(text: str) -> None:
    with pytest.raises(ArgumentError, match="not JSON") as caught:
        parse_hostfile(text)
    assert caught.value.got


@pytest.mark.parametrize(
    ("data", "backend", "field"),
    [
        (addressed([], []), "ring", "hosts[0].ips"),
        (addressed(["10.0.0.1"], []), "ring", "hosts[1].ips"),
        (addressed(["10.0.0.1"], ["10.0.0.2", "10.0.1.2"]), "ring", "hosts[1].ips"),
        (addressed(["10.0.0.1"], ["fe80::2"]), "ring", "hosts[1].ips[0]"),
        (addressed([], ["10.0.0.2"]), "nccl", "hosts[0].ips"),
        (addressed([], ["10.0.0.2"]), "jaccl", "hosts[0].ips"),
        (addressed(["10.0.0.1"], ["10.0.0.2"]), "jaccl", "hosts[0].rdma[1]"),
        (cabled([None, "a", "b"], ["a", None, "c"], ["b", None, None]), "jaccl", "hosts[2].rdma[1]"),
        (cabled([None, "a", "b"], ["a", None, "c"], ["b", [], None]), "jaccl", "hosts[2].rdma[1]"),
        (cabled(*SQUARE), "jaccl", "hosts[0].rdma[2]"),
        (cabled(SQUARE[0], ["a", None, ["b", "B"], None], *SQUARE[2:]), "jaccl-ring", "hosts[1].rdma[2]"),
        (RING, "thunder", "backend"),
    ],
)
def test_a_backend_that_cannot_form_is_refused_by_field(data: Any, backend: str, field: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        parse_hostfile(json.dumps(data)).check(backend)
    assert re.fullmatch(rf"hostfile: {re.escape(field)}( \(\S+\))? cannot be used", caught.value.what)
    # Once its ssh name is known, the host is named as well.
    assert ("(" in caught.value.what) == bool(re.match(r"hosts\[\d\]\.(?!ssh)", field))


@pytest.mark.parametrize("backend", sorted({*BACKENDS} - {"mpi"}))  # for mpi, mlx.launch runs mpirun at once
@pytest.mark.parametrize(
    "data",
    [
        RING,
        MESH,
        cabled(*SQUARE),
        addressed([], []),
        addressed(["10.0.0.1"], []),
        addressed([], ["10.0.0.2"]),
    ],
    ids=["ring", "mesh", "square", "no address", "an address on rank 0", "an address on rank 1"],
)
def test_the_check_and_mlx_launch_agree(
    data: Any, backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = json.dumps(data)
    assert check_accepts(text, backend) == mlx_launch_accepts(text, backend, tmp_path, monkeypatch)


def check_accepts(text: str, backend: str) -> bool:
    try:
        parse_hostfile(text).check(backend)
    except ArgumentError:
        return False
    return True


def mlx_launch_accepts(text: str, backend: str, folder: Path, patch: pytest.MonkeyPatch) -> bool:
    """Whether it would start the ranks; it starts none."""
    path = folder / "hosts.json"
    path.write_text(text)
    patch.setattr(launch, "_launch_with_io", lambda kind, ranks, verbose: None)
    patch.setattr("sys.argv", ["mlx.launch", "--hostfile", str(path), "--backend", backend, "--", "true"])
    try:
        launch.main()
    except SystemExit:
        return False
    return True
