"""Machines as a command line spells them."""

from __future__ import annotations

from typing import Any

import pytest

from kernelkit.catalog import parse_nodes
from kernelkit.catalog.chips import GIB
from kernelkit.errors import ArgumentError


@pytest.mark.parametrize(
    ("on", "nodes", "expected"),
    [
        ("4xm3-ultra-512", None, [("m3-ultra", 512)] * 4),
        ("m3-ultra-512", 4, [("m3-ultra", 512)] * 4),
        ("2 x M4-MAX-128", None, [("m4-max", 128)] * 2),
        (["m4-max-128", "m3-ultra-256"], None, [("m4-max", 128), ("m3-ultra", 256)]),
        ("m4-max-128, 2xm3-ultra-256", None, [("m4-max", 128), *[("m3-ultra", 256)] * 2]),
        ("m4-max-36", None, [("m4-max-32c", 36)]),
        ("m2-ultra-60c-192", None, [("m2-ultra-60c", 192)]),
        ("m2-ultra-76c-192", None, [("m2-ultra", 192)]),
        ("m4-max-32c", None, [("m4-max-32c", 36)]),
        ("h200-141", None, [("h200", 141)]),
        ("2xh100", None, [("h100", 80)] * 2),
        ("h100-nvl-94", None, [("h100-nvl", 94)]),
    ],
)
def test_what_a_word_names(on: Any, nodes: int | None, expected: list[tuple[str, int]]) -> None:
    found = parse_nodes(on, nodes)
    assert [(node.chip.key, node.memory_bytes // GIB) for node in found] == expected
    assert len({node.name for node in found}) == len(found)


@pytest.mark.parametrize(
    ("on", "nodes", "said"),
    [
        ("m3-ultra", None, r"(?s)m3-ultra does not say how much.*96, 256 or 512 GB.*m3-ultra-512"),
        (
            "m4-max-96",
            None,
            r"(?s)m4-max-96 is not sold.*40-core GPU\) 48, 64 or 128; M4 Max \(32-core GPU\) 36",
        ),
        ("m3-ultra-60c-512", None, r"(?s)not sold.*60-core GPU\) 96 or 256"),
        ("m3-utlra-512", None, r"(?s)no chip 'm3-utlra'.*did you mean m3-ultra"),
        ("", None, "no machine is named"),
        ([], None, "no machine is named"),
        ([3], None, "names no machine"),
        ("0xm4-16", None, "make no sense"),
        ("99999xm4-16", None, "make no sense"),
        ("m4-16", 0, r"(?s)nodes is no number of machines.*1 to 4096.*got: 0"),
        ("m9", None, r"(?s)no chip 'm9'.*did you mean m5 or m4"),
        ("m4-16", True, "no number of machines"),
        ("m4-16,m4-24", 2, "either the machines are listed"),
        ("2xm4-16", 3, "either the machines are listed"),
    ],
)
def test_what_names_no_machine_says_why(on: Any, nodes: int | None, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        parse_nodes(on, nodes)


def test_a_mac_leaves_memory_to_its_system_and_a_card_does_not() -> None:
    (mac,) = parse_nodes("m3-ultra-512")
    (card,) = parse_nodes("h200")
    assert mac.working_set_bytes == pytest.approx(464 * GIB, rel=1e-3)
    assert card.working_set_bytes == card.memory_bytes
