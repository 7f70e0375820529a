"""What the pages and Python must have alike: colours, units, and modules that can be joined."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from kernelkit.units import format_bytes, format_rate, format_seconds
from kernelkit.views.modules import STATIC, joined
from kernelkit.views.palette import COLOURS
from kernelkit.views.picture import KINDS

_SIZES = [0, 7, 999, 999.6, 1000, 1234, 12_345, 999_499, 999_501, 4_567_890, 1.005e9, 9.995e9, 3.2e12, 2e15]
_TIMES = [0.0, 4e-7, 1.25e-5, 9.996e-4, 0.00215, 0.5, 0.9996, 1.005, 12.345, 59.99, 60, 61.5, 3600]


needs_node = pytest.mark.skipif(
    shutil.which("node") is None, reason="NO NODE FOUND: the pages' modules were not tried"
)


def node(*arguments: str) -> str:
    """What node prints."""
    done = subprocess.run(["node", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@needs_node
def test_the_geometry_of_all_pages() -> None:
    tests = sorted(map(str, (Path(__file__).parent / "js").glob("*.test.js")))
    assert len(tests) >= len(KINDS)
    told = node("--test", "--test-reporter=tap", *tests)
    counted = dict(re.findall(r"^# (pass|fail) (\d+)$", told, re.MULTILINE))
    assert counted["fail"] == "0"
    assert int(counted["pass"]) > len(tests)


@needs_node
def test_pages_and_python_print_quantities_alike() -> None:
    kit = (STATIC / "kit.js").as_uri()
    script = f"""
        import {{ COLOURS, formatBytes, formatRate, formatSeconds }} from "{kit}";
        const [sizes, times] = {json.dumps([_SIZES, _TIMES])};
        const rates = sizes.map((size) => formatRate(size, "tokens"));
        console.log(JSON.stringify([COLOURS, sizes.map(formatBytes), times.map(formatSeconds), rates]));"""
    colours, sizes, times, rates = json.loads(node("--input-type=module", "--eval", script))
    assert colours == COLOURS
    assert sizes == [format_bytes(size) for size in _SIZES]
    assert times == [format_seconds(time) for time in _TIMES]
    assert rates == [format_rate(size, "tokens") for size in _SIZES]


@needs_node
@pytest.mark.parametrize("entry", ["widget.js", "panel.js"])
def test_joined_modules_are_one_module_that_can_be_read(entry: str, tmp_path: Path) -> None:
    text = joined(entry)
    assert "import " not in re.sub(r"//.*|/\*.*?\*/", "", text, flags=re.DOTALL)
    path = tmp_path / "joined.mjs"
    path.write_text(text)
    script = f'const m = await import("{path.as_uri()}"); console.log(Object.keys(m.default).join());'
    assert node("--input-type=module", "--eval", script).strip() in ("render", "initialize")


def test_every_kind_of_picture_has_its_module() -> None:
    mount = (STATIC / "mount.js").read_text()
    assert [kind for kind in KINDS if f'as {kind} }} from "./{kind}.js";' not in mount] == []
