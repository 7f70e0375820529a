"""The curve of one direction by matplotlib: what was measured over message size, the fit, nominal rates."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

from kernelkit.hosts.linkfit import format_size
from kernelkit.units import format_bytes, format_seconds
from kernelkit.views.palette import COLOURS

_INKS = [COLOURS[name] for name in ("blue", "orange", "green", "purple", "vermillion", "sky")]
_MARKERS = ("o", "D", "^", "s")
_DASHES = ((5, 3), (9, 3), (2, 2))
_SOFT = "#666666"
_STEPS = 64


def draw_curve(axes: Axes, scene: dict[str, Any], pair: list[int], word: str) -> None:
    """Draw a pair's links over both means.

    Args:
        pair: sender and receiver.
        word: what the pair is, for the title: `slowest`.
    """
    rates = scene["show"] == "bandwidth"
    flows = [flow for flow in scene["flows"] if [flow["sender"], flow["receiver"]] == pair]
    links = sorted({flow["link"] for flow in flows}, key=lambda i: (not scene["links"][i]["in_use"], i))
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    for flow in sorted(flows, key=lambda flow: flow["by"] == "mlx"):
        _draw_flow(axes, scene, flow, links.index(flow["link"]), rates=rates)
    axes.autoscale_view()
    _draw_nominals(axes, [scene["links"][i] for i in links], rates=rates)
    _dress(axes, rates=rates)
    hosts = {entry["rank"]: entry["host"] for entry in scene["ranks"]}
    title = f"{word}: rank {pair[0]} → rank {pair[1]}  ({hosts[pair[0]]} → {hosts[pair[1]]})"
    axes.set_title(title, size=9.5, loc="left")
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(
        range(len(labels)), key=lambda i: (labels[i].startswith("nominal"), not labels[i].startswith("MLX"))
    )
    axes.legend(
        [handles[i] for i in order],
        [labels[i] for i in order],
        loc="upper left",
        bbox_to_anchor=(-0.02, -0.15),
        frameon=False,
        fontsize=8,
        labelspacing=0.3,
        title="fitted: time of a message =",
        title_fontsize=8,
        alignment="left",
    )


def key_lines(scene: dict[str, Any], pair: list[int]) -> int:
    """How many lines the key under the pair's curve has."""
    flows = [flow for flow in scene["flows"] if [flow["sender"], flow["receiver"]] == pair]
    links = [scene["links"][flow["link"]] for flow in flows]
    return len(flows) + len({link["nominal_bytes_per_s"] for link in links} - {None})


def _draw_flow(axes: Axes, scene: dict[str, Any], flow: dict[str, Any], nth: int, *, rates: bool) -> None:
    link, tcp, ink = scene["links"][flow["link"]], flow["by"] == "tcp", _INKS[nth % len(_INKS)]
    at = [_shown(sample, rates=rates) for sample in flow["samples"]]
    spread = [
        [abs(v - min(low, high)) for v, low, high in at],
        [abs(max(low, high) - v) for v, low, high in at],
    ]
    ends = link["interfaces"] if link["ranks"][0] == flow["sender"] else link["interfaces"][::-1]
    over = " → ".join(dict.fromkeys(filter(None, ends))) or link["title"]
    if not link["in_use"]:
        over += ", not in use"
    means = "TCP" if tcp else f"MLX ({scene['backend']})"
    sizes = [sample[0] for sample in flow["samples"]]
    axes.errorbar(
        sizes,
        [value for value, _, _ in at],
        yerr=spread,
        fmt=_MARKERS[nth % len(_MARKERS)],
        markersize=5 if tcp else 4,
        markerfacecolor="white" if tcp else ink,
        color=ink,
        elinewidth=1,
        capsize=1.5,
        linestyle="none",
        label=f"{means}, {over}: {flow['formula']}",
    )
    latency, bandwidth = flow["latency_s"], flow["bandwidth_bytes_per_s"]
    if latency and bandwidth and sizes:
        grid = [sizes[0] * (sizes[-1] / sizes[0]) ** (i / _STEPS) for i in range(_STEPS + 1)]
        times = [latency + size / bandwidth for size in grid]
        values = [size / time for size, time in zip(grid, times, strict=True)] if rates else times
        axes.plot(grid, values, color=ink, linewidth=1.5, linestyle=":" if tcp else "-", zorder=1)


def _shown(sample: list[float], *, rates: bool) -> tuple[float, float, float]:
    """The median, and the two ends of its bar: the fastest, and nine of ten."""
    size, seconds, low, p90 = sample
    return (size / seconds, size / p90, size / low) if rates else (seconds, low, p90)


def _draw_nominals(axes: Axes, links: list[dict[str, Any]], *, rates: bool) -> None:
    """In a plot of times the line of a nominal rate may leave the plot; the points set its bounds."""
    low, high = axes.get_xlim()
    bottom, top = axes.get_ylim()
    known = {link["nominal_bytes_per_s"]: link["title"] for link in links if link["nominal_bytes_per_s"]}
    for i, (rate, title) in enumerate(known.items()):
        values = [rate, rate] if rates else [low / rate, high / rate]
        style = (0, _DASHES[i % len(_DASHES)])
        text = f"nominal, {title}: size / {format_bytes(rate)}/s"
        axes.plot([low, high], values, color=_SOFT, linewidth=1.2, linestyle=style, label=text, zorder=1)
    axes.set_xlim(low, high)
    axes.set_ylim(bottom, max([top, *(1.4 * rate for rate in known)]) if rates else top)


def _dress(axes: Axes, *, rates: bool) -> None:
    axes.xaxis.set_major_locator(FixedLocator([4 * 16**i for i in range(8)]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: format_size(round(size))))
    axes.yaxis.set_major_locator(LogLocator(base=10, numticks=9))
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{format_bytes(value)}/s" if rates else format_seconds(value))
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_formatter(NullFormatter())
    axes.minorticks_off()
    axes.tick_params(labelsize=8, length=2)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("size of one message; bars: from the fastest to nine of ten", size=8, color=_SOFT)
    axes.set_ylabel("bandwidth" if rates else "time of one message", size=8, color=_SOFT)
    axes.spines[:].set_color("#bbbbbb")
