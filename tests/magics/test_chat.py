"""`%%chat`, `%model chat` and `%%generate --batch` as a user writes them, over two ranks."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelkit import Chat, Generations
from kernelkit.errors import ArgumentError, NoModelError
from kernelkit.magics import lines
from kernelkit.magics.complete import Completer
from kernelkit.magics.grammar import parse
from tests.magics.conftest import Notebook
from tests.magics.test_complete import _texts
from tests.rank import tiny


@pytest.fixture
def loaded(notebook: Notebook, tmp_path: Path) -> Notebook:
    folder = tiny.build(tmp_path / "model")
    notebook.shell.user_ns.pop("chat", None)  # of another test, which would be carried over
    assert notebook.run(f"%model load {folder}").error is None
    return notebook


def test_a_chat_in_cells(loaded: Notebook) -> None:
    assert isinstance(loaded.run("%model chat").error, ArgumentError)
    first = loaded.run("%%chat --max-tokens 6 --system 'be brief'\nhi")
    assert first.stdout.startswith(f"{first.value.text}\n")
    second = loaded.run("%%chat --max-tokens 6\nand?").value
    assert second.cached_tokens == first.value.prompt_tokens + 6
    chat = loaded.run("%model chat").value
    assert isinstance(chat, Chat)
    assert chat is loaded.shell.user_ns["chat"]
    assert repr(chat).startswith("system: be brief\n\nuser: hi\n\nassistant: ")
    assert "<b>user</b><br>and?" in chat._repr_mimebundle_()["text/html"]
    assert loaded.run("%model chat --undo").displayed == "taken back: and?"
    assert len(chat) == 2
    assert loaded.run("%model chat --clear").displayed == "the chat is empty, but for its system's message"
    assert len(chat) == 0
    assert loaded.run("%model chat --system 'be long'").value.system == "be long"
    assert loaded.run("%%chat --max-tokens 2\nhi").value.cached_tokens == 0


def test_an_exchange_is_taken_back_before_another_system_message(loaded: Notebook) -> None:
    for cell in ("%model chat --system late --undo", "%model chat --undo"):
        assert "no chat with this model yet" in str(loaded.run(cell).error)
    assert "chat" not in loaded.shell.user_ns
    loaded.run("%%chat --max-tokens 2 --system 'be brief'\nhi")
    for cell in ("%model chat --system 'be long' --undo", "%model chat --undo --system 'be short'"):
        chat = loaded.shell.user_ns["chat"]
        wanted = "be long" if "long" in cell else "be brief"
        ran = loaded.run(cell)
        if wanted == "be long":
            assert ran.displayed.splitlines()[0] == "taken back: hi"
            assert ran.value is chat
        else:  # nothing is left to take back
            assert "nothing to undo" in str(ran.error)
        assert chat.messages == [{"role": "system", "content": "be long"}]


def test_a_chat_goes_on_with_the_model_that_is_loaded_now(loaded: Notebook, tmp_path: Path) -> None:
    loaded.run("%%chat --max-tokens 2\nhi")
    old = loaded.shell.user_ns["chat"]
    loaded.run(f"%model load {tmp_path / 'model'}")
    again = loaded.run("%%chat --max-tokens 2\nand?")
    assert again.error is None
    assert "which reads what was said anew" in again.displayed
    new = loaded.shell.user_ns["chat"]
    assert (new is not old, len(old), len(new)) == (True, 2, 4)
    assert new.messages[:2] == old.messages
    loaded.shell.user_ns["chat"] = "mine"
    assert "a variable of yours" in str(loaded.run("%%chat\nhi").error)
    assert loaded.shell.user_ns["chat"] == "mine"
    loaded.shell.user_ns["chat"] = new
    loaded.run("%model unload")
    assert isinstance(loaded.run("%%chat\nhi").error, NoModelError)


def test_a_batch_in_a_cell(loaded: Notebook) -> None:
    batch = loaded.run("%%generate --batch --max-tokens 5\nfirst\nof two lines\n---\nsecond").value
    assert isinstance(batch, Generations)
    assert batch[0].prompt_tokens == len("[user]first\nof two lines[assistant]") - 1  # the \n has no token
    assert [len(one.tokens) for one in batch] == [5, 5]
    assert isinstance(loaded.run("%%generate --batch\none\n---\n").error, ArgumentError)


@pytest.mark.parametrize(
    "cell",
    [
        "%%generate --batch\n\n  \n",
        "%%generate\n \n",
        '%model generate ""',
        "%model generate",
        "%%chat\n \n",
    ],
)
def test_an_empty_cell_or_prompt_is_one_clear_error(loaded: Notebook, cell: str) -> None:
    error = loaded.run(cell).error
    assert isinstance(error, ArgumentError)
    assert "there is no prompt" in str(error) or "needs PROMPT" in str(error) or "no message" in str(error)
    assert loaded.shell.user_ns["cluster"].state == "idle"


def test_flags_of_generation() -> None:
    line = r"--stop '\n' --stop END --top-k 5 --kv-bits 8 --system 'be \\brief'"
    flags = {"stop": ("\n", "END"), "top-k": 5, "kv-bits": 8, "system": "be \\brief"}
    assert parse(lines.GENERATE, line).flags == flags
    with pytest.raises(ArgumentError, match="--kv-bits needs another value"):
        parse(lines.CHAT, "--kv-bits 7")
    with pytest.raises(ArgumentError, match="no --raw"):
        parse(lines.CHAT, "--raw")


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("%%chat --sy", ["--system"]),
        ("%%generate --kv-bits 8 --kv-group-size ", ["32", "64", "128"]),
        ("%%generate --stop a --st", ["--stop"]),
        ("%model chat --", ["--undo", "--clear", "--system", "--help"]),
    ],
)
def test_completion(typed: str, wanted: list[str]) -> None:
    assert _texts(Completer(lambda: None), typed) == wanted
