"""A cell that hangs, as a user meets it: told while it lasts, stopped, and everything back afterwards."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

from tests.browser.conftest import Lab
from tests.browser.look import outputs_of, run_cell, wait_for_text, write_notebook

_STUCK = """%%sharded
import time
y = mx.ones(4) * rank
if rank == 0:
    total = mx.distributed.all_sum(y)
    mx.eval(total)
else:
    time.sleep(600)"""


def test_a_hanging_cell_says_who_waits_where_and_the_cluster_comes_back(
    lab: Lab, page: Page, screenshots: Path
) -> None:
    cells = (
        "%load_ext kernelkit\n%cluster connect",
        "%sharded weights = mx.arange(4) + rank",
        _STUCK,
        "%cluster recover",
        "%sharded weights",
    )
    lab.open(page, write_notebook(lab, "stuck.ipynb", *cells))
    lab.run_all(page)
    page.get_by_text("waits in all_sum at line 5 for 2 s").first.wait_for()
    assert page.get_by_text("at line 8: time.sleep(600)").first.is_visible()
    page.screenshot(path=screenshots / "stuck-waiting.png")
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:interrupt-kernel'); }")
    text = wait_for_text(page, 2, "rank 0: line 6: mx.eval(total); 1 collective", timeout_s=15)
    assert "rank 1: line 8: time.sleep(600); 0 collectives" in text
    assert outputs_of(page)[2][-1]["ename"] == "RankStuckError"
    page.screenshot(path=screenshots / "stuck-stopped.png")
    run_cell(page, 3)
    assert "weights" in wait_for_text(page, 3, "2 new ranks")
    run_cell(page, 4)
    assert "array([1, 2, 3, 4], dtype=int32)" in wait_for_text(page, 4, "[1]")
    page.screenshot(path=screenshots / "stuck-recovered.png")
