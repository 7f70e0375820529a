"""What a test can measure between two hosts: whether packets arrive, how soon, and how many."""

from __future__ import annotations

import json
import secrets
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.hosts.lab.lab import Lab


@contextmanager
def udp(lab: Lab, i: int, j: int, address: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A socket in host i that sends to one in host j."""
    with ExitStack() as stack:
        sockets = []
        for host in (i, j):
            with lab.at(host):
                sockets.append(stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)))
        sender, receiver = sockets
        receiver.bind((address, 0))
        sender.connect(receiver.getsockname())
        sender.settimeout(2.0)
        receiver.settimeout(2.0)
        yield sender, receiver


def arrives(sender: socket.socket, receiver: socket.socket) -> bool:
    """Whether a packet gets there within 50 ms; one that was sent before and comes late is not this one."""
    receiver.settimeout(0.05)
    sent = secrets.token_bytes(8)
    sender.send(sent)
    try:
        while receiver.recv(8) != sent:
            pass
    except TimeoutError:
        return False
    return True


def round_trip_s(lab: Lab, i: int, j: int, address: str) -> float:
    """The median of the time from host i to j and back."""
    taken_s = []
    with udp(lab, i, j, address) as (sender, receiver):
        for _ in range(20):
            start_s = time.perf_counter()
            sender.send(b"ping")
            packet, back = receiver.recvfrom(16)
            receiver.sendto(packet, back)
            sender.recv(16)
            taken_s.append(time.perf_counter() - start_s)
    return statistics.median(taken_s)


def bits_per_s(lab: Lab, i: int, j: int, address: str, *options: str) -> float:
    """What iperf3 measures from host i to host j, or back with `-R`."""
    server = lab.popen(
        j, ["iperf3", "--server", "--one-off", "--forceflush"], stdout=subprocess.PIPE, text=True
    )
    with server:
        assert server.stdout is not None
        assert any("listening" in line for line in server.stdout)
        client = ["iperf3", "--client", address, "--time", "1", "--json", *options]
        done = lab.run(i, client)
    return float(json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"])
