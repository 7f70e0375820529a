"""`%plan` shows its picture, and a control of `explore` changes a figure."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

from tests.browser.conftest import ROOT, Lab
from tests.browser.look import outputs_of, wait_for_text, write_notebook


def test_a_plan_is_a_picture_and_its_slider_changes_it(lab: Lab, page: Page, screenshots: Path) -> None:
    cells = [
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n%load_ext kernelkit",
        "%plan kimi-k2 --on 4xm3-ultra-512",
        "from kernelkit.views import explore\nexplore('kimi-k2')",
    ]
    lab.open(page, write_notebook(lab, "plan.ipynb", *cells))
    lab.run_all(page)
    before = wait_for_text(page, 2, "on 4xm3-ultra-512")
    data = outputs_of(page)[1][0]["data"]
    assert "text/html" not in data
    picture = page.locator(".jp-OutputArea-output img")
    picture.nth(1).wait_for()
    assert picture.first.evaluate("image => image.naturalWidth") > 600
    slider = (
        page.locator(".widget-slider").filter(has_text="machines").locator('[role="slider"], .noUi-handle')
    )
    slider.first.focus()
    page.keyboard.press("ArrowLeft")
    menus = page.locator(".widget-dropdown select")
    shown = [
        menu.evaluate('menu => menu.selectedOptions[0]?.label.replaceAll("\\u00a0", " ")')
        for menu in menus.all()
    ]
    assert shown == ["4bit", "fastest built in", "tensor"]
    after = wait_for_text(page, 2, "on 3xm3-ultra-512")
    assert "tokens/s" in after
    assert after != before
    page.screenshot(path=screenshots / "plan.png", full_page=True)
