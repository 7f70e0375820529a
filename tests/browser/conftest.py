"""A real JupyterLab in a real Chromium, with folders of its own for everything that both write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser import chromium

ROOT = Path(__file__).parents[2]
SCREENSHOTS = ROOT / "build" / "screenshots"

# No question about news in front of what is looked at.
_NEWS = {"checkForUpdates": False, "fetchNews": "false"}
_CONFIG = {"default_setting_overrides.json": {"@jupyterlab/apputils-extension:notification": _NEWS}}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if chromium.PATH is None:
        skip = pytest.mark.skip(reason="NO CHROMIUM FOUND: the notebook was not tried in a browser")
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(skip)


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    return {"executable_path": chromium.PATH, "args": chromium.FLAGS, "headless": True}


def wait_for_splash(page: Page) -> None:
    """Until JupyterLab's picture of itself is gone, which lies over a page that it loads or gives a theme."""
    page.locator("#jupyterlab-splash").wait_for(state="detached")


@dataclass
class Lab:
    """A running server.

    Attributes:
        root: the folder it serves.
        env: its environment, for Jupyter's commands that are to meet it.
    """

    url: str
    token: str
    root: Path
    env: dict[str, str]

    def open(self, page: Page, notebook: str, place: str = "lab/tree") -> None:
        """Open a notebook of `root` and wait until its kernel is ready.

        Args:
            place: `lab/tree`, or `notebooks` for Notebook 7.
        """
        page.set_default_timeout(60_000)
        page.goto(f"{self.url}{place}/{notebook}?token={self.token}&reset")
        page.wait_for_function(
            """() => {
                const app = window.jupyterapp;
                const widget = app && app.shell && app.shell.currentWidget;
                const session = widget && widget.context && widget.context.sessionContext;
                return session && session.session && session.session.kernel &&
                    session.session.kernel.status === 'idle';
            }"""
        )
        wait_for_splash(page)

    def run_all(self, page: Page) -> None:
        """Run every cell, and wait for the last one."""
        page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")

    def end_sessions(self) -> None:
        """Shut every kernel down, as the sidebar's button does."""
        for session in self._api("GET", "sessions"):
            self._api("DELETE", f"sessions/{session['id']}")

    def _api(self, method: str, path: str) -> Any:
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(f"{self.url}api/{path}", method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.loads(reply.read() or "null")

    def save(self, page: Page) -> None:
        page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")


@pytest.fixture
def lab(server: Lab) -> Iterator[Lab]:
    """The server, left without a kernel after each test."""
    yield server
    server.end_sessions()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with _serving(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture
def bare_lab(tmp_path: Path) -> Iterator[Lab]:
    """A server without kernelkit's extension, as where kernelkit is installed for the kernel alone."""
    disabled = {"page_config.json": {"disabledExtensions": {"kernelkit": True}}}
    with _serving(tmp_path, disabled) as lab:
        yield lab
        lab.end_sessions()


@contextmanager
def _serving(base: Path, config: dict[str, Any] = _CONFIG) -> Iterator[Lab]:
    root = base / "work"
    root.mkdir()
    folder = base / "jupyter_config_dir" / "labconfig"
    folder.mkdir(parents=True)
    for name, content in {**_CONFIG, **config}.items():
        (folder / name).write_text(json.dumps(content))
    names = ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")
    env = {**os.environ, **{name: str(base / name.lower()) for name in names}}
    # Notebook 7's server serves JupyterLab as well.
    argv = [sys.executable, "-m", "notebook", "--no-browser", "--port=0"]
    argv += [f"--{app}.expose_app_in_browser=True" for app in ("LabApp", "JupyterNotebookApp")]
    argv += [f"--ServerApp.root_dir={root}", "--ServerApp.ip=127.0.0.1", "--allow-root"]
    log = (base / "log").open("w")
    process = subprocess.Popen(argv, env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        info = _server_info(base / "jupyter_runtime_dir", process)
        yield Lab(info["url"], info["token"], root, env)
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def _server_info(folder: Path, server: subprocess.Popen[bytes]) -> dict[str, Any]:
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s and server.poll() is None:
        for path in folder.glob("jpserver-*.json"):
            try:
                info: dict[str, Any] = json.loads(path.read_text())
            except json.JSONDecodeError:  # it is being written
                continue
            return info
        time.sleep(0.05)
    raise RuntimeError(f"JupyterLab did not start: {(folder.parent / 'log').read_text()[-2000:]}")


@pytest.fixture(scope="session")
def browser_context_args(browser_context_args: dict[str, Any]) -> dict[str, Any]:
    return {**browser_context_args, "viewport": {"width": 1100, "height": 1400}}


@pytest.fixture
def screenshots() -> Path:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    return SCREENSHOTS
