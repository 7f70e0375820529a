"""Take laboratories away: one's own at its end, and those whose process was killed before it could."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from tests.hosts.lab.namespaces import FOLDER, PREFIX, is_orphan, processes_in
from tests.hosts.lab.tools import LabError
from tests.waiting import eventually


def sweep() -> None:
    """Remove what laboratories of killed processes left: their processes, namespaces and folders."""
    remove_namespaces([path.name for path in FOLDER.glob(f"{PREFIX}.*") if is_orphan(path.name)])
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}.*"):
        if is_orphan(folder.name):
            shutil.rmtree(folder, ignore_errors=True)  # A second sweep may be at it as well.


def remove_namespaces(names: Collection[str]) -> None:
    """Kill what runs in namespaces, and remove them; interfaces, addresses and routes go with them."""
    if not names:
        return

    def empty() -> bool:
        # More than once: a process may start another while the list is read.
        pids = processes_in(names)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not pids

    if not eventually(empty, 10.0):
        raise LabError(f"processes that do not end: {processes_in(names)}")
    for name in names:
        # Its words do not matter, only whether the namespace is gone: a second sweep may have been first.
        subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=30, check=False)
    left = [name for name in names if (FOLDER / name).exists()]
    if left:
        raise LabError(f"namespaces that could not be removed: {', '.join(left)}")
