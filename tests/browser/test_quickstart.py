"""The notebook as a user meets it: JupyterLab in Chromium, every cell run, the page looked at."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Page

from kernelkit.views.picture import MIME
from tests.browser.conftest import ROOT, Lab
from tests.browser.look import outputs_of, text_of, wait_for_text, write_notebook


def _gone(pids: list[int], timeout_s: float) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while any(psutil.pid_exists(pid) for pid in pids):
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.05)
    return True


def test_quickstart_runs_and_shows_everything(lab: Lab, page: Page, screenshots: Path) -> None:
    shutil.copy(ROOT / "notebooks" / "00_quickstart.ipynb", lab.root)
    lab.open(page, "00_quickstart.ipynb")
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
    lab.run_all(page)
    last = len(outputs_of(page)) - 1
    wait_for_text(page, last, "stopped", timeout_s=240)
    outputs = outputs_of(page)
    errors = [o for cell in outputs for o in cell if o["output_type"] == "error"]
    assert [error["ename"] for error in errors] == ["RankError"]
    texts = [text_of(cell) for cell in outputs]
    assert any("[0-1] a world of 2 ranks\n[0] I am rank 0\n[1] I am rank 1" in text for text in texts)
    assert any("9 → 12 heads" in text for text in texts)
    assert any("The capital of France is Paris." in text for text in texts)
    shown = [o["data"] for cell in outputs for o in cell if "image/png" in o.get("data", {})]
    assert len([data for data in shown if MIME not in data]) == 2  # what the ranks plotted
    assert page.locator(".jp-OutputArea-output img").count() == 2
    kinds = [data[MIME]["kind"] for data in shown if MIME in data]
    assert kinds == ["shardmap", "shardmap", "topology", "memory", "generation"]
    drawn = page.locator(".kernelkit-picture")
    assert drawn.count() == len(kinds)
    hosts = drawn.locator(".kk-node")
    assert hosts.count() == 1
    assert "rank 0" in (hosts.text_content() or "")
    assert drawn.locator('.kk-edge[data-ranks="0-1"]').count() == 1
    for number, layers in enumerate((8, 30)):  # austen, SmolLM2
        for layer, shown_cells in ((layers - 1, 2), (layers, 0)):
            assert drawn.nth(number).locator(f'.kk-cell[data-layer="{layer}"]').count() == shown_cells
    assert "heads 6–8 of 9 + 3 of zeros" in (drawn.nth(1).text_content() or "")
    page.screenshot(path=screenshots / "quickstart-end.png")
    page.evaluate("() => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = 0; }")
    page.locator(".jp-WindowedPanel-outer").first.evaluate("element => { element.scrollTop = 0; }")
    page.wait_for_timeout(300)
    page.screenshot(path=screenshots / "quickstart-start.png")


def test_stop_button_interrupts_the_ranks_and_the_cluster_goes_on(lab: Lab, page: Page) -> None:
    name = write_notebook(
        lab,
        "stop.ipynb",
        "%load_ext kernelkit\n%cluster connect",
        "%%sharded\nimport time\nprint('asleep')\nfor _ in range(600):\n    time.sleep(0.1)",
        "print('run all went on')",
        "%sharded rank",
    )
    lab.open(page, name)
    lab.run_all(page)
    page.get_by_text("asleep", exact=True).first.wait_for()
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:interrupt-kernel'); }")
    text = wait_for_text(page, 1, "interrupted", timeout_s=15)
    assert "still usable" in text
    assert "went on" not in text_of(outputs_of(page)[2])
    page.evaluate(
        """() => { const notebook = window.jupyterapp.shell.currentWidget.content;
        notebook.activeCellIndex = 3; window.jupyterapp.commands.execute('notebook:run-cell'); }"""
    )
    assert wait_for_text(page, 3, "[1] 1") == "[0] 0\n[1] 1"


def test_a_flood_of_lines_leaves_page_and_file_alive(lab: Lab, page: Page) -> None:
    name = write_notebook(
        lab,
        "flood.ipynb",
        "%load_ext kernelkit\n%cluster connect 4",
        "%%sharded\nfor i in range(20_000):\n    print('rank', rank, 'line', i)",
        "print('after the flood')",
    )
    lab.open(page, name)
    lab.run_all(page)
    wait_for_text(page, 2, "after the flood", timeout_s=120)
    text = text_of(outputs_of(page)[1])
    assert "[3] rank 3 line 19999" in text
    assert "19,600 of 20,000 lines not shown" in text
    lab.save(page)
    size = (lab.root / name).stat().st_size
    assert size < 200_000, f"the saved notebook has {size} bytes"


def test_kernel_restart_takes_the_ranks_along(lab: Lab, page: Page) -> None:
    name = write_notebook(
        lab,
        "restart.ipynb",
        "%load_ext kernelkit\n%cluster connect",
        "print([rank.pid for rank in cluster.status().ranks])",
        "%%sharded\nimport time\nprint('busy')\ntime.sleep(600)",
    )
    lab.open(page, name)
    lab.run_all(page)
    page.get_by_text("busy", exact=True).first.wait_for()
    pids = json.loads(text_of(outputs_of(page)[1]))
    assert len(pids) == 2
    assert all(psutil.pid_exists(pid) for pid in pids)
    page.evaluate(
        """() => { window.jupyterapp.shell.currentWidget.context.sessionContext.restartKernel(); }"""
    )
    assert _gone(pids, timeout_s=15)
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel.status === 'idle'"
    )
    lab.run_all(page)
    wait_for_text(page, 1, "[")
    assert json.loads(text_of(outputs_of(page)[1])) != pids
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:interrupt-kernel'); }")
    wait_for_text(page, 2, "interrupted", timeout_s=15)


@pytest.mark.parametrize(
    ("source", "wanted"), [("%%sharded\nonly_on_ra", "only_on_ranks"), ("%cluster rest", "restart")]
)
def test_tab_completes_what_the_ranks_and_the_magics_know(
    lab: Lab, page: Page, source: str, wanted: str
) -> None:
    name = write_notebook(
        lab, "tab.ipynb", "%load_ext kernelkit\n%cluster connect\n%sharded only_on_ranks = 1", source
    )
    lab.open(page, name)
    page.evaluate(
        """() => { const notebook = window.jupyterapp.shell.currentWidget.content;
        notebook.activeCellIndex = 0; window.jupyterapp.commands.execute('notebook:run-cell'); }"""
    )
    wait_for_text(page, 0, "ring")
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget.context.sessionContext.session.kernel.status === 'idle'"
    )
    editor = page.locator(".jp-CodeCell .cm-content").nth(1)
    editor.click()
    page.keyboard.press("Control+End")
    page.keyboard.press("Tab")
    page.wait_for_function(
        """wanted => window.jupyterapp.shell.currentWidget.content.widgets[1].model.sharedModel.source
            .includes(wanted) ||
            [...document.querySelectorAll('.jp-Completer-item')].some(e => e.textContent.includes(wanted))""",
        arg=wanted,
    )
