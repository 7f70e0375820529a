"""Stop a generation on all ranks after the same token, without a collective for it.

A token here is any step that all ranks take alike: a piece of the prompt is one, a step of a batch too.
The ranks are in step through the collectives inside each, but not to the instant: while one
prints token 7, another may be computing token 8. If one left the loop alone, the others would wait for
it for ever. So the controller asks twice: `freeze` on every rank, and then `release` on every rank with
the largest answer. A rank that is paused runs on up to that token, which frees a rank that waits for it
in a collective; then all leave. It takes one exchange with each rank, and nothing when nobody stops.
"""

from __future__ import annotations

import threading

from kernelkit.errors import ArgumentError


class StopControl:
    """Where the thread that generates and the one that wants to stop it meet. Good for one generation."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0
        self._paused = False
        self._frozen = False
        self._finished = False
        self._stop_at: int | None = None

    @property
    def finished(self) -> bool:
        """Whether the generation has ended, of itself or stopped."""
        with self._changed:
            return self._finished

    def freeze(self) -> int:
        """From another thread: pause at the next token. Returns at once.

        Returns:
            The number of tokens this rank has reached, or is on its way to and will not exceed before
            `release`. A rank that waits for a peer inside a token counts that token. Once the end is
            settled, by `release` or by the generation's own end, it is that.
        """
        with self._changed:
            if self._finished:
                return self._count
            if self._stop_at is not None:
                return self._stop_at
            self._frozen = True
            return self._reached()

    def release(self, stop_at: int) -> None:
        """From another thread: go on to exactly `stop_at` tokens and end there; the first call counts.

        Raises:
            ArgumentError: this rank is past `stop_at` already; it stays frozen.
        """
        with self._changed:
            if self._finished or self._stop_at is not None:
                return
            if stop_at < self._reached():
                raise ArgumentError(
                    f"cannot stop at token {stop_at}",
                    expected=f"{self._reached()} or more, the largest answer of all ranks to freeze()",
                    got=str(stop_at),
                )
            self._stop_at = stop_at
            self._frozen = False
            self._changed.notify_all()

    def yielded(self, *, last: bool) -> bool:
        """From the generating thread, after each token; waits here while frozen.

        Args:
            last: the generation ends with this token of itself, on every rank, so there is no pause.

        Returns:
            Whether to stop now.
        """
        with self._changed:
            self._count += 1
            if last:
                self._finished = True
                return False
            self._paused = True
            self._changed.wait_for(lambda: not self._frozen)
            self._paused = False
            return self._stop_at is not None and self._count >= self._stop_at

    def finish(self) -> None:
        """From the generating thread, when it is done, however it ended."""
        with self._changed:
            self._finished = True

    def _reached(self) -> int:
        return self._count if self._paused else self._count + 1
