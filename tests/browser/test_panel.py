"""The panel beside a notebook: alive while a cell runs, and its buttons work while one hangs."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Lab
from tests.browser.look import outputs_of, run_cell, text_of, wait_for_text, write_notebook

_STUCK = """%%sharded
import time
if rank == 0:
    mx.eval(mx.distributed.all_sum(mx.ones(4)))
time.sleep(600)"""
_CELLS = (
    "%load_ext kernelkit\n%cluster connect",
    "%sharded kept = rank + 1",
    "%cluster panel",
    _STUCK,
    "%sharded kept",
    "%cluster panel off",
)


def _open(lab: Lab, page: Page, name: str, place: str = "lab/tree") -> None:
    lab.open(page, write_notebook(lab, name, *_CELLS), place)
    for cell in (0, 1, 2):
        run_cell(page, cell)
        if cell == 0:
            wait_for_text(page, 0, "backend ring")
    page.locator(".kk-panel .kk-node").first.wait_for()


def _wait_for_panel(page: Page, words: str, timeout_s: float = 30) -> None:
    page.wait_for_function(
        "words => document.querySelector('.kk-panel')?.textContent.includes(words)",
        arg=words,
        timeout=timeout_s * 1000,
    )


def test_stop_and_recover_while_a_cell_hangs(lab: Lab, page: Page, screenshots: Path) -> None:
    page.set_viewport_size({"width": 1600, "height": 1000})
    _open(lab, page, "panel.ipynb")
    assert page.locator(".lm-DockPanel .kk-panel, .lm-Widget.kk-panel").count() == 1
    run_cell(page, 3)
    _wait_for_panel(page, "waits in all_sum")
    _wait_for_panel(page, "running")
    page.screenshot(path=screenshots / "panel-waiting.png")
    page.locator(".kk-panel .kk-stop").click()
    _wait_for_panel(page, "asked to stop", 5)
    text = wait_for_text(page, 3, "all_sum", timeout_s=30)
    assert "rank 0" in text
    _wait_for_panel(page, "failed")
    page.locator(".kk-panel .kk-recover").click()
    _wait_for_panel(page, "2 new ranks")
    run_cell(page, 4)
    assert "[1] 2" in wait_for_text(page, 4, "[1]")
    page.screenshot(path=screenshots / "panel-recovered.png")
    run_cell(page, 5)
    page.locator(".kk-panel").wait_for(state="detached")
    saved = str(outputs_of(page))
    assert "widget-view" not in saved  # nothing that could not be shown again
    assert text_of(outputs_of(page)[2]).startswith("the panel is at the side")


def test_it_takes_no_output_away(lab: Lab, page: Page) -> None:
    """Its messages and those of the cell share one line, of which Jupyter cuts what is too much."""
    lines = (
        "%%sharded --ranks 0\nimport time\nfor i in range(150):\n    print('line', i)\n    time.sleep(0.02)"
    )
    cells = (*_CELLS[:3], lines)
    lab.open(page, write_notebook(lab, "lines.ipynb", *cells))
    for cell in range(4):
        run_cell(page, cell)
    _wait_for_panel(page, "time.sleep(0.02)")
    text = wait_for_text(page, 3, "line 149")
    assert [line for line in text.splitlines() if "line" in line][-1].endswith("line 149")
    assert "rate exceeded" not in text


def test_closed_by_its_tab_it_opens_again(lab: Lab, page: Page) -> None:
    _open(lab, page, "closed.ipynb")
    tab = page.locator(".lm-TabBar-tab", has_text="cluster: closed.ipynb")
    tab.locator(".lm-TabBar-tabCloseIcon").click()
    page.locator(".kk-panel").wait_for(state="detached")
    wait_for_text(page, 2, "at the side")
    page.wait_for_timeout(300)  # its message to the kernel has no answer to wait for
    run_cell(page, 2)
    page.locator(".kk-panel .kk-node").first.wait_for()
    assert tab.count() == 1


def test_recover_alone_gives_up_the_cell_that_hangs(lab: Lab, page: Page) -> None:
    _open(lab, page, "give-up.ipynb")
    run_cell(page, 3)
    _wait_for_panel(page, "waits in all_sum")
    page.locator(".kk-panel .kk-recover").click()
    _wait_for_panel(page, "2 new ranks")
    wait_for_text(page, 3, "given up")
    run_cell(page, 4)
    assert "[1] 2" in wait_for_text(page, 4, "[1]")


@pytest.mark.parametrize("place", ["lab/tree", "notebooks"])
def test_a_restart_of_the_kernel_closes_it(lab: Lab, page: Page, place: str, screenshots: Path) -> None:
    _open(lab, page, "restarted.ipynb", place)
    page.screenshot(path=screenshots / f"panel-{place.partition('/')[0]}.png")
    page.evaluate(
        """() => [...window.jupyterapp.shell.widgets('main')].find(widget => widget.context?.sessionContext)
        .context.sessionContext.restartKernel()"""
    )
    page.locator(".kk-panel").wait_for(state="detached", timeout=30_000)


def test_without_the_extension_it_floats_over_the_page(bare_lab: Lab, page: Page, screenshots: Path) -> None:
    _open(bare_lab, page, "float.ipynb")
    assert page.locator("body > .kk-float .kk-node").count() >= 1
    run_cell(page, 3)
    _wait_for_panel(page, "waits in all_sum")
    page.screenshot(path=screenshots / "panel-floating.png")
    page.locator(".kk-panel .kk-stop").click()
    wait_for_text(page, 3, "all_sum", timeout_s=30)
    page.get_by_role("button", name="Close").click()
    page.locator(".kk-panel").wait_for(state="detached")
