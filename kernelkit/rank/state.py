"""What one rank process knows of itself, and its way to tell the notebook.

A rank is one process with one group and one model, so plain module variables say it best.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kernelkit.values import EVENT_MIME

if TYPE_CHECKING:
    import mlx.core as mx

    from kernelkit.rank.caches import Kept
    from kernelkit.rank.load import Loaded

shell: Any = None
rank = 0
world_size = 1
group: mx.distributed.Group | None = None
# As a user names it: `jaccl-ring` is one, to MLX it is `jaccl` with a variable.
backend = "none"
loaded: Loaded | None = None
# Cut, and not read yet.
prepared: Loaded | None = None
# Of the conversations with it, by name.
caches: dict[str, Kept] = {}
operation = ""
# From a cell's first line until it is known how it ended.
cell_runs = False
# The number that the notebook gave it.
cell: int | None = None
# Whether MLX raised in the latest cell: arrays of that cell may then hold anything.
mlx_failed = False


def publish(event: dict[str, Any], buffers: list[bytes | memoryview] | None = None) -> None:
    """Send an event (JSON-like, with raw buffers beside it) as output of the running request."""
    kernel = shell.kernel
    content = {"data": {EVENT_MIME: event}, "metadata": {}, "transient": {}}
    kernel.session.send(
        kernel.iopub_socket, "display_data", content, parent=kernel.get_parent(), buffers=buffers
    )
