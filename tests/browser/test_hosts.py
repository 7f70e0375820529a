"""Looking at machines and links from JupyterLab: progress while it lasts, tables afterwards."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

from tests.browser.conftest import Lab
from tests.browser.look import run_cell, wait_for_text, write_notebook


def test_doctor_and_links_show_what_they_do_and_then_their_tables(
    lab: Lab, page: Page, screenshots: Path
) -> None:
    cells = ("%load_ext kernelkit\n%cluster connect 2", "%cluster doctor", "%cluster links", "%sharded rank")
    lab.open(page, write_notebook(lab, "links.ipynb", *cells))
    run_cell(page, 0)
    wait_for_text(page, 0, "2 ranks on this machine")
    run_cell(page, 1)
    wait_for_text(page, 1, "free memory")
    run_cell(page, 2)
    page.get_by_text("by plain TCP (1 of 1)").first.wait_for()
    page.screenshot(path=screenshots / "links-running.png")
    assert "0 > 1" in wait_for_text(page, 2, "1 link, backend ring")
    page.locator('.kernelkit-picture [data-kind="links"] svg').first.wait_for()
    page.screenshot(path=screenshots / "links-done.png")
    run_cell(page, 3)
    wait_for_text(page, 3, "[1] 1")
