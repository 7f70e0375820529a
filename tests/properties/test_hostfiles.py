"""Any text is a hostfile, or refused by the name of a field; one that is comes back as it was."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kernelkit.errors import KernelkitError
from kernelkit.hosts.hostfile import BACKENDS, format_hostfile, parse_hostfile
from tests.properties.tape import CHECKED, HUGE, Tape, accepted, taped

NAMES = ("mac1", "10.0.0.1", "ann@mac2", "mac3.local", "::1", "rdma_en2", "ring", "K=V", "-o")
FIELDS = ("hosts", "ssh", "ips", "rdma", "backend", "envs")
PIECES = (*'[]{}:,"\\0-', '"ssh"', "null", "NaN", "[" * 1_000, HUGE)
FIELD = r"top level|hosts|backend|envs(\[\d+\])?|hosts\[\d+\](\.ssh|\.(ips|rdma)(\[\d+\]){0,2})?"


def json_tree(tape: Tape, depth: int = 3) -> Any:
    """JSON with the names of a hostfile in it: lists and objects, and below `depth` of them one value."""
    kind = 6 + tape.below(2) if depth == 3 else tape.below(8 if depth else 6)
    if kind == 6:
        return tape.some(4, lambda tape: json_tree(tape, depth - 1))
    if kind == 7:
        return dict(tape.some(5, lambda t: (t.pick((*FIELDS, "port")), json_tree(t, depth - 1))))
    return tape.odd() if kind == 5 else tape.pick((None, True, 0, -1.5, 10**400, float("inf"), *NAMES))


def valid_hostfile(tape: Tape) -> Any:
    """A hostfile with nothing left out."""
    size = 1 + tape.below(4)
    hosts = []
    for rank in range(size):
        rdma = [tape.pick((None, "rdma_en2", ["rdma_en3", "rdma_en4"], [])) for _ in range(size)]
        rdma[rank] = None
        ips = tape.some(2, lambda tape: tape.pick(NAMES[:5]))
        hosts.append({"ssh": tape.pick(NAMES[:4]), "ips": ips, "rdma": rdma if tape.below(3) else []})
    envs = tape.some(2, lambda tape: tape.pick(("K=V", "EMPTY=", "PATH=/é f\n=🦊")))
    return {"backend": tape.pick((*BACKENDS, "")), "envs": envs, "hosts": hosts} if tape.below(2) else hosts


def mutated(tape: Tape, node: Any) -> Any:
    """The same with one place replaced, taken away or doubled."""
    if not isinstance(node, list | dict) or not node or not tape.below(5):
        return json_tree(tape, 1)
    node = node.copy()
    key = tape.pick(list(node) if isinstance(node, dict) else range(len(node)))
    change = tape.below(6)
    if change == 0:
        del node[key]
    elif change == 1 and isinstance(node, list):
        node.append(node[key])
    else:
        node[key] = mutated(tape, node[key])
    return node


def broken(tape: Tape) -> str:
    """The text of a hostfile with some characters of it replaced."""
    text = json.dumps(valid_hostfile(tape))
    at = tape.below(256) * len(text) // 256
    return text[:at] + "".join(tape.some(3, lambda tape: tape.pick(PIECES))) + text[at + tape.below(4) :]


def check_hostfile(text: str) -> None:
    """Refused by the name of a field; or taken, and then it comes back from what is written."""
    try:
        hostfile = parse_hostfile(text)
    except KernelkitError as error:
        refusal = error.what
    else:
        refusal = ""
        assert parse_hostfile(format_hostfile(hostfile)) == hostfile
        for backend in BACKENDS:
            accepted(hostfile.check, backend)
    assert re.fullmatch(rf"(hostfile: ({FIELD})( \(.+\))? cannot be used|the hostfile is not JSON)?", refusal)


@CHECKED
@given(st.text(), taped(broken))
def test_any_text_is_a_hostfile_or_refused(text: str, near: str) -> None:
    check_hostfile(text)
    check_hostfile(near)


@CHECKED
@given(taped(lambda tape: json.dumps(json_tree(tape))))
def test_any_json_is_a_hostfile_or_refused_by_field(text: str) -> None:
    check_hostfile(text)


@CHECKED
@given(taped(lambda tape: (data := valid_hostfile(tape), mutated(tape, data))))
def test_a_hostfile_comes_back_and_one_nearly_right_is_refused_by_field(data: tuple[Any, Any]) -> None:
    valid, near = data
    assert json.loads(format_hostfile(parse_hostfile(json.dumps(valid)))) == valid
    check_hostfile(json.dumps(near))
