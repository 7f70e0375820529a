"""End a text before a stop string, also where its characters come in pieces; pure."""

from __future__ import annotations

from collections.abc import Sequence


class StopText:
    """Text goes in as the tokens give it and comes out once it is known that no stop begins in it.

    What it says hangs on the text alone: ranks that see the same tokens end after the same one.

    Attributes:
        found: whether a stop has come; nothing comes out after it.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self.found = False

    def feed(self, piece: str, *, last: bool = False) -> str:
        """Take the next piece.

        Args:
            last: no piece follows, so nothing is held back.

        Returns:
            What may be shown now.
        """
        if self.found:
            return ""
        text = self._held + piece
        begins = [at for at in (text.find(stop) for stop in self._stops) if at >= 0]
        if begins:
            self.found, self._held = True, ""
            return text[: min(begins)]
        held = 0 if last else self._begun(text)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def _begun(self, text: str) -> int:
        """How many characters at the end may be the beginning of a stop."""
        longest = max((len(stop) for stop in self._stops), default=1) - 1
        for count in range(min(longest, len(text)), 0, -1):
            if any(stop.startswith(text[-count:]) for stop in self._stops):
                return count
        return 0
