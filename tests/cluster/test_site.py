"""Where ranks are to run: what the arguments mean together, and what is found where there are none."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kernelkit import connect
from kernelkit.cluster.site import FOUND, VARIABLE, Site, find_site
from kernelkit.errors import ArgumentError, HostError
from kernelkit.hosts.hostfile import BACKENDS, Host

HERE = "127.0.0.1"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is to be found unless the test puts it there."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv(VARIABLE, raising=False)
    return folder


def write(path: Path, *names: str, **more: Any) -> Path:
    hosts = [{"ssh": name, "ips": [f"10.0.0.{number + 1}"]} for number, name in enumerate(names)]
    path.write_text(json.dumps({"hosts": hosts, **more}))
    return path


# -- which of them counts -------------------------------------------------------------------------


def test_without_anything_there_are_two_local_ranks() -> None:
    site = find_site()
    assert site.hostfile.hosts == (Host(HERE, (HERE,)),) * 2
    assert (site.backend, site.source, site.is_local) == ("auto", "this machine", True)


def test_a_number_is_that_many_local_ranks_whatever_could_be_found(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(empty_folder / FOUND, "mac1")
    monkeypatch.setenv(VARIABLE, str(write(empty_folder / "other.json", "mac2")))
    site = find_site(3)
    assert (site.world_size, site.is_local) == (3, True)


def test_a_hostfile_goes_before_what_could_be_found(empty_folder: Path, tmp_path: Path) -> None:
    write(empty_folder / FOUND, "mac1")
    site = find_site(hostfile=write(tmp_path / "mine.json", "mac2", "mac3"))
    assert site.by_rank == ["mac2", "mac3"]
    assert site.source == str(tmp_path / "mine.json")


def test_hosts_go_before_what_could_be_found(empty_folder: Path) -> None:
    write(empty_folder / FOUND, "mac1")
    assert find_site(hosts="mac2").by_rank == ["mac2"]


def test_hosts_json_in_this_folder_is_found(empty_folder: Path) -> None:
    write(empty_folder / FOUND, "mac1", "mac2")
    site = find_site()
    assert (site.by_rank, site.source) == (["mac1", "mac2"], FOUND)


def test_the_variables_hostfile_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "cluster.json", "mac1")
    monkeypatch.setenv(VARIABLE, str(path))
    assert (find_site().by_rank, find_site().source) == (["mac1"], str(path))


def test_hosts_json_goes_before_the_variable(
    empty_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(empty_folder / FOUND, "mac1")
    monkeypatch.setenv(VARIABLE, str(write(tmp_path / "cluster.json", "mac2")))
    assert find_site().by_rank == ["mac1"]


def test_an_empty_variable_and_a_folder_of_that_name_count_as_none(
    empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (empty_folder / FOUND).mkdir()
    monkeypatch.setenv(VARIABLE, "")
    assert find_site().source == "this machine"


@pytest.mark.parametrize("given", [(1, "x", None), (1, None, "a"), (None, "x", ["a"]), (2, "x", "a")])
def test_where_to_run_is_said_once(given: tuple[Any, Any, Any]) -> None:
    with pytest.raises(ArgumentError, match="where to run is said twice") as caught:
        find_site(*given)
    words = ("a number of ranks", "a hostfile", "hosts")
    assert caught.value.got == " and ".join(w for w, g in zip(words, given, strict=True) if g is not None)


@pytest.mark.parametrize("backend", ["auto", *BACKENDS])
@pytest.mark.parametrize("where", [{"world_size": 2}, {"hosts": "a"}, {"hostfile": "h.json"}, {}], ids=str)
def test_the_backend_is_kept_wherever_the_ranks_run(
    where: dict[str, Any], backend: str, empty_folder: Path
) -> None:
    write(empty_folder / "h.json", "mac1", backend="ring")
    assert find_site(**where, backend=backend).backend == backend


@pytest.mark.parametrize("where", [{"world_size": 2}, {"hosts": "a"}, {"hostfile": "missing"}, {}], ids=str)
def test_a_backend_that_mlx_does_not_have_is_refused_first(where: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="MLX has no such backend") as caught:
        find_site(**where, backend="thunder")
    assert caught.value.got == "'thunder'"
    assert "jaccl-ring" in caught.value.expected


@pytest.mark.parametrize("where", [{"world_size": 2}, {}], ids=str)
def test_a_python_without_other_hosts_is_not_dropped_in_silence(where: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError) as caught:
        find_site(**where, python="/opt/python")
    assert "python" in str(caught.value)


# -- a hostfile -----------------------------------------------------------------------------------


def test_a_hostfile_of_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "h.json", "mac1")
    assert find_site(hostfile="~/h.json").by_rank == ["mac1"]
    assert find_site(hostfile="~/h.json").source == str(tmp_path / "h.json")


@pytest.mark.parametrize("name", ["nowhere.json", "folder", "latin1.json", "a\0b", "~nosuchuser/h.json"])
def test_a_hostfile_that_cannot_be_read_is_named(name: str, empty_folder: Path) -> None:
    (empty_folder / "folder").mkdir()
    (empty_folder / "latin1.json").write_bytes('[{"ssh": "mäc"}]'.encode("latin-1"))
    with pytest.raises(ArgumentError) as caught:
        find_site(hostfile=name)
    assert name in caught.value.what
    assert caught.value.got
    assert "%cluster discover" in caught.value.cure


def test_a_variable_that_leads_nowhere_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user has asked for no file, and may not know of the variable any more."""
    monkeypatch.setenv(VARIABLE, "/nowhere/hosts.json")
    with pytest.raises(ArgumentError, match=r"/nowhere/hosts\.json") as caught:
        find_site()
    assert VARIABLE in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("mac1, mac2", ["not JSON"]),
        ('[{"ssh": "mac1"}, {"ssh": ""}]', ["hosts[1].ssh"]),
        ('{"hosts": [{"ssh": "a", "ips": [7]}]}', ["hosts[0].ips[0]", "7"]),
        ('{"hosts": []}', ["hosts", "at least one host"]),
        ('[{"ssh": "mac1", "python": ["python3"]}]', ["hosts[0].python"]),
    ],
)
def test_what_is_wrong_in_a_hostfile_is_told_with_file_and_field(
    text: str, words: list[str], empty_folder: Path
) -> None:
    (empty_folder / FOUND).write_text(text)
    with pytest.raises(ArgumentError) as caught:
        find_site()
    assert caught.value.what.startswith(f"{FOUND}: ")
    assert all(word in str(caught.value) for word in words)


def test_a_hosts_own_python_goes_before_the_one_for_all(empty_folder: Path) -> None:
    entries = [{"ssh": "a", "python": "/opt/a"}, {"ssh": "b"}, {"ssh": "c", "python": ""}]
    (empty_folder / FOUND).write_text(json.dumps(entries))
    assert find_site().pythons == {"a": "/opt/a"}
    assert find_site(python="/opt/all").pythons == {"a": "/opt/a", "b": "/opt/all", "c": "/opt/all"}


def test_one_host_has_one_python(empty_folder: Path) -> None:
    """All of its ranks come from one agent; a second Python could only be dropped in silence."""
    entries = [{"ssh": "a", "python": "/opt/1"}, {"ssh": "a", "python": "/opt/2"}]
    (empty_folder / FOUND).write_text(json.dumps(entries))
    with pytest.raises(ArgumentError) as caught:
        find_site()
    assert "python" in str(caught.value)


# -- hosts by name --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        ("mac1", [("mac1", ())]),
        ("mac1,ann@mac2", [("mac1", ()), ("ann@mac2", ())]),
        (["mac1", "mac2.local"], [("mac1", ()), ("mac2.local", ())]),
        (("10.0.0.1", "10.0.0.2"), [("10.0.0.1", ("10.0.0.1",)), ("10.0.0.2", ("10.0.0.2",))]),
        ("mac1,10.0.0.2", [("mac1", ()), ("10.0.0.2", ("10.0.0.2",))]),
        ("ann@10.0.0.1", [("ann@10.0.0.1", ())]),
        ("fe80::1", [("fe80::1", ())]),  # ssh takes it; MLX's ring could not
        ("mac1,mac1", [("mac1", ()), ("mac1", ())]),
        ("mac1, mac2", [("mac1", ()), ("mac2", ())]),
    ],
)
def test_names_are_for_ssh_and_addresses_for_mlx_too(
    hosts: str | Sequence[str], expected: list[tuple[str, tuple[str, ...]]]
) -> None:
    site = find_site(hosts=hosts)
    assert [(host.ssh, host.ips) for host in site.hostfile.hosts] == expected
    assert site.source == "--hosts"


@pytest.mark.parametrize("hosts", ["", "a,,b", ",", "a b", "-oProxyCommand=date", [], ["a", ""], [5], [None]])
def test_names_that_cannot_be_are_refused(hosts: Any) -> None:
    with pytest.raises(ArgumentError):
        find_site(hosts=hosts)


def test_a_refused_name_is_not_called_a_field_of_a_hostfile() -> None:
    """The user has written none."""
    with pytest.raises(ArgumentError) as caught:
        find_site(hosts="a,,b")
    assert "hostfile" not in caught.value.what
    assert "mlx.distributed_config" not in caught.value.cure


def test_a_python_is_for_every_host_that_is_named() -> None:
    assert find_site(hosts="a,b,a", python="/opt/x").pythons == {"a": "/opt/x", "b": "/opt/x"}
    assert find_site(hosts="a,b").pythons == {}


# -- what a site says of itself -------------------------------------------------------------------


def test_a_machine_that_stands_there_twice_is_one_host_with_two_ranks(empty_folder: Path) -> None:
    site = find_site(hostfile=write(empty_folder / "h.json", "b", "a", "b"))
    assert (site.hosts, site.by_rank, site.world_size) == (["b", "a"], ["b", "a", "b"], 3)


def test_this_machine_by_any_of_its_names_is_local() -> None:
    own = socket.gethostname()
    for name in ("127.0.0.1", "localhost", "::1", own, own.split(".")[0], f"{own.split('.')[0]}.local"):
        assert find_site(hosts=[name]).is_local, name


@pytest.mark.parametrize("name", ["10.255.255.254", "ann@localhost", "localhost.example.org", "127.0.0.2"])
def test_another_name_is_another_machine(name: str) -> None:
    assert not find_site(hosts=[name]).is_local


def test_one_other_machine_or_another_python_makes_it_remote() -> None:
    assert not find_site(hosts=[HERE, "mac2"]).is_local
    assert not find_site(hosts=[HERE], python="/opt/python").is_local


def test_only_hosts_without_an_address_get_one() -> None:
    site: Site = find_site(hosts="10.0.0.1,mac2,mac2").with_addresses(
        {"10.0.0.1": "9.9.9.9", "mac2": "10.0.0.2"}
    )
    assert [host.ips for host in site.hostfile.hosts] == [("10.0.0.1",), ("10.0.0.2",), ("10.0.0.2",)]
    assert site.source == "--hosts"


# -- real ranks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["hosts", "hostfile"])
def test_this_machine_by_name_needs_no_address(form: str, empty_folder: Path) -> None:
    if form == "hostfile":
        (empty_folder / FOUND).write_text('[{"ssh": "localhost"}, {"ssh": "localhost"}]')
    cluster = connect(**({"hosts": "localhost,localhost"} if form == "hosts" else {}))
    try:
        assert cluster.run("int(mx.distributed.all_sum(mx.array(rank + 1)).item())")[0].value_repr == "3"
    finally:
        cluster.stop()


def test_a_local_python_that_is_not_there_is_told_as_such() -> None:
    with pytest.raises(HostError) as caught:
        connect(hosts=[HERE, HERE], python="/no/such/python")
    assert "/no/such/python" in str(caught.value)
    assert HERE in caught.value.what


def test_a_local_python_of_its_own_runs_the_ranks(tmp_path: Path) -> None:
    """By a path with a space in it, as in ~/My Projects."""
    folder = tmp_path / "my env"
    folder.mkdir()
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nKERNELKIT_BY="$0" exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    cluster = connect(hosts=[HERE, HERE], python=str(python))
    try:
        found = cluster.run("import os; os.environ['KERNELKIT_BY']")
        assert {output.value_repr for output in found.values()} == {repr(str(python))}
    finally:
        cluster.stop()


# -- several ranks on a host ----------------------------------------------------------------------


def test_ranks_per_host_repeats_every_host_in_its_place(empty_folder: Path) -> None:
    assert find_site(hosts="a,b", ranks_per_host=2).by_rank == ["a", "a", "b", "b"]
    path = write(empty_folder / "two.json", "a", "b")
    assert find_site(hostfile=path, ranks_per_host=2).by_rank == ["a", "a", "b", "b"]
    assert find_site(ranks_per_host=3).world_size == 3


def test_this_machine_gets_a_rank_for_each_gpu_that_is_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "kernelkit.launch.hello.version_of", lambda name: "1" if name == "mlx-cuda-13" else ""
    )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    assert find_site().world_size == 3
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert find_site().world_size == 2


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"world_size": 2, "ranks_per_host": 2}, "counted twice"),
        ({"hosts": "a,a", "ranks_per_host": 2}, "more than once"),
        ({"hosts": "a", "ranks_per_host": 0}, "no number of ranks per host"),
    ],
)
def test_ranks_per_host_that_says_nothing_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        find_site(**given)
