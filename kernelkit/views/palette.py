"""The colours of all pictures: Okabe and Ito's, which people with any colour vision tell apart.

`static/kit.js` has the same; a test compares them.
"""

from __future__ import annotations

from typing import Final

COLOURS: Final = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermillion": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "yellow": "#F0E442",
    "grey": "#999999",
}
