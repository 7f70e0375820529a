"""ssh from the controller to the hosts: an `ssh` that knows these alone, their servers, and its failures."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.hosts.lab.files import key_pair, script
from tests.hosts.lab.needs import SSH
from tests.hosts.lab.network import Network
from tests.hosts.lab.sshd import Server, Start

_CONFIG = """\
Host *
  User root
  IdentityFile {folder}/user_key
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
  GlobalKnownHostsFile none
  StrictHostKeyChecking yes
"""


class Ssh:
    """The user's side, and a server for each host.

    Attributes:
        bin: the folder that holds `ssh`.
    """

    def __init__(self, folder: Path, names: list[str], network: Network, popen: Start) -> None:
        """Make keys and start the servers; `popen(i, ...)` starts a process in host i."""
        self._folder = folder
        self._network = network
        with ThreadPoolExecutor() as pool:  # A key takes the time of a process each.
            user_key = pool.submit(key_pair, folder / "user_key")
            makers = [
                pool.submit(Server, folder / name, address, partial(popen, i))
                for i, (name, address) in enumerate(zip(names, network.addresses, strict=True))
            ]
            self._user_key = user_key.result()
            self._servers = [maker.result() for maker in makers]
        hosts = zip(names, network.addresses, strict=True)
        known = "".join(f"Host {name}\n  HostName {address}\n" for name, address in hosts)
        (folder / "ssh_config").write_text(known + _CONFIG.format(folder=folder))
        self.bin = folder / "bin"
        self.bin.mkdir()
        script(self.bin / "ssh", f'exec {SSH} -F {folder}/ssh_config "$@"')
        self.restore()
        for server in self._servers:
            server.wait(network.controller)

    def start(self, i: int) -> None:
        """Host i listens."""
        self._servers[i].start()
        self._servers[i].wait(
            self._network.hosts[i]
        )  # From there it can be reached with the wire cut as well.

    def stop(self, i: int) -> None:
        """Host i refuses connections."""
        self._servers[i].stop()

    def authorize(self, i: int, allowed: bool) -> None:
        """Whether host i accepts the user's key."""
        self._servers[i].authorize(self._user_key if allowed else "")

    def change_host_key(self, i: int) -> None:
        """Host i has another key than the one that the user knows."""
        self.stop(i)
        self._servers[i].change_key()
        self.start(i)

    def forget_host_key(self, i: int) -> None:
        """The user knows no key of host i."""
        self._known.pop(self._network.addresses[i], None)
        self._write_known_hosts()

    def log(self, i: int) -> str:
        """What host i's sshd wrote."""
        return self._servers[i].log.read_text(errors="replace")

    def restore(self) -> None:
        """All listen, the user is let in everywhere, and knows every host by its key."""
        self._known = {
            address: server.public_key
            for address, server in zip(self._network.addresses, self._servers, strict=True)
        }
        self._write_known_hosts()
        for server in self._servers:
            server.authorize(self._user_key)
            server.start()
        for server, host in zip(self._servers, self._network.hosts, strict=True):
            server.wait(host)

    def _write_known_hosts(self) -> None:
        lines = (f"{address} {key}\n" for address, key in self._known.items())
        (self._folder / "known_hosts").write_text("".join(lines))
