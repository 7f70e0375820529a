"""MPI over two hosts: mpirun on the first reaches the second by its own ssh."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from kernelkit import connect
from tests.cluster.conftest import without_pytests_mark
from tests.hosts.lab import Lab

# The hosts share one file system here, so Open MPI would take them for one machine and use shared memory.
_SETTINGS = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_btl": "tcp,self",
    "OMPI_MCA_btl_tcp_if_include": "eth0",
}


@pytest.mark.skipif(shutil.which("mpirun") is None, reason="no mpirun here (Debian: openmpi-bin)")
def test_ranks_of_two_hosts_form_a_group_that_mpirun_started(inside: Lab, tmp_path: Path) -> None:
    python = tmp_path / "python"
    settings = " ".join(f"{name}={value}" for name, value in _SETTINGS.items())
    python.write_text(f'#!/bin/sh\nPATH={inside.bin}:$PATH exec env {settings} {sys.executable} "$@"\n')
    python.chmod(0o755)
    hostfile = tmp_path / "hosts.json"
    hostfile.write_text(inside.hostfile(backend="mpi", python=str(python), hosts=[0, 1]))
    with without_pytests_mark():
        cluster = connect(hostfile=hostfile)
    with cluster:
        assert cluster.backend == "mpi"
        total = "int(mx.distributed.all_sum(mx.array(rank + 1)).item())"
        code = f"import socket; rank, socket.gethostname(), {total}"
        assert repr(cluster.run(code)) == "[0] (0, 'kk0', 3)\n[1] (1, 'kk1', 3)"
