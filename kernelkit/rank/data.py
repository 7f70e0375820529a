"""Put values into the rank's namespace and take them out, arrays as raw buffers beside JSON."""

from __future__ import annotations

import json
from typing import Any

from kernelkit import values
from kernelkit.errors import TransferError
from kernelkit.rank import state


def push(tree: str) -> list[str]:
    """Bind names to values in the user's namespace.

    Args:
        tree: JSON of a `values.encode`d dict; its buffers came with the request itself.

    Returns:
        The names that were bound.
    """
    buffers = state.shell.kernel.get_parent().get("buffers", [])
    bound = values.decode(json.loads(tree), buffers, values.numpy_to_mlx)
    state.shell.push(bound)
    return sorted(bound)


def pull(name: str) -> str:
    """Encode one variable; its buffers go ahead of the reply as an event.

    Raises:
        TransferError: there is no such variable, or it is of a kind that cannot be carried.
    """
    namespace: dict[str, Any] = state.shell.user_ns
    if name not in namespace:
        raise TransferError(
            f"rank {state.rank} has no variable {name!r}",
            cure=f"assign it in a %%sharded cell, or use cluster.push({name}=...)",
        )
    tree, buffers = values.encode(namespace[name], name)
    state.publish({"event": "buffers"}, buffers)
    return json.dumps(tree)
