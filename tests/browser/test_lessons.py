"""Every notebook as somebody meets it who opens it: nothing is run, and all that is stored is shown."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from playwright.sync_api import ConsoleMessage, Page, TimeoutError

from kernelkit.views.picture import MIME
from tests.browser.conftest import Lab
from tests.notebooks.stored import FOLDER, NOTEBOOKS, code_cells, read

_OPEN = """async path => {
    const app = window.jupyterapp;
    const panel = await app.commands.execute('docmanager:open', {path});
    await panel.context.ready;
    await panel.revealed;
    const notebook = panel.content;
    // Cells out of sight would be left for later.
    notebook.notebookConfig = {...notebook.notebookConfig, windowingMode: 'none'};
}"""
# What each code cell shows: pieces of output, pictures of ours, other images, and what could not be drawn.
_SHOWN = """path => {
    const panel = [...window.jupyterapp.shell.widgets('main')].find(each => each.context?.path === path);
    const count = (cell, selector) => cell.outputArea.node.querySelectorAll(selector).length;
    return panel.content.widgets.filter(cell => cell.model.type === 'code').map(cell => [
        count(cell, '.jp-OutputArea-child'), count(cell, '.kernelkit-picture'), count(cell, 'img')]);
}"""
_CLOSE = """path => {
    const panel = [...window.jupyterapp.shell.widgets('main')].find(each => each.context?.path === path);
    return panel.context.sessionContext.shutdown().then(() => panel.dispose());
}"""


def _stored(path: Path) -> list[list[int]]:
    """The same of the file: a page with kernelkit's extension draws the scene and not its image."""
    found = []
    for cell in code_cells(read(path)):
        streams = [output.get("name") for output in cell.outputs]
        data = [output.get("data", {}) for output in cell.outputs]
        # What comes on one stream in a row is one piece on a page.
        joined = sum(now is not None and now == before for before, now in pairwise(streams))
        scenes = sum(MIME in each for each in data)
        images = sum("image/png" in each and MIME not in each and "text/html" not in each for each in data)
        found.append([len(cell.outputs) - joined, scenes, images])
    return found


def test_every_notebook_opens_with_all_that_is_stored(lab: Lab, page: Page) -> None:
    """One page for all of them; its console stays without an error."""
    errors: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(f"{message.text} ({message.location['url']})")

    page.on("console", note)
    page.on("pageerror", lambda error: errors.append(f"{error.message} {error.stack}"))
    for path in NOTEBOOKS:
        shutil.copy(path, lab.root)
    shutil.copytree(FOLDER / "images", lab.root / "images", dirs_exist_ok=True)
    lab.open(page, NOTEBOOKS[0].name)
    stored = {path.name: _stored(path) for path in NOTEBOOKS}
    shown: dict[str, Any] = {}
    for name, wanted in stored.items():
        page.evaluate(_OPEN, name)
        with suppress(TimeoutError):  # what is missing is told below
            page.wait_for_function(
                f"([path, wanted]) => JSON.stringify(({_SHOWN})(path)) === wanted",
                arg=[name, json.dumps(wanted, separators=(",", ":"))],
                timeout=5_000,
            )
        shown[name] = page.evaluate(_SHOWN, name)
        dialogs = page.locator(".jp-Dialog").all_text_contents()
        assert dialogs == [], name
        page.evaluate(_CLOSE, name)
    assert shown == stored
    print("console:", errors)
    assert [error for error in errors if "kernelkit" in error] == []
