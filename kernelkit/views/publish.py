"""Put one output into the notebook cell that is running, or onto the terminal."""

from __future__ import annotations

import sys

from kernelkit.outputs import Display, Stream


def publish(piece: Stream | Display) -> None:
    """Show a stream or a rich output, in order with everything before it."""
    if isinstance(piece, Stream):
        if not piece.text:
            return
        stream = sys.stderr if piece.name == "stderr" else sys.stdout
        stream.write(piece.text)
        # Two streams and the displays keep their order only if each is out before the next.
        stream.flush()
    else:
        from IPython.display import publish_display_data

        publish_display_data(piece.data, piece.metadata)
