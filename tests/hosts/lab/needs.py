"""What a laboratory needs of the machine, asked first, so that tests can say why they do not run."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

SSHD = "/usr/sbin/sshd"
SSH = "/usr/bin/ssh"

_TOOLS = ("ip", "tc", "unshare", "hostname", "ssh-keygen", SSH, SSHD)

# Everything the kernel must be able to do, tried in a namespace that ends with the shell.
_TRIAL = """
set -e
hostname trial
ip link add br0 type bridge
ip link add kk0 type veth peer name kk1
ip tuntap add dev kk2 mode tun
tc qdisc add dev kk0 root tbf rate 1mbit burst 16kb latency 50ms
"""


@functools.cache
def why_not() -> str | None:
    """Why no laboratory can be built here; None where it can."""
    if sys.platform != "linux":
        return "hosts in one machine need Linux's network namespaces"
    if os.geteuid() != 0:
        return "hosts in one machine need root, for network namespaces and an sshd in each"
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        return f"hosts in one machine need {', '.join(missing)} (Debian: iproute2, openssh-server)"
    if not Path("/dev/net/tun").exists():
        return "hosts in one machine need /dev/net/tun for delays"
    trial = ["unshare", "--net", "--uts", "/bin/sh", "-c", _TRIAL]
    done = subprocess.run(trial, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        return f"this kernel, or a container's rules, allow no hosts in one machine: {done.stderr.strip()}"
    return None
