"""The grammar: what is understood, and that everything else is one clear error."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelkit.errors import ArgumentError, KernelkitError
from kernelkit.hosts.hostfile import BACKENDS
from kernelkit.magics import lines
from kernelkit.magics.grammar import Magic, parse


def test_sub_command_argument_and_flags_in_any_order() -> None:
    parsed = parse(lines.MODEL, 'generate --max-tokens 8 "What is it?" --temp=0.5 --raw --record')
    assert parsed.command.name == "generate"
    assert parsed.argument == "What is it?"
    assert parsed.flags == {"max-tokens": 8, "temp": 0.5, "raw": True, "record": True}


def test_connect_takes_where_to_and_by_which_backend_and_python() -> None:
    line = "connect --hosts mac1,ann@mac2 --backend=jaccl-ring --python '/opt/my env/bin/python'"
    expected = {"hosts": "mac1,ann@mac2", "backend": "jaccl-ring", "python": "/opt/my env/bin/python"}
    assert parse(lines.CLUSTER, line).flags == expected
    assert parse(lines.CLUSTER, "connect --hostfile 'my hosts.json'").flags == {"hostfile": "my hosts.json"}


@pytest.mark.parametrize("backend", ["auto", *BACKENDS])
def test_connect_knows_every_backend_of_mlx(backend: str) -> None:
    assert parse(lines.CLUSTER, f"connect 2 --backend {backend}").flags == {"backend": backend}


def test_unquoted_words_are_one_argument() -> None:
    assert parse(lines.MODEL, "generate Once upon a time").argument == "Once upon a time"


@pytest.mark.parametrize(
    ("magic", "line", "words"),
    [
        (lines.CLUSTER, "", ["connect", "status"]),
        (lines.CLUSTER, "conect", ["did you mean connect"]),
        (lines.CLUSTER, "status now", ["takes no argument", "now"]),
        (lines.CLUSTER, "connect --hostfile", ["--hostfile needs a value", "FILE", "nothing"]),
        (lines.CLUSTER, "connect --hosts", ["--hosts needs a value", "A,B,C", "nothing"]),
        (lines.CLUSTER, "connect --python", ["--python needs a value", "PATH", "nothing"]),
        (lines.CLUSTER, "connect --backend thunder", ["auto or ring or jaccl or jaccl-ring", "'thunder'"]),
        (lines.CLUSTER, "connect --host a", ["did you mean --hosts"]),
        (lines.CLUSTER, "status --backend ring", ["no --backend"]),
        (lines.CLUSTER, "connect --port 1", ["no --port", "%cluster connect [N]"]),
        (lines.SHARDED, "--ranks", ["--ranks needs a value", "0,2-3", "nothing"]),
        (lines.SHARDED, "--rank 1", ["did you mean --ranks"]),
        (lines.SHARDED, "--timeout soon", ["--timeout needs another value", "'soon'"]),
        (lines.SHARDED, "--timeout -1", ["--timeout needs another value", "'-1'"]),
        (lines.SHARDED, "--timeout inf", ["--timeout needs another value", "'inf'"]),
        (lines.MODEL, "load", ["needs PATH_OR_HF_ID"]),
        (lines.MODEL, "generate", ["%model generate needs PROMPT"]),
        (lines.MODEL, 'generate ""', ["%model generate needs PROMPT"]),
        (lines.MODEL, "generate '' --temp 1", ["%model generate needs PROMPT"]),
        (lines.MODEL, 'load ""', ["needs PATH_OR_HF_ID"]),
        (lines.MODEL, 'push ""', ["needs PATH_OR_HF_ID"]),
        (lines.MODEL, "load x --strategy data", ["tensor or pipeline", "'data'"]),
        (lines.MODEL, "generate x --max-tokens many", ["--max-tokens needs another value", "'many'"]),
        (lines.MODEL, "generate what's that", ["quotation mark", "double quotes"]),
    ],
)
def test_refusals_say_what_was_expected(magic: Magic, line: str, words: list[str]) -> None:
    with pytest.raises(ArgumentError) as caught:
        parse(magic, line)
    for word in words:
        assert word in str(caught.value)


@given(st.sampled_from(sorted(lines.ALL)), st.text())
def test_no_line_raises_anything_else(name: str, line: str) -> None:
    with contextlib.suppress(KernelkitError):
        parse(lines.ALL[name], line)


@pytest.mark.parametrize("name", sorted(lines.ALL))
def test_help_shows_every_form_and_its_call(name: str) -> None:
    magic = lines.ALL[name]
    for command in magic.commands:
        assert command.usage(magic.name) in magic.help
        assert command.python in magic.help
