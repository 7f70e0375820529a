"""A rank's ports: free ones on its own addresses, and a try whether others can be reached, in time."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from kernelkit.errors import ConnectError, HostError
from kernelkit.rank import doors, state

HERE = "127.0.0.1"
ELSEWHERE = "192.0.2.1"  # for documentation only: no machine has it


@pytest.fixture(autouse=True)
def rank_3(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(state, "rank", 3)
    yield
    doors.release()


def open_sockets() -> int:
    return len(psutil.Process().net_connections("tcp"))


def test_a_port_is_reserved_on_each_address() -> None:
    ports = doors.reserve_ports([HERE, HERE, HERE])
    assert len(set(ports)) == 3
    for port in ports:
        with socket.socket() as other, pytest.raises(OSError):
            other.bind((HERE, port))


def test_no_address_needs_no_port() -> None:
    assert doors.reserve_ports([]) == []


def test_released_ports_are_free_at_once_and_nothing_is_held() -> None:
    before = open_sockets()
    ports = doors.open_doors([HERE, HERE])
    for port in ports:  # somebody comes in, whom nobody lets in
        socket.create_connection((HERE, port), 1).close()
    doors.release()
    assert open_sockets() == before
    for port in ports:
        with socket.socket() as mlx:
            mlx.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            mlx.bind((HERE, port))
            mlx.listen()


def test_to_reserve_again_lets_go_of_the_former_ports() -> None:
    before = open_sockets()
    for _ in range(5):
        doors.reserve_ports([HERE, HERE])
    doors.release()
    assert open_sockets() == before


def test_a_reserved_port_refuses_and_an_open_door_does_not() -> None:
    (port,) = doors.reserve_ports([HERE])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HERE, port), 1)
    (port,) = doors.open_doors([HERE])
    doors.reach([(HERE, port, 1)], 1.0)


def test_an_address_of_another_machine_is_refused_with_ones_own() -> None:
    before = open_sockets()
    with pytest.raises(HostError) as caught:
        doors.reserve_ports([HERE, ELSEWHERE])
    assert caught.value.what == f"the host of rank 3 has no address {ELSEWHERE}"
    assert f"{HERE} (" in caught.value.got
    assert "ips" in caught.value.cure
    assert open_sockets() == before, "the first address is still held"


@pytest.mark.parametrize("address", ["no-such-host.invalid", "999.1.1.1", "fe80::1"])
def test_what_is_no_address_is_told_as_that(address: str) -> None:
    with pytest.raises(HostError) as caught:
        doors.reserve_ports([address])
    assert address in caught.value.what
    assert "Unknown error" not in str(caught.value)
    assert "no free port" not in caught.value.what


def test_a_machine_without_a_free_port_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def bind(self: socket.socket, address: object) -> None:
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(socket.socket, "bind", bind)
    with pytest.raises(ConnectError, match=r"rank 3 finds no free port on .*: Address already in use"):
        doors.reserve_ports([HERE])


# -- reaching others ------------------------------------------------------------------------------


def test_open_doors_are_reached_and_left() -> None:
    before = open_sockets()
    ports = doors.open_doors([HERE, HERE])
    doors.reach([(HERE, port, 1) for port in ports], 1.0)
    doors.release()
    assert open_sockets() <= before + len(ports), "each door may have one visitor in TIME_WAIT"


def refusal(address: str, port: int = 9, timeout_s: float = 1.0) -> str:
    before_s = time.monotonic()
    with pytest.raises(HostError) as caught:
        doors.reach([(address, port, 1)], timeout_s)
    assert time.monotonic() - before_s < timeout_s + 5.0
    assert "firewall" in caught.value.cure
    assert "Local Network" in caught.value.cure
    return caught.value.what


def test_a_closed_door_is_told() -> None:
    (port,) = doors.reserve_ports([HERE])
    assert refusal(HERE, port) == f"rank 3 cannot reach rank 1 at {HERE}: Connection refused"


def test_no_answer_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A firewall that drops packets; a listener whose queue is full drops them too."""
    with socket.socket() as full:
        full.bind((HERE, 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = []
        for _ in range(4):
            visitor = socket.socket()
            visitor.setblocking(False)
            visitor.connect_ex((HERE, port))
            waiting.append(visitor)
        try:
            assert refusal(HERE, port, 0.3) == f"rank 3 cannot reach rank 1 at {HERE}: no answer"
        finally:
            for visitor in waiting:
                visitor.close()


@pytest.mark.skipif(sys.platform != "linux", reason="which error a system gives for it differs")
def test_an_address_without_a_route_is_told() -> None:
    assert refusal("255.255.255.255").startswith("rank 3 cannot reach rank 1 at 255.255.255.255: ")


def test_a_name_that_leads_nowhere_is_told() -> None:
    assert "rank 3 cannot reach rank 1 at no-such-host.invalid: " in refusal("no-such-host.invalid")


def test_the_first_that_cannot_be_reached_is_named() -> None:
    (port,) = doors.open_doors([HERE])
    with socket.socket() as closed:
        closed.bind((HERE, 0))
        peers = [(HERE, port, 1), (HERE, closed.getsockname()[1], 2), (HERE, port, 4)]
        with pytest.raises(HostError, match="cannot reach rank 2"):
            doors.reach(peers, 1.0)
