"""Collect what one rank sends while a cell runs, bounded, as Jupyter itself would show it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# Per rank and cell. Past it the middle is dropped, and the result says how much.
KEPT_CHARS = 4_000_000
KEPT_ITEMS = 10_000
KEPT_DISPLAYS = 100

# Live widgets belong to the rank's process; their fallbacks travel, they do not.
_UNCARRIED_MIMES = ("application/vnd.jupyter.widget-view+json",)


@dataclass
class Stream:
    """Consecutive text on one stream; once it is long, its head and its tail."""

    name: str
    head: str = ""
    tail: str = ""
    cut_lines: int = 0
    cut_chars: int = 0

    @property
    def kept_chars(self) -> int:
        return len(self.head) + len(self.tail)

    def add(self, text: str) -> None:
        """Append, keeping at most `KEPT_CHARS` characters in head and tail together."""
        room = KEPT_CHARS // 2 - len(self.head)
        if not self.tail and room > 0:
            self.head, text = self.head + text[:room], text[room:]
        if not text:
            return
        self.tail += text
        if (extra := len(self.tail) - KEPT_CHARS // 2) > 0:
            self.cut_chars += extra
            self.cut_lines += self.tail.count("\n", 0, extra)
            self.tail = self.tail[extra:]

    @property
    def text(self) -> str:
        """All of it, or head and tail around a line that says what was dropped."""
        if not self.cut_chars:
            return self.head + self.tail
        note = f"\n… {self.cut_lines:,} lines ({self.cut_chars:,} characters) dropped here …\n"
        return self.head + note + self.tail


@dataclass
class Display:
    """One rich output.

    Attributes:
        data: mime type to content, as in Jupyter's messages.
        display_id: set where the rank may update it.
    """

    data: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict)
    display_id: str | None = None

    @property
    def is_text(self) -> bool:
        return set(self.data) <= {"text/plain"}

    @property
    def text(self) -> str:
        return str(self.data.get("text/plain", ""))


@dataclass
class RankOutput:
    """What one rank showed, returned and raised in one cell, and when it was in collectives, if recorded."""

    rank: int
    items: list[Stream | Display] = field(default_factory=list)
    value: Display | None = None
    error: dict[str, Any] | None = None
    recording: dict[str, Any] | None = None
    dropped_displays: int = 0
    dropped_lines: int = 0
    _chars: int = 0
    _shown_displays: int = 0
    _clear_next: bool = False

    @property
    def stdout(self) -> str:
        """Everything printed."""
        return self._stream("stdout")

    @property
    def stderr(self) -> str:
        """Everything written to standard error, warnings included."""
        return self._stream("stderr")

    @property
    def displays(self) -> list[Display]:
        """Rich outputs in order."""
        return [item for item in self.items if isinstance(item, Display)]

    @property
    def value_repr(self) -> str | None:
        """`repr` of the last expression's value, or None where there was none."""
        return self.value.text if self.value else None

    def recent(self, chars: int) -> RankOutput:
        """The newest part, some `chars` characters of it: enough for a live view, cheap to draw."""
        recent: list[Stream | Display] = []
        left = chars
        for item in reversed(self.items):
            if isinstance(item, Stream):
                text = (item.tail or item.head)[-left:]
                item = Stream(item.name, text)
                left -= len(text)
            recent.insert(0, item)
            if left <= 0 or len(recent) > KEPT_DISPLAYS:
                break
        return RankOutput(self.rank, recent)

    def _stream(self, name: str) -> str:
        return "".join(i.text for i in self.items if isinstance(i, Stream) and i.name == name)

    def feed(self, kind: str, content: dict[str, Any]) -> None:
        """Take one IOPub message; kinds that show nothing are ignored."""
        if kind == "clear_output":
            self._clear_next = bool(content.get("wait"))
            if not self._clear_next:
                self._clear()
            return
        if kind in ("stream", "display_data", "execute_result", "error") and self._clear_next:
            self._clear()
        if kind == "stream":
            self._add_text(content["name"], content["text"])
        elif kind == "display_data":
            self._add_display(_display(content))
        elif kind == "update_display_data":
            self._update(_display(content))
        elif kind == "execute_result":
            self.value = _display(content)
        elif kind == "error":
            self.error = content

    def feed_reply(self, reply: dict[str, Any]) -> None:
        """Take from a cell's reply what no message told: an error, the help of `name?`, a recording."""
        self.recording = reply.get("kernelkit_recording")
        if reply.get("status") != "ok" and self.error is None:
            # Some errors are only printed: a magic that is not there, an exception group.
            named = {"ename": "Error", "evalue": "the rank did not say what", "traceback": []}
            self.error = {name: reply.get(name, default) for name, default in named.items()}
        for part in reply.get("payload", []):
            if part.get("source") == "page":
                self._add_display(Display({"text/plain": part["data"].get("text/plain", "")}))

    def _add_text(self, name: str, text: str) -> None:
        last = self.items[-1] if self.items else None
        if not (isinstance(last, Stream) and last.name == name):
            last = Stream(name)
            self.items.append(last)
        self._chars -= last.kept_chars
        last.add(text)
        self._chars += last.kept_chars
        while self._chars > KEPT_CHARS or len(self.items) > KEPT_ITEMS:
            self._drop_middle()

    def _drop_middle(self) -> None:
        """Many short pieces on two streams by turns: a tenth of them goes at once, from the middle."""
        streams = [item for item in self.items[:-1] if isinstance(item, Stream)]
        size = max(1, len(streams) // 10)
        start = (len(streams) - size) // 2
        dropped = streams[start : start + size]
        gone = set(map(id, dropped))
        self.items = [item for item in self.items if id(item) not in gone]
        self._chars -= sum(item.kept_chars for item in dropped)
        self.dropped_lines += sum(item.text.count("\n") for item in dropped)

    def _clear(self) -> None:
        self.items.clear()
        self._clear_next = False
        self._chars = self._shown_displays = self.dropped_displays = self.dropped_lines = 0

    def _add_display(self, display: Display) -> None:
        if self._shown_displays >= KEPT_DISPLAYS:
            self.dropped_displays += 1
        else:
            self._shown_displays += 1
            self.items.append(display)

    def _update(self, new: Display) -> None:
        for item in self.items:
            if isinstance(item, Display) and item.display_id == new.display_id is not None:
                item.data, item.metadata = new.data, new.metadata


def _display(content: dict[str, Any]) -> Display:
    data = {mime: part for mime, part in content["data"].items() if mime not in _UNCARRIED_MIMES}
    return Display(data, content.get("metadata", {}), content.get("transient", {}).get("display_id"))
