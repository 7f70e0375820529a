"""The pictures on a real page: both themes, narrow and wide, clicked, reopened, trusted or not, offline."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import Locator, Page

from tests.browser.conftest import ROOT, Lab, wait_for_splash
from tests.browser.look import run_cell, wait_for_text, write_notebook

_SETUP = f"""import sys
sys.path.insert(0, {str(ROOT)!r})
import kernelkit as kk
from tests.views import samples"""
_CELLS = {
    "topology": "kk.views.topology(samples.cluster_map({hosts}, running=True))",
    "links": "kk.views.link_matrix(samples.link_report({hosts}))",
    "shardmap": "kk.views.shard_map(samples.shard_map({hosts}))",
    "memory": "kk.views.memory(samples.memory_map({hosts}), context=32_768)",
    "generation": "kk.views.generation(samples.generation(ranks={hosts}))",
}
# Of text and what lies behind it, as WCAG defines it; 4.5 is its AA for text of this size.
_CONTRAST = """element => {
    const channel = part => {
        const c = part / 255;
        return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    };
    const light = rgb => {
        const [r, g, b] = rgb.match(/[\\d.]+/g).map(Number);
        return 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    };
    let behind = element, paper = 'rgba(0, 0, 0, 0)';
    while (behind && /rgba\\(.*, 0\\)/.test(paper)) {
        paper = getComputedStyle(behind).backgroundColor;
        behind = behind.parentElement;
    }
    const style = getComputedStyle(element);
    const ink = element.closest('svg') ? style.fill : style.color;
    const [a, b] = [light(ink), light(paper)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
}"""
# Labels whose boxes overlap by more than a pixel, as the page has laid them out with its own fonts.
_OVERLAPS = """root => {
    const seen = { opacityProperty: true, visibilityProperty: true };
    const boxes = [...root.querySelectorAll('.kk-label')]
        .filter(label => label.textContent && label.checkVisibility(seen))
        .map(label => [label.textContent, label.getBoundingClientRect()])
        .filter(([, box]) => box.width > 0);
    const found = [];
    boxes.forEach(([one, a], i) => boxes.slice(i + 1).forEach(([other, b]) => {
        const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        if (across > 1 && down > 2) found.push(`${one} | ${other}`);
    }));
    return found;
}"""


def _draw(lab: Lab, page: Page, hosts: int, place: str = "lab/tree") -> None:
    """A notebook with every kind of picture, run."""
    cells = [_SETUP, *(cell.format(hosts=hosts) for cell in _CELLS.values()), "print('drawn')"]
    lab.open(page, write_notebook(lab, "pictures.ipynb", *cells), place)
    lab.run_all(page)
    wait_for_text(page, len(cells) - 1, "drawn", timeout_s=120)


def _picture(page: Page, kind: str) -> Locator:
    """The picture of that kind, scrolled to: JupyterLab lays out only what is in view."""
    index = 1 + list(_CELLS).index(kind)
    page.evaluate(
        """cell => { const content = window.jupyterapp.shell.currentWidget.content;
        content.activeCellIndex = cell; return content.scrollToItem(cell, 'start'); }""",
        index,
    )
    found = page.locator(f'.kernelkit-picture [data-kind="{kind}"]')
    found.locator("svg").first.wait_for()
    return found


@pytest.mark.parametrize("width", [700, 1600])
@pytest.mark.parametrize("hosts", [4, 8])
def test_labels_can_be_read_and_do_not_overlap(
    lab: Lab, page: Page, screenshots: Path, hosts: int, width: int
) -> None:
    page.set_viewport_size({"width": width + 130, "height": 1400})
    _draw(lab, page, hosts)
    page.evaluate("() => window.jupyterapp.shell.collapseLeft()")
    for theme in ("Light", "Dark", "Light"):  # while they are shown; the server remembers the last one
        page.evaluate(
            "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })",
            f"JupyterLab {theme}",
        )
        light = str(theme == "Light").lower()
        page.wait_for_function("light => document.body.dataset.jpThemeLight === light", arg=light)
        wait_for_splash(page)
        _check_labels(page, screenshots, f"{hosts}-{width}-{theme.lower()}")


def _check_labels(page: Page, screenshots: Path, name: str) -> None:
    for kind in _CELLS:
        picture = _picture(page, kind)
        picture.screenshot(path=screenshots / f"{kind}-{name}.png")
        assert picture.evaluate(_OVERLAPS) == [], f"{kind}: labels overlap"
        labels = picture.locator(".kk-label").all()
        assert len(labels) >= 3
        weak = [label.text_content() for label in labels[:60] if label.evaluate(_CONTRAST) < 4.5]
        assert weak == [], f"{kind}: too little contrast"


def test_what_is_clicked_is_explained_and_the_keyboard_does_the_same(lab: Lab, page: Page) -> None:
    _draw(lab, page, 4)
    topology = _picture(page, "topology")
    assert topology.locator(".kk-node").count() == 4
    assert topology.locator(".kk-edge").count() == 6
    topology.locator('.kk-edge[data-ranks="0-1"]').first.focus()
    page.keyboard.press("Enter")
    assert "11 % of Thunderbolt 5" in (topology.locator(".kk-detail").first.text_content() or "")
    topology.locator('.kk-node[data-host="studio-2.local"]').first.click()
    assert "Apple M3 Ultra" in (topology.locator(".kk-detail").first.text_content() or "")
    shards = _picture(page, "shardmap")
    shards.locator('.kk-cell[data-rank="1"][data-layer="3"]').first.click()
    detail = shards.locator(".kk-detail").first.text_content() or ""
    assert "model.layers.3.mlp.gate_proj.weight" in detail
    assert "(1536, 576) → (384, 576)" in detail
    memory = _picture(page, "memory")
    slider = memory.locator('input[type="range"]')
    before = memory.text_content()
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert memory.text_content() != before
    for kind in _CELLS:
        unnamed = _picture(page, kind).locator("svg:not([aria-label]):not([aria-hidden]):not(svg svg)")
        assert unnamed.count() == 0, f"{kind}: a drawing without a text alternative"


def test_the_same_pictures_in_notebook_7(lab: Lab, page: Page, screenshots: Path) -> None:
    _draw(lab, page, 4, "notebooks")
    for kind in _CELLS:
        assert _picture(page, kind).locator("svg").count() >= 1
    page.screenshot(path=screenshots / "notebook-7.png")


def test_an_anywidget_draws_without_the_extension(bare_lab: Lab, page: Page) -> None:
    cells = [
        _SETUP,
        "picture = kk.views.topology(samples.cluster_map(4))\npicture",
        "widget = picture.widget()\nwidget",
        "widget.scene = kk.views.topology(samples.cluster_map(4, running=True)).scene\nprint('updated')",
    ]
    bare_lab.open(page, write_notebook(bare_lab, "bare.ipynb", *cells))
    bare_lab.run_all(page)
    wait_for_text(page, 3, "updated", timeout_s=120)
    page.locator(".kk-view .kk-node").first.wait_for()
    assert page.locator(".kernelkit-picture").count() == 0
    assert page.locator(".jp-OutputArea-output img").count() == 1  # the twin, in place of the picture
    assert page.locator(".kk-view .kk-node").count() == 4
    assert "waits in all_sum" in (page.locator(".kk-view").first.text_content() or "")


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A notebook with all pictures, run without a page, as CI or a colleague would."""
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell.format(hosts=4)) for cell in (_SETUP, *_CELLS.values())],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    )
    path = tmp_path_factory.mktemp("executed") / "saved.ipynb"
    nbformat.write(notebook, path)
    argv = ["jupyter", "nbconvert", "--to", "notebook", "--execute", "--inplace", str(path)]
    subprocess.run([sys.executable, "-m", *argv], check=True, capture_output=True, timeout=240)
    return path


def _reopen(lab: Lab, page: Page, executed: Path, *, trusted: bool) -> None:
    path = lab.root / executed.name
    shutil.copy(executed, path)
    if trusted:
        argv = [sys.executable, "-m", "jupyter", "trust", str(path)]
        subprocess.run(argv, check=True, capture_output=True, timeout=60, env=lab.env)
    lab.open(page, path.name)
    is_trusted = page.evaluate(
        """() => [...window.jupyterapp.shell.currentWidget.content.model.cells]
        .every(cell => cell.type !== 'code' || cell.trusted)"""
    )
    assert is_trusted == trusted


@pytest.mark.parametrize("trusted", [False, True], ids=["untrusted", "trusted"])
def test_a_saved_notebook_shows_its_pictures_again_without_running(
    lab: Lab, page: Page, screenshots: Path, executed: Path, trusted: bool
) -> None:
    _reopen(lab, page, executed, trusted=trusted)
    for kind in _CELLS:
        assert _picture(page, kind).locator("svg").count() >= 1
    assert page.get_by_text("Error displaying widget").count() == 0
    page.screenshot(path=screenshots / f"reopened-{'trusted' if trusted else 'untrusted'}.png")


@pytest.mark.parametrize("trusted", [False, True], ids=["untrusted", "trusted"])
def test_without_the_extension_a_saved_notebook_shows_the_twins(
    bare_lab: Lab, page: Page, screenshots: Path, executed: Path, trusted: bool
) -> None:
    _reopen(bare_lab, page, executed, trusted=trusted)
    for index in range(1, len(_CELLS) + 1):
        page.evaluate(
            "cell => window.jupyterapp.shell.currentWidget.content.scrollToItem(cell, 'start')", index
        )
        page.wait_for_function(
            """cell => { const image = window.jupyterapp.shell.currentWidget.content.widgets[cell].node
            .querySelector('.jp-OutputArea-output img'); return image && image.naturalWidth > 300; }""",
            arg=index,
        )
    page.screenshot(path=screenshots / f"twins-{'trusted' if trusted else 'untrusted'}.png")


def test_nbconvert_html_shows_every_picture_offline(
    page: Page, tmp_path: Path, executed: Path, screenshots: Path
) -> None:
    path = tmp_path / executed.name
    shutil.copy(executed, path)
    argv = [sys.executable, "-m", "jupyter", "nbconvert", "--to", "html", str(path)]
    subprocess.run(argv, check=True, capture_output=True, timeout=120)
    page.context.set_offline(True)
    page.goto(path.with_suffix(".html").as_uri())
    images = page.locator(".jp-OutputArea-output img")
    assert images.count() == len(_CELLS)
    for image in images.all():
        assert image.evaluate("image => image.complete && image.naturalWidth") > 300
        assert len(image.get_attribute("alt") or "") > 20
    page.screenshot(path=screenshots / "nbconvert-offline.png", full_page=True)


def test_pictures_of_saved_data_need_no_cluster(lab: Lab, page: Page, tmp_path: Path) -> None:
    from tests.views import samples

    samples.link_report(4).save(lab.root / "yesterday.json")
    cells = [
        "%load_ext kernelkit\nimport kernelkit as kk\nkk.LinkReport.load('yesterday.json')",
        "print('shown')",
    ]
    lab.open(page, write_notebook(lab, "yesterday.ipynb", *cells))
    lab.run_all(page)
    wait_for_text(page, 1, "shown")
    page.locator('.kernelkit-picture [data-kind="links"] svg').first.wait_for()
    outputs = json.dumps(page.evaluate("() => window.jupyterapp.shell.currentWidget.content.model.toJSON()"))
    assert "widget-view" not in outputs


def test_an_output_that_cannot_be_drawn_shows_its_twin(lab: Lab, page: Page) -> None:
    """Of a newer kernelkit, or damaged."""
    show = "from IPython.display import display\nfrom kernelkit.views.picture import MIME\n"
    damaged = ("{'kind': 'future', 'scene': {}, 'alt': 'x'}", "{'kind': 'links', 'scene': {'a': 1}}", "None")
    cells = [
        f"{_SETUP}\n{show}data, _ = kk.views.link_matrix(samples.link_report(2)).bundle()",
        *(f"display({{**data, MIME: {view}}}, raw=True)" for view in damaged),
        "print('shown')",
    ]
    lab.open(page, write_notebook(lab, "damaged.ipynb", *cells))
    lab.run_all(page)
    wait_for_text(page, 4, "shown")
    twins = page.locator(".kernelkit-picture img")
    twins.nth(2).wait_for()
    assert twins.count() == 3
    assert all(twin.evaluate("image => image.naturalWidth") > 300 for twin in twins.all())


def test_run_cell_by_cell_the_page_keeps_up(lab: Lab, page: Page) -> None:
    """A picture that is replaced while it is shown is updated in place, and focus stays where it is."""
    cells = [
        f"{_SETUP}\nfrom IPython.display import display\n"
        "shown = display(kk.views.topology(samples.cluster_map(4, running=True)), display_id=True)",
        "later = samples.cluster_map(4, running=True, sent_bytes=98_500_000)\n"
        "shown.update(kk.views.topology(later))\nprint('updated')",
    ]
    lab.open(page, write_notebook(lab, "updated.ipynb", *cells))
    run_cell(page, 0)
    edge = page.locator('.kernelkit-picture .kk-edge[data-ranks="2-3"]').first
    edge.wait_for(state="attached")  # a level line has no height, and would count as hidden
    edge.evaluate("element => { element.dataset.mark = 'same node'; }")
    run_cell(page, 1)
    wait_for_text(page, 1, "updated")
    page.wait_for_function(
        "() => document.querySelector('.kernelkit-picture').textContent.includes('197 MB')"
    )
    assert page.locator('.kk-edge[data-mark="same node"]').count() == 1
