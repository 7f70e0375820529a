"""Enter MLX's `init` with what a backend reads: variables, and files that nobody else can open."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack

import mlx.core as mx


def form(
    backend: str | None, env: Mapping[str, str], files: Mapping[str, str], release: Callable[[], None]
) -> mx.distributed.Group:
    """Form the group. Blocks, holding the GIL, until every peer is there: the parent has the clock.

    Args:
        backend: MLX's name for it, or None for a group of one that needs no backend.
        env: environment variables that the backend reads.
        files: variables that must hold the path of a file, and that file's text.
        release: lets go of the ports that were held for the group, at the last moment.

    Raises:
        RuntimeError: MLX could not form it.
    """
    os.environ.update(env)
    with ExitStack() as stack:
        for variable, text in files.items():
            # A file without a name: nobody else can read it, and no kill can leave it behind.
            file = stack.enter_context(tempfile.TemporaryFile())
            file.write(text.encode())
            file.seek(0)  # macOS opens /dev/fd/N where the descriptor stands
            os.environ[variable] = f"/dev/fd/{file.fileno()}"
        release()
        return mx.distributed.init(strict=True, backend=backend) if backend else mx.distributed.init()
