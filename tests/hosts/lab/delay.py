"""A line between two hosts with a delay: a TUN device in each, and a relay process that joins them."""

from __future__ import annotations

import fcntl
import os
import struct
import subprocess
import sys
from pathlib import Path

from tests.hosts.lab.namespaces import entered
from tests.hosts.lab.tools import ip

_TUNSETIFF = 0x400454CA
_IFF_TUN = 0x0001
_IFF_NO_PI = 0x1000
_RELAY = Path(__file__).with_name("relay.py")
# Large packets, as Thunderbolt and good switches have them: the relay's cost is one per packet.
_MTU = 9000


class DelayLine:
    """Two devices that exist as long as the relay between them runs.

    Attributes:
        process: the relay.
    """

    def __init__(self, ends: list[tuple[str, str, str]], delay_s: float) -> None:
        """Join two ends, each a namespace, a device's new name, and its address with prefix length."""
        tuns = [_open_tun(namespace, device) for namespace, device, _ in ends]
        try:
            for namespace, device, address in ends:
                ip(
                    namespace,
                    f"link set {device} mtu {_MTU} txqueuelen 10000",
                    f"addr add {address} dev {device}",
                    f"link set {device} up",
                )
            # In a namespace of the laboratory, where a later one finds it if all else fails.
            with entered(ends[0][0]):
                self.process = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(_RELAY), *map(str, tuns), repr(delay_s)],
                    stdin=subprocess.PIPE,
                    pass_fds=tuns,
                )
        finally:
            for tun in tuns:  # From here on they are the relay's alone.
                os.close(tun)

    def close(self) -> None:
        """End the relay, and with it the devices."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10.0)


def _open_tun(namespace: str, device: str) -> int:
    with entered(namespace):
        tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(tun, _TUNSETIFF, struct.pack("16sH14x", device.encode(), _IFF_TUN | _IFF_NO_PI))
    return tun
