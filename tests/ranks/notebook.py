"""A real notebook kernel with a cluster in it, driven as a front end drives it, in folders of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from queue import Empty
from typing import Any

import psutil
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from tests.ranks.leftovers import Leftovers, folders
from tests.waiting import eventually, gone

START_S = 60.0
_HANGS_S = 0.3


def private_environment(base: Path) -> dict[str, str]:
    """This process's environment, but with temp, runtime and settings folders below `base`."""
    named = ("TMPDIR", "XDG_RUNTIME_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR")
    own = {name: str(base / name.lower()) for name in named}
    for path in own.values():
        Path(path).mkdir(mode=0o700)
    # Below pytest's mark ipykernel leaves file descriptors uncaptured; ranks must behave as ever.
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"} | own


class Notebook:
    """One kernel.

    Attributes:
        pid: of the kernel; 0 until it is awake.
        left: what its cluster leaves behind; set by `connect`.
        folders: where it and its ranks put what is not meant to last.
    """

    left: Leftovers

    def __init__(
        self, client: BlockingKernelClient, env: dict[str, str], manager: KernelManager | None = None
    ) -> None:
        self.folders = folders(env)
        self._client = client
        self._manager = manager
        self.pid = 0

    def wake(self) -> None:
        """Wait for the kernel, and load the extension."""
        self._client.start_channels(hb=False)
        self._client.wait_for_ready(START_S)
        self.pid = int(self.run("import os; print(os.getpid())"))
        self.run("%load_ext kernelkit")

    def run(self, cell: str, timeout_s: float = START_S) -> str:
        """Run a cell; gives its text, and raises what it raised."""
        return self.finish(self.begin(cell), timeout_s)

    def begin(self, cell: str) -> str:
        """Start a cell; gives its request, for `finish`."""
        return self._client.execute(cell)

    def finish(self, request: str, timeout_s: float = START_S) -> str:
        """Wait for a cell that was begun."""
        text: list[str] = []
        deadline_s = time.monotonic() + timeout_s
        while True:
            try:
                message = self._client.get_iopub_msg(timeout=max(0.0, deadline_s - time.monotonic()))
            except Empty:
                raise TimeoutError(f"the cell did not end within {timeout_s:.0f} s: {text}") from None
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                text.append(content["text"])
            elif kind in ("display_data", "execute_result"):
                text.append(content["data"].get("text/plain", ""))
            elif kind == "error":
                raise RuntimeError("\n".join(content["traceback"]))
            elif kind == "status" and content["execution_state"] == "idle":
                return "".join(text)

    def hang(self, note: Path) -> None:
        """Begin a cell in which rank 0 waits in a collective that no other enters; returns once it does."""
        lines = f"""
            %%sharded
            if rank == 0:
                __import__("pathlib").Path({str(note)!r}).touch()
                mx.eval(mx.distributed.all_sum(mx.ones(1)))
        """
        cell = self.begin(textwrap.dedent(lines).strip())
        assert eventually(note.exists, START_S)
        with contextlib.suppress(TimeoutError):
            raise AssertionError(f"it does not hang: {self.finish(cell, _HANGS_S)}")

    @property
    def agent_pid(self) -> int:
        """The cluster's agent."""
        children = psutil.Process(self.pid).children()
        (agent,) = [child.pid for child in children if child.cmdline()[-1:] == ["kernelkit.launch.agent"]]
        return int(agent)

    @property
    def rank_pids(self) -> list[int]:
        """The cluster's ranks."""
        return [child.pid for child in psutil.Process(self.agent_pid).children()]

    def restart(self) -> None:
        """As the menu's entry does."""
        assert self._manager is not None
        self._manager.restart_kernel()
        assert gone(self.pid)

    def kill(self) -> None:
        """As the kernel's machine does when memory runs out."""
        os.kill(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """End the kernel, and whatever of the cluster a failed test has left."""
        # Always: a client that is forgotten with open sockets hangs the interpreter that collects it.
        self._client.stop_channels()
        if self.pid and not gone(self.pid):
            self.kill()
        if hasattr(self, "left"):
            self.left.kill()


def connect(*notebooks: Notebook) -> None:
    """Connect two ranks in each; what was there before them does not count as left behind."""
    cells = []
    for notebook in notebooks:
        notebook.left = Leftovers(notebook.folders)
        mark = f"import os; os.environ.update({notebook.left.environ!r})"
        cells.append(notebook.begin(f"{mark}\n%cluster connect"))
    for notebook, cell in zip(notebooks, cells, strict=True):
        notebook.finish(cell)
        notebook.left.record(notebook.agent_pid)


@contextlib.contextmanager
def awake(notebooks: list[Notebook]) -> Iterator[list[Notebook]]:
    """Notebooks that are closed in the end, also when one of them does not wake."""
    with contextlib.ExitStack() as closing:
        for notebook in notebooks:
            closing.callback(notebook.close)
        for notebook in notebooks:
            notebook.wake()
        yield notebooks


@contextlib.contextmanager
def open_notebooks(base: Path, count: int) -> Iterator[list[Notebook]]:
    """Kernels that this process starts, as nbclient and IDEs do; without clusters."""
    with contextlib.ExitStack() as closing:
        notebooks = []
        for number in range(count):
            folder = base / f"notebook{number}"
            folder.mkdir()
            env = private_environment(folder)
            manager = KernelManager(connection_file=str(Path(env["JUPYTER_RUNTIME_DIR"], "kernel.json")))
            manager.start_kernel(env=env, cwd=str(folder), stderr=subprocess.DEVNULL)
            closing.callback(manager.shutdown_kernel, now=True)
            notebooks.append(Notebook(manager.client(), env, manager))
        yield closing.enter_context(awake(notebooks))


class Server:
    """A Jupyter server that starts kernels, as JupyterLab's does; it takes its time to come up."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._env = private_environment(base)
        argv = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", "--port=0"]
        argv += ["--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={base}"]
        argv.append("--ServerApp.jpserver_extensions={}")
        with (base / "log").open("w") as log:
            self.process = subprocess.Popen(
                argv, env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    @contextlib.contextmanager
    def open_notebooks(self, count: int) -> Iterator[list[Notebook]]:
        """Kernels that the server starts; without clusters."""
        assert eventually(self._answers, START_S), (self._base / "log").read_text()[-2000:]
        notebooks = []
        for kernel in [self._api("POST", "kernels") for _ in range(count)]:
            client = BlockingKernelClient()
            client.load_connection_file(str(self._runtime / f"kernel-{kernel['id']}.json"))
            notebooks.append(Notebook(client, self._env))
        with awake(notebooks):
            yield notebooks

    @property
    def _runtime(self) -> Path:
        return Path(self._env["JUPYTER_RUNTIME_DIR"])

    def _answers(self) -> bool:
        try:
            self._api("GET", "status")
        except (ValueError, urllib.error.URLError):
            return False  # its file is not there or half written, or it does not serve yet
        return True

    def _api(self, method: str, where: str) -> Any:
        (path,) = self._runtime.glob("jpserver-*.json")
        info = json.loads(path.read_text())
        headers = {"Authorization": f"token {info['token']}"}
        request = urllib.request.Request(f"{info['url']}api/{where}", method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=START_S) as reply:
            return json.loads(reply.read())
