"""A link report in words: its table, and sentences on what is wrong with its links."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

from kernelkit.tables import html_table, text_table
from kernelkit.units import format_bytes, format_seconds

if TYPE_CHECKING:
    from kernelkit.hosts.linkreport import Link, LinkReport, Way

COLUMNS = (
    "ranks", "hosts", "link", "over", "latency", "bandwidth", "of nominal",
    "TCP latency", "TCP bandwidth", "note",
)  # fmt: skip

# Below these a sentence is due. The two ways of a shaped link, and MLX and plain TCP on it, were within 0.1
# of each other; on the loopback of a busy machine, within 0.4.
_LOW_SHARE = 0.5
_LOPSIDED = 0.6
_BEHIND_TCP = 0.6
_MUCH_WIDER = 1.5


def as_text(report: LinkReport) -> str:
    return "\n".join([_title(report), text_table(COLUMNS, list(_rows(report))), *sentences(report)])


def as_html(report: LinkReport) -> str:
    words = "".join(f"<div>{escape(sentence)}</div>" for sentence in sentences(report))
    return html_table(COLUMNS, list(_rows(report)), _title(report)) + words


def _title(report: LinkReport) -> str:
    count = len(report.links)
    return f"{count} link{'s' if count != 1 else ''}, backend {report.backend}, {report.time}"


def _rows(report: LinkReport) -> Iterator[tuple[str, ...]]:
    """A row per direction: one for each way, also of a link that failed, so that the shape stays."""
    for link in report.links:
        note = ("" if link.in_use else "not in use") if not link.error else "not measured"
        if link.error and link.mlx:
            note = "measured in part"
        for sender, receiver in (link.ends, link.ends[::-1]):
            mlx = link.flow(sender.rank, receiver.rank)
            tcp = link.flow(sender.rank, receiver.rank, tcp=True)
            bandwidth = mlx.bandwidth_bytes_per_s if mlx else None
            yield (
                f"{sender.rank} > {receiver.rank}",
                f"{sender.host} > {receiver.host}",
                link.way.title,
                sender.interface,
                _seconds(mlx.latency_s if mlx else None),
                _rate(bandwidth),
                _share(bandwidth, link.way),
                _seconds(tcp.latency_s if tcp else None),
                _rate(tcp.bandwidth_bytes_per_s if tcp else None),
                note,
            )


def sentences(report: LinkReport) -> Iterator[str]:
    """What is wrong, a sentence each; nothing where all is well."""
    for link in report.links:
        yield from filter(None, (failure(link), lowness(link)))
        yield from _lopsided(link, report.backend)
        yield from _behind_tcp(link, report.backend)
        yield from _passed_over(link, report)


def failure(link: Link) -> str:
    """Why it, or the rest of it, could not be measured, as a sentence; empty where it was."""
    if not link.error:
        return ""
    rest = "the rest of it " if link.mlx else ""
    return f"{_name(link)}, {_over(link)}: {rest}could not be measured: {link.error}"


def lowness(link: Link) -> str:
    """That it carries little of what the pair's best cable could, or of its own nominal rate; or nothing."""
    reached = max(_bandwidths(link), default=None)
    if reached is None:
        return ""
    best, own = link.best, link.way
    if link.in_use and best and best.nominal_bits_per_s and best.kind != own.kind:
        share = 8 * reached / best.nominal_bits_per_s
        if share < _LOW_SHARE:
            there = f" ({best.interface})" if best.interface else ""
            what = f"{best.title}{there}"
            return f"{_name(link)} reaches {_percent(share)} of {what}: it runs over {_over(link)}"
    if own.nominal_bits_per_s and (share := 8 * reached / own.nominal_bits_per_s) < _LOW_SHARE:
        return f"{_name(link)}, {_over(link)}: {_rate(reached)} is {_percent(share)} of what {own.title} has"
    return ""


def _passed_over(link: Link, report: LinkReport) -> Iterator[str]:
    """A link that the ranks' messages do not take, though it carried much more than those that they take."""
    taken = [
        value
        for other in report.links
        if other.in_use and other.ranks == link.ranks
        for value in _bandwidths(other)
    ]
    reached = _bandwidths(link)
    if not link.in_use and taken and reached and max(reached) > _MUCH_WIDER * max(taken):
        yield (
            f"{_name(link)}, {_over(link)} carries {_rate(max(reached))} and is not in use: what is in use"
            f" carries {_rate(max(taken))}"
        )


def _lopsided(link: Link, backend: str) -> Iterator[str]:
    flows = [flow for flow in link.mlx if flow.bandwidth_bytes_per_s]
    if len(flows) < 2:
        return
    slow, fast = sorted(flows, key=lambda flow: flow.bandwidth_bytes_per_s or 0.0)
    low, high = slow.bandwidth_bytes_per_s or 0.0, fast.bandwidth_bytes_per_s or 0.0
    if low < _LOPSIDED * high:
        yield (
            f"{_name(link)}, {_over(link)}: from rank {slow.sender} to rank {slow.receiver} {backend} carries"
            f" {_rate(low)}, the other way {_rate(high)}"
        )


def _behind_tcp(link: Link, backend: str) -> Iterator[str]:
    for mlx in link.mlx:
        tcp = link.flow(mlx.sender, mlx.receiver, tcp=True)
        reached, plain = mlx.bandwidth_bytes_per_s, tcp.bandwidth_bytes_per_s if tcp else None
        if reached and plain and reached < _BEHIND_TCP * plain:
            yield (
                f"{_name(link)}, {_over(link)}: from rank {mlx.sender} to rank {mlx.receiver} {backend}"
                f" reaches {_percent(reached / plain)} of plain TCP ({_rate(reached)} of {_rate(plain)})"
            )


def _bandwidths(link: Link) -> list[float]:
    return [value for flow in link.mlx if (value := flow.bandwidth_bytes_per_s) is not None]


def _name(link: Link) -> str:
    return f"rank {link.ranks[0]} - rank {link.ranks[1]}"


def _over(link: Link) -> str:
    """`Wi-Fi (en0)`, `Thunderbolt 5 (en5, en4)`."""
    return f"{link.way.title} ({names})" if (names := interfaces(link)) else link.way.title


def interfaces(link: Link) -> str:
    """Those of its ends, once where both call it alike."""
    return ", ".join(dict.fromkeys(end.interface for end in link.ends if end.interface))


def _share(bandwidth: float | None, way: Way) -> str:
    known = bandwidth is not None and way.nominal_bits_per_s
    return _percent(8 * bandwidth / way.nominal_bits_per_s) if known else ""  # type: ignore[operator]


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else f"{100 * share:.1g} %"


def _seconds(time_s: float | None) -> str:
    return "" if time_s is None else format_seconds(time_s)


def _rate(bytes_per_s: float | None) -> str:
    return "" if bytes_per_s is None else f"{format_bytes(bytes_per_s)}/s"
