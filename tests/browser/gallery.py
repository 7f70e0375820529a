"""Make the README's gallery of screenshots that the tests have taken: `python -m tests.browser.gallery`."""

from __future__ import annotations

import sys

from PIL import Image

from tests.browser.conftest import ROOT, SCREENSHOTS

# Screenshot, and the part of it from the top that is shown.
PICTURES = {
    "quickstart": ("quickstart-start", 1.0),
    "topology": ("topology-4-1600-light", 1.0),
    "shardmap": ("shardmap-4-1600-light", 1.0),
    "links": ("links-4-1600-light", 1.0),
    "panel": ("panel-waiting", 0.6),
}
_WIDTH_PX = 900


def main() -> int:
    for name, (taken, part) in PICTURES.items():
        path = SCREENSHOTS / f"{taken}.png"
        if not path.exists():
            print(f"{path} is missing: pytest tests/browser takes it", file=sys.stderr)
            return 1
        with Image.open(path) as whole:
            shown = whole.convert("RGB").crop((0, 0, whole.width, round(part * whole.height)))
        small = shown.resize(
            (_WIDTH_PX, round(shown.height * _WIDTH_PX / shown.width)), Image.Resampling.LANCZOS
        )
        target = ROOT / "notebooks" / "images" / f"{name}.png"
        small.quantize(128).save(target, optimize=True)
        print(f"{target.relative_to(ROOT)}: {target.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
