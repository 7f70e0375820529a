"""Every pair and every cable is planned, with the addresses at both ends and what the backend takes."""

from __future__ import annotations

from dataclasses import replace

from kernelkit.hosts.hostfile import Host
from kernelkit.hosts.machine import Interface, Machine, ThunderboltPort
from kernelkit.hosts.topology import Topology, topology_of
from kernelkit.survey.linkplan import PlannedLink
from kernelkit.survey.linkways import plan_links

LAN = "192.168.1"


def mac(name: str, number: int, *ports: ThunderboltPort, addresses: tuple[str, ...] = ()) -> Machine:
    cables = tuple(
        Interface(port.interface or "", "thunderbolt", (address,) if address else (), True)
        for port, address in zip(ports, addresses or ("",) * len(ports), strict=True)
    )
    wifi = Interface("en0", "wifi", (f"{LAN}.{number}/24",), True)
    loopback = Interface("lo0", "loopback", ("127.0.0.1/8",), True)
    return Machine(
        name, "Darwin", "26.2", interfaces=(wifi, loopback, *cables), ports=ports, rdma_enabled=True
    )


def port(number: int, own: str, peer: str, speed: float = 80e9) -> ThunderboltPort:
    interface = f"en{number}"
    return ThunderboltPort(
        str(number), interface, own, peer, "Mac", "", speed, 80e9, f"rdma_{interface}", True
    )


def two_macs(speed: float = 80e9, cables: int = 1) -> dict[str, Machine]:
    mine = [port(3 + i, f"a{i}", f"b{i}", speed) for i in range(cables)]
    theirs = [port(5 + i, f"b{i}", f"a{i}", speed) for i in range(cables)]
    return {
        "a": mac("a", 1, *mine, addresses=tuple(f"10.0.{i}.1/30" for i in range(cables))),
        "b": mac("b", 2, *theirs, addresses=tuple(f"10.0.{i}.2/30" for i in range(cables))),
    }


def without_cable_addresses(machine: Machine) -> Machine:
    bare = [replace(i, addresses=()) if i.kind == "thunderbolt" else i for i in machine.interfaces]
    return replace(machine, interfaces=tuple(bare))


def plan(hosts: list[Host], backend: str, machines: dict[str, Machine]) -> list[PlannedLink]:
    return plan_links(hosts, backend, machines, topology_of(list(machines.values())))


def ends(link: PlannedLink) -> list[tuple[str, str, str]]:
    return [(end.host, end.interface, end.address) for end in link.ends]


def test_a_cable_and_the_wifi_between_two_macs_are_two_links() -> None:
    links = plan([Host("a", (f"{LAN}.1",)), Host("b", (f"{LAN}.2",))], "ring", two_macs())
    assert [ends(link) for link in links] == [
        [("a", "en3", "10.0.0.1"), ("b", "en5", "10.0.0.2")],
        [("a", "en0", f"{LAN}.1"), ("b", "en0", f"{LAN}.2")],
    ]
    assert [link.in_use for link in links] == [False, True]
    assert [link.way.kind for link in links] == ["tb5", "wifi"]
    assert all(link.best is not None and link.best.kind == "tb5" for link in links)


def test_every_cable_between_a_pair_is_a_link_of_its_own() -> None:
    hosts = [Host("a", ("10.0.0.1", "10.0.1.1")), Host("b", ("10.0.0.2", "10.0.1.2"))]
    links = plan(hosts, "ring", two_macs(cables=2))
    assert [link.ends[0].interface for link in links] == ["en3", "en4", "en0"]
    assert [link.in_use for link in links] == [True, True, False]


def test_over_jaccl_a_cable_is_joined_by_its_rdma_devices() -> None:
    hosts = [Host("a", (f"{LAN}.1",), (None, "rdma_en3")), Host("b", (f"{LAN}.2",), ("rdma_en5", None))]
    cable, wifi = plan(hosts, "jaccl", two_macs())
    assert (cable.in_use, wifi.in_use) == (True, False)
    assert cable.way.kind == "tb5-rdma"
    assert [end.device for end in cable.ends] == ["rdma_en3", "rdma_en5"]
    join = cable.joins([["10.0.0.1:7000"], ["10.0.0.2:7001"]])[1]
    assert join.backend == "jaccl"
    assert join.files["MLX_IBV_DEVICES"] == '[[null, "rdma_en3"], ["rdma_en5", null]]'
    assert join.env["MLX_JACCL_COORDINATOR"] == "10.0.0.1:7000"


def test_a_cable_without_addresses_still_is_measured_over_rdma_but_not_over_tcp() -> None:
    machines = {name: without_cable_addresses(machine) for name, machine in two_macs().items()}
    hosts = [Host("a", (f"{LAN}.1",), (None, "rdma_en3")), Host("b", (f"{LAN}.2",), ("rdma_en5", None))]
    cable = plan(hosts, "jaccl", machines)[0]
    assert [end.address for end in cable.ends] == [f"{LAN}.1", f"{LAN}.2"]
    assert not cable.tcp


def test_a_cable_without_addresses_is_named_and_counts_as_the_best_that_the_hosts_have() -> None:
    machines = {name: without_cable_addresses(machine) for name, machine in two_macs().items()}
    cable, wifi = plan([Host("a", (f"{LAN}.1",)), Host("b", (f"{LAN}.2",))], "ring", machines)
    assert ends(cable)[0] == ("a", "en3", "")
    assert "%cluster discover a b" in cable.hindrance
    assert wifi.best is not None
    assert wifi.best.kind == "tb5"
    assert (wifi.in_use, wifi.hindrance) == (True, "")


def test_addresses_that_macos_made_up_join_no_ports() -> None:
    machines = {
        "a": mac(
            "a", 1, port(3, "a0", "b0"), port(4, "a1", "x"), addresses=("169.254.1.1/16", "169.254.1.2/16")
        ),
        "b": mac(
            "b", 2, port(5, "b0", "a0"), port(6, "b1", "y"), addresses=("169.254.2.1/16", "169.254.2.2/16")
        ),
    }
    links = plan([Host("a", (f"{LAN}.1",)), Host("b", (f"{LAN}.2",))], "ring", machines)
    assert [(link.ends[0].interface, link.ends[1].interface) for link in links] == [
        ("en3", "en5"),
        ("en0", "en0"),
    ]


def test_a_thunderbolt_4_link_is_told_by_its_speed_and_not_taken_for_rdma() -> None:
    hosts = [Host("a", (f"{LAN}.1",), (None, "rdma_en3")), Host("b", (f"{LAN}.2",), ("rdma_en5", None))]
    cable = plan(hosts, "jaccl", two_macs(speed=40e9))[0]
    assert (cable.way.kind, cable.way.nominal_bits_per_s) == ("tb4", 40e9)
    assert cable.ends[0].device == ""


def test_ranks_of_one_host_are_measured_within_it_and_once_towards_others() -> None:
    hosts = [Host("a", ("10.0.0.1",)), Host("a", ("10.0.0.1",)), Host("b", ("10.0.0.2",))]
    links = plan(hosts, "ring", two_macs())
    assert [(link.ends[0].rank, link.ends[1].rank) for link in links] == [(0, 1), (0, 2), (0, 2)]
    assert links[0].way.kind == "loopback"


def test_ranks_of_this_machine_alone_need_no_survey() -> None:
    (link,) = plan_links([Host("127.0.0.1", ("127.0.0.1",))] * 4, "ring", {}, Topology(("127.0.0.1",)))
    assert [end.rank for end in link.ends] == [0, 1]


def test_one_rank_has_no_link() -> None:
    assert plan_links([Host("127.0.0.1", ("127.0.0.1",))], "ring", {}, Topology(("127.0.0.1",))) == []


def test_hosts_that_say_of_no_common_network_are_tried_by_the_addresses_of_the_hostfile() -> None:
    machines = {"a": Machine("a", "Linux"), "b": Machine("b", "Linux")}
    (link,) = plan([Host("a", ("10.9.0.1",)), Host("b", ("10.8.0.1",))], "ring", machines)
    assert [end.address for end in link.ends] == ["10.9.0.1", "10.8.0.1"]
    assert link.best is None
