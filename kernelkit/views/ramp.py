"""A sequential scale of colours, dark to bright, that does not need colour vision to be read.

Lightness rises evenly from end to end, so it stays a scale in print, on a projector and with any colour
vision; the hue turns from indigo over teal to yellow for those who see it. Computed in Oklch (B. Ottosson, "A
perceptual color space for image processing", 2020). `static/links_geometry.js` has the same; tests hold both
to one list.
"""

from __future__ import annotations

from math import cos, radians, sin

DARK_INK, LIGHT_INK = "#000000", "#ffffff"

_LIGHTNESS = 0.30, 0.92
_HUE_DEGREES = 280.0, 105.0
# As much colour as sRGB has at that lightness and hue, which is least in the middle.
_CHROMA, _MORE_AT_THE_ENDS = 0.088, 0.06


def ramp(shade: float) -> str:
    """The colour at `shade`, 0 (dark) to 1 (bright), as `#rrggbb`."""
    at = min(1.0, max(0.0, shade))
    lightness = _LIGHTNESS[0] + (_LIGHTNESS[1] - _LIGHTNESS[0]) * at
    hue = radians(_HUE_DEGREES[0] + (_HUE_DEGREES[1] - _HUE_DEGREES[0]) * at)
    chroma = _CHROMA + _MORE_AT_THE_ENDS * (2 * at - 1) ** 2
    return "#" + "".join(f"{_channel(value):02x}" for value in _linear_rgb(lightness, chroma, hue))


def ink_on(colour: str) -> str:
    """Black or white, whichever is the better read on it: the theme has no say where a cell has a colour."""
    own = luminance(colour)
    return (
        DARK_INK if contrast(own, luminance(DARK_INK)) >= contrast(own, luminance(LIGHT_INK)) else LIGHT_INK
    )


def luminance(colour: str) -> float:
    """Relative luminance by WCAG 2, 0 to 1."""
    red, green, blue = (_linear(int(colour[i : i + 2], 16) / 255) for i in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: float, second: float) -> float:
    """Contrast of two luminances by WCAG 2: 1 to 21, and 4.5 is what small text needs."""
    high, low = max(first, second), min(first, second)
    return (high + 0.05) / (low + 0.05)


def _linear_rgb(lightness: float, chroma: float, hue: float) -> tuple[float, float, float]:
    a, b = chroma * cos(hue), chroma * sin(hue)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )


def _channel(linear: float) -> int:
    value = min(1.0, max(0.0, linear))
    return round(255 * (12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055))


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
