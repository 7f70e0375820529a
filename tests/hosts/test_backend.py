"""Which backend hosts get by themselves, which is refused, and that both say why."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelkit.errors import ArgumentError, HostError
from kernelkit.hosts.backend import choose_backend
from kernelkit.hosts.hostfile import BACKENDS, Host, Hostfile, parse_hostfile

MAC = {"system": "Darwin", "os": "macOS 26.2", "mpirun": None, "cuda": False, "gpu_ids": []}
OLD_MAC = {**MAC, "os": "macOS 15.7.1"}
LINUX = {"system": "Linux", "os": "Linux 6.1.0-26-amd64", "mpirun": None, "cuda": False, "gpu_ids": []}
GPU = {**LINUX, "cuda": True, "gpu_ids": ["0", "1"]}
MPI = {**LINUX, "mpirun": "/usr/bin/mpirun"}


def hosts(*rdma: list[Any], backend: str = "") -> Hostfile:
    entries = [{"ssh": f"h{i}", "ips": [f"10.0.0.{i + 1}"], "rdma": row} for i, row in enumerate(rdma)]
    return parse_hostfile(json.dumps({"hosts": entries, "backend": backend}))


PLAIN = hosts([], [])
MESH = hosts([None, "a", "b"], ["a", None, "c"], ["b", "c", None])
SQUARE = hosts([None, "a", None, "d"], ["a", None, "b", None], [None, "b", None, "c"], ["d", None, "c", None])
HALF = hosts([None, "a", None], ["a", None, None], [None, None, None])


def on(hostfile: Hostfile, *hellos: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Those machines, the last one again and again."""
    names = list(dict.fromkeys(host.ssh for host in hostfile.hosts))
    return {name: hellos[min(i, len(hellos) - 1)] for i, name in enumerate(names)}


@pytest.mark.parametrize(
    ("hostfile", "machine", "backend", "why"),
    [
        (MESH, MAC, "jaccl", "every pair of hosts has an RDMA cable"),
        (MESH, {**MAC, "os": "macOS 27.0"}, "jaccl", "every pair of hosts has an RDMA cable"),
        (SQUARE, MAC, "jaccl-ring", "the neighbours of a ring have RDMA cables"),
        (PLAIN, GPU, "nccl", "every rank has a GPU of its own"),
        (
            PLAIN,
            LINUX,
            "ring",
            "no jaccl or jaccl-ring: no RDMA devices in the hostfile; no nccl: the MLX on h0 has no CUDA",
        ),
        (
            MESH,
            OLD_MAC,
            "ring",
            "no jaccl or jaccl-ring: h0 has macOS 15.7.1, and RDMA over Thunderbolt came with 26.2; "
            "no nccl: the MLX on h0 has no CUDA",
        ),
        (MESH, LINUX, "ring", "no jaccl or jaccl-ring: h0 is no Mac; no nccl: the MLX on h0 has no CUDA"),
        (
            PLAIN,
            MPI,
            "ring",
            "no jaccl or jaccl-ring: no RDMA devices in the hostfile; no nccl: the MLX on h0 has no CUDA",
        ),
    ],
    ids=["mesh", "later macOS", "cables in a ring", "GPUs", "nothing", "macOS 15", "Linux", "mpi"],
)
def test_auto_takes_the_fastest_that_works_and_says_why_not_more(
    hostfile: Hostfile, machine: dict[str, Any], backend: str, why: str
) -> None:
    chosen, reason = choose_backend(hostfile, "auto", on(hostfile, machine))
    assert chosen == backend
    assert reason == why


def test_a_cable_that_is_missing_is_named() -> None:
    backend, why = choose_backend(HALF, "auto", on(HALF, MAC))
    assert backend == "ring"
    assert why.startswith("no jaccl or jaccl-ring: hosts[0].rdma[2] (h0) cannot be used; ")


def test_one_host_that_cannot_do_it_settles_it_for_all() -> None:
    backend, why = choose_backend(MESH, "auto", on(MESH, MAC, OLD_MAC, MAC))
    assert backend == "ring"
    assert "h1 has macOS 15.7.1" in why
    backend, why = choose_backend(PLAIN, "auto", on(PLAIN, GPU, LINUX))
    assert backend == "ring"
    assert "no nccl: the MLX on h1 has no CUDA" in why


def test_ranks_of_one_host_need_a_gpu_each() -> None:
    hostfile = Hostfile((Host("h0", ("10.0.0.1",)),) * 3)
    backend, why = choose_backend(hostfile, "auto", {"h0": GPU})
    assert backend == "ring"
    assert why.endswith("no nccl: h0 has 2 GPUs for 3 ranks")
    assert choose_backend(hostfile, "auto", {"h0": {**GPU, "gpu_ids": ["0", "1", "2"]}})[0] == "nccl"


def test_auto_takes_what_the_hostfile_says() -> None:
    hostfile = hosts([], [], backend="ring")
    assert choose_backend(hostfile, "auto", on(hostfile, GPU)) == ("ring", "the hostfile says so")


def test_what_is_asked_for_goes_before_what_the_hostfile_says() -> None:
    hostfile = hosts([], [], backend="jaccl")
    assert choose_backend(hostfile, "ring", on(hostfile, LINUX)) == ("ring", "it was asked for")


def test_mpi_is_taken_where_it_is_asked_for() -> None:
    assert choose_backend(PLAIN, "mpi", on(PLAIN, MPI)) == ("mpi", "it was asked for")
    hostfile = hosts([], [], backend="mpi")
    assert choose_backend(hostfile, "auto", on(hostfile, MPI)) == ("mpi", "the hostfile says so")


def test_mpi_needs_mpirun_on_rank_0s_host_alone() -> None:
    assert choose_backend(PLAIN, "mpi", on(PLAIN, MPI, LINUX))[0] == "mpi"
    with pytest.raises(HostError, match="no mpirun on h0"):
        choose_backend(PLAIN, "mpi", on(PLAIN, LINUX, MPI))


@pytest.mark.parametrize(
    ("hostfile", "asked", "machine", "reason"),
    [
        (MESH, "jaccl", LINUX, "h0 is no Mac"),
        (MESH, "jaccl", OLD_MAC, "h0 has macOS 15.7.1, and RDMA over Thunderbolt came with 26.2"),
        (MESH, "jaccl", {**MAC, "os": "macOS 26.1.9"}, "h0 has macOS 26.1.9"),
        (SQUARE, "jaccl-ring", LINUX, "h0 is no Mac"),
        (PLAIN, "nccl", MAC, "the MLX on h0 has no CUDA"),
        (PLAIN, "nccl", {**GPU, "gpu_ids": []}, "h0 has 0 GPUs for 1 ranks"),
        (PLAIN, "mpi", LINUX, "no mpirun on h0 (Open MPI: brew install open-mpi, apt install openmpi-bin)"),
    ],
)
def test_a_backend_that_hosts_cannot_do_is_refused_with_the_reason(
    hostfile: Hostfile, asked: str, machine: dict[str, Any], reason: str
) -> None:
    with pytest.raises(HostError) as caught:
        choose_backend(hostfile, asked, on(hostfile, machine))
    assert f"the hosts cannot do {asked}: {reason}" in caught.value.what
    assert caught.value.cure


@pytest.mark.parametrize("by", ["asked", "hostfile"])
@pytest.mark.parametrize(
    ("hostfile", "backend", "field"),
    [
        (PLAIN, "jaccl", "hosts[0].rdma[1]"),
        (SQUARE, "jaccl", "hosts[0].rdma[2]"),
        (HALF, "jaccl-ring", "hosts[0].rdma[2]"),
        (Hostfile((Host("h0"), Host("h1"))), "ring", "hosts[0].ips"),
        (PLAIN, "of tomorrow", "backend"),
    ],
)
def test_a_backend_that_the_hostfile_cannot_carry_is_refused_by_field(
    hostfile: Hostfile, backend: str, field: str, by: str
) -> None:
    if by == "hostfile":
        hostfile, asked = Hostfile(hostfile.hosts, backend), "auto"
    else:
        asked = backend
    with pytest.raises(ArgumentError) as caught:
        choose_backend(hostfile, asked, on(hostfile, MAC))
    host = f" (h{field[6]})" if field.startswith("hosts[") else ""
    assert caught.value.what == f"hostfile: {field}{host} cannot be used"


def test_the_cure_for_a_hostfiles_own_backend_is_one_that_helps() -> None:
    """`auto` is what was asked for already, and takes what the hostfile says."""
    hostfile = Hostfile(PLAIN.hosts, "nccl")
    with pytest.raises(HostError) as caught:
        choose_backend(hostfile, "auto", on(hostfile, LINUX))
    assert "--backend auto" not in caught.value.cure
    assert "--backend ring" in caught.value.cure


_DEVICE = st.one_of(st.none(), st.just("en2"), st.just(("en2", "en3")), st.just(()))


@st.composite
def _hostfiles(draw: st.DrawFn) -> Hostfile:
    size = draw(st.integers(2, 4))
    names = draw(st.lists(st.sampled_from(["h0", "h1", "h2", "h3"]), min_size=size, max_size=size))
    entries = []
    for rank, name in enumerate(names):
        row = [None if j == rank else draw(_DEVICE) for j in range(size)]
        ips = draw(st.lists(st.sampled_from(["10.0.0.1", "10.0.1.1", "fe80::1"]), max_size=2))
        entries.append(Host(name, tuple(ips), tuple(row) if draw(st.booleans()) else ()))
    return Hostfile(tuple(entries), draw(st.sampled_from(["", "", "", *BACKENDS, "of tomorrow"])))


_MACHINE = st.sampled_from([MAC, OLD_MAC, LINUX, GPU, MPI])


@given(_hostfiles(), st.sampled_from(["auto", *BACKENDS]), st.lists(_MACHINE, min_size=4, max_size=4))
def test_no_backend_is_chosen_that_the_hostfile_cannot_carry(
    hostfile: Hostfile, asked: str, machines: list[dict[str, Any]]
) -> None:
    try:
        backend, why = choose_backend(hostfile, asked, on(hostfile, *machines))
    except (ArgumentError, HostError):
        return
    hostfile.check(backend)
    assert why
    if asked == "auto" and not hostfile.backend:
        assert backend != "mpi"
    else:
        assert backend == (hostfile.backend if asked == "auto" else asked)
