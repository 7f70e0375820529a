"""`%model generate`, `%%generate` and `%%chat`: text from the ranks, seen while it comes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kernelkit.errors import ArgumentError, ModelShardError
from kernelkit.magics import show

if TYPE_CHECKING:
    from kernelkit.generation import Generation, Progress
    from kernelkit.generations import Generations
    from kernelkit.magics.models import Desk
    from kernelkit.model import Chat


def generate(desk: Desk, prompt: str, flags: Mapping[str, Any]) -> Generation:
    """Generate; while it lasts, the text and the speed are shown, and afterwards the text is printed.

    Where the cluster was calibrated, what was to be expected is shown beside what came.
    """
    settings, model = _settings(flags), desk.model
    found = _shown(lambda **seen: model.generate(prompt, **seen, **settings))
    if desk.cluster.calibration is not None:
        try:
            beside = desk.cluster.compare(found)
        except (ArgumentError, ModelShardError) as error:
            show.say(f"no prediction: {error.what}")
        else:
            if beside is not None:
                show.display(beside)
    return found


def generate_batch(desk: Desk, cell: str, flags: Mapping[str, Any]) -> Generations:
    """Generate for each part of a cell; while it lasts, it is shown how far they are."""
    from kernelkit.generations import BatchStoppedError
    from kernelkit.views.live import text_html

    if not cell.strip():
        raise ArgumentError(
            "there is no prompt", expected="prompts in the cell, with a line --- between them", got="none"
        )
    prompts = [part.strip("\n") for part in re.split(r"^---[ \t]*$", cell, flags=re.MULTILINE)]
    if not all(part.strip() for part in prompts):
        empty = [str(number) for number, part in enumerate(prompts, start=1) if not part.strip()]
        got = f"{len(prompts)} parts, of which {', '.join(empty)} {'is' if len(empty) == 1 else 'are'} empty"
        raise ArgumentError(
            "a prompt of the batch is empty", expected="prompts with a line --- between them", got=got
        )
    try:
        with show.new_slot() as slot:

            def draw(counts: Sequence[int], over: int) -> None:
                if slot.due():
                    text = f"{over} of {len(counts)} prompts done, {sum(counts)} tokens"
                    slot.show(text_html(text), text)

            return desk.model.generate(prompts, on_counts=draw, **_settings(flags))
    except BatchStoppedError as error:
        show.display(error.partial)
        raise


def say(desk: Desk, content: str, flags: Mapping[str, Any]) -> Generation:
    """Say something in the notebook's chat, and show the answer as `generate` does."""
    settings = _settings(flags)
    chat = _chat(desk) or _new_chat(desk)
    return _shown(lambda **seen: chat.send(content, **seen, **settings))


def chat(desk: Desk, argument: str, flags: Mapping[str, Any]) -> Chat | None:
    """Show the notebook's chat, or change it."""
    if {"undo", "clear"} <= flags.keys():
        raise ArgumentError("the chat is either cleared or taken back", expected="--undo or --clear")
    found = _chat(desk)
    if found is None and (_is_chat(desk) or ("system" in flags and "undo" not in flags)):
        found = _new_chat(desk)
    if found is None:
        raise ArgumentError("there is no chat with this model yet", cure="%%chat, with your message below it")
    # Before another system's message: where nothing can be taken back, all stays as it was.
    if "undo" in flags:
        show.say(f"taken back: {found.undo()}")
    if "system" in flags:
        found.system = flags["system"]
    if "clear" in flags:
        found.clear()
        show.say("the chat is empty" + (", but for its system's message" if found.system else ""))
    return found if "system" in flags or not {"undo", "clear"} & flags.keys() else None


def _is_chat(desk: Desk) -> bool:
    """Whether there is one, perhaps with a model that is not loaded any more."""
    from kernelkit.model import Chat

    return isinstance(desk.shell.user_ns.get("chat"), Chat)


def _chat(desk: Desk) -> Chat | None:
    """The notebook's `chat`, if the model that it is with is loaded."""
    from kernelkit.model import Chat

    model, bound = desk.model, desk.shell.user_ns.get("chat")
    return bound if isinstance(bound, Chat) and bound.is_with(model) else None


def _new_chat(desk: Desk) -> Chat:
    """A chat with the model that is loaded; what was said to the one before is carried over."""
    from kernelkit.model import Chat

    bound = desk.shell.user_ns.get("chat")
    if bound is not None and not isinstance(bound, Chat):
        raise ArgumentError(
            "the name chat is a variable of yours",
            got=type(bound).__name__,
            cure="give it another name, or hold the chat by another: other = model.chat()",
        )
    history = bound.messages if bound is not None else ()
    new = desk.model.chat(history=history)
    if any(message["role"] != "system" for message in history):
        show.say(f"the chat goes on with {desk.model.name}, which reads what was said anew")
    desk.shell.push({"chat": new})
    return new


def _settings(flags: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace("-", "_"): value for name, value in flags.items() if name != "batch"}


def _shown(write: Callable[..., Generation]) -> Generation:
    """Draw text and speed while `write` lasts; afterwards print the text."""
    from kernelkit.generation import GenerationStoppedError
    from kernelkit.outputs import Stream
    from kernelkit.outputs.text import readable
    from kernelkit.views.live import text_html

    pieces: list[str] = []
    stopped: Generation | None = None
    began_s = time.monotonic()
    try:
        with show.new_slot() as slot, show.new_slot() as gauge:

            def draw(piece: str) -> None:
                pieces.append(piece)
                if slot.due():
                    text = readable("".join(pieces))
                    slot.show(text_html(text), text.rsplit("\n", 1)[-1])

            def measure(progress: Progress) -> None:
                if gauge.due():
                    _show_speed(gauge, progress, time.monotonic() - began_s)

            return write(on_text=draw, on_progress=measure)
    except GenerationStoppedError as error:
        stopped = error.partial
        raise
    finally:
        # Once and whole: pieces would stay pieces in notebooks that are executed without a front end.
        # A stop breaks `draw` off, and pieces after it are not drawn any more.
        text = "".join(pieces) if stopped is None else stopped.text
        show.publish(Stream("stdout", f"{readable(text)}\n" if text else ""))
        if stopped is not None:  # what was drawn while it ran stays
            show.display(stopped)


def _show_speed(gauge: Any, progress: Progress, elapsed_s: float) -> None:
    """The picture of the generation so far; a page without the extension gets its title."""
    from html import escape

    from kernelkit.views.generation import generating

    picture = generating(progress, elapsed_s)
    view = {"kind": picture.kind, "scene": picture.scene, "alt": picture.alt}
    gauge.show(escape(picture.text), picture.text, view)
