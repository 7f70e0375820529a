"""Join the modules of `static/` into one text, because anywidget takes one and knows no folder.

Each module becomes a block of its own, after those that it imports, so names in different modules do not
meet. Understood is what the modules there use: `import { a, b as c } from "./x.js";` and `export function`,
`const` or `class`.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

STATIC = Path(__file__).parent / "static"
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([\w.-]+)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function\*?|const|let|class) (\w+))", re.MULTILINE)


@cache
def joined(entry: str) -> str:
    """The module `entry` with everything that it needs in front of it."""
    parts = [f"const __{_name(name)} = {{}};\n{_block(name)}" for name in _needed(entry)[:-1]]
    return "\n".join([*parts, _linked(entry)])


def _needed(entry: str, above: tuple[str, ...] = ()) -> list[str]:
    """The modules in an order in which each follows what it imports; `entry` is the last."""
    if entry in above:
        raise ImportError(f"modules import each other in a circle: {' > '.join([*above, entry])}")
    order: dict[str, None] = {}
    for _, name in _IMPORT.findall(_text(entry)):
        order.update(dict.fromkeys(_needed(name, (*above, entry))))
    return [*order, entry]


def _block(name: str) -> str:
    exported = [match[1] for match in _EXPORT.finditer(_text(name))]
    body = _EXPORT.sub("", _linked(name))
    return f"{{\n{body}\nObject.assign(__{_name(name)}, {{ {', '.join(exported)} }});\n}}"


def _linked(name: str) -> str:
    """The module's text; where it imported there is now a look into the block before."""

    def link(match: re.Match[str]) -> str:
        return f"const {{{match[1].replace(' as ', ': ')}}} = __{_name(match[2])};"

    return _IMPORT.sub(link, _text(name))


def _text(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")


def _name(file: str) -> str:
    return re.sub(r"\W", "_", file)
