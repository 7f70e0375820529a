"""A C library's line before `exit(1)` arrives: NCCL's are the only ones that say why a rank is gone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_PROCESS = """
import ctypes, zmq
from ipykernel.iostream import IOPubThread
from jupyter_client.session import Session
from kernelkit.rank.lastwords import WatchedStream, keep_last_words
thread = IOPubThread(zmq.Context().socket(zmq.PUB), session=Session())
thread.start()
streams = [WatchedStream(Session(), thread, name) for name in ("stdout", "stderr")]
keep_last_words(*streams)
libc = ctypes.CDLL(None)
"""
_LINE = "NCCL error nccl.cpp:163 'unhandled cuda error'"


def end(code: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    command = [sys.executable, "-c", _PROCESS + code]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("call", "stream"), [("libc.dprintf(2, line)", "stderr"), ("libc.printf(line)", "stdout")]
)
def test_a_line_before_exit_arrives_once(call: str, stream: str) -> None:
    for _ in range(4):  # by chance it came half of the times
        done = end(f"line = b{(_LINE + chr(10))!r}\n{call}\nlibc.exit(1)")
        assert done.returncode == 1, done.stderr
        assert getattr(done, stream).count(_LINE) == 1


def test_a_process_that_python_ends_ends_well() -> None:
    done = end("import os\nos.write(1, b'said')\nraise SystemExit(3)")
    assert (done.returncode, done.stdout, done.stderr) == (3, "said", "")
