"""Join MLX's distributed group, and prove that it is the right one before anybody uses it."""

from __future__ import annotations

import os
import platform
import socket
import tempfile
from contextlib import ExitStack
from typing import Any

import mlx.core as mx

from kernelkit.errors import ConnectError
from kernelkit.rank import blas, state

_reserved: socket.socket | None = None


def bind_names() -> None:
    """Give the user's namespace the names that every rank has from the start."""
    import mlx.nn as nn

    names = {"mx": mx, "nn": nn, "rank": state.rank, "world_size": state.world_size, "group": state.group}
    # hidden: `%who` and namespace views show the user's own variables only
    state.shell.push(names, interactive=False)


def reserve_port(address: str) -> int:
    """Find a port of this host that is free on `address`, and hold it until `join`."""
    global _reserved
    _reserved = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # MLX binds with the same option, so the moment between our close and its bind is no TIME_WAIT.
    _reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    _reserved.bind((address, 0))
    return int(_reserved.getsockname()[1])


def join(backend: str | None, env: dict[str, str], files: dict[str, str]) -> dict[str, Any]:
    """Form the group. Blocks, holding the GIL, until every peer is there: the parent has the clock.

    Args:
        backend: MLX's name for it, or None for a group of one that needs no backend.
        env: environment variables that the backend reads.
        files: variables that must hold the path of a file, and that file's text.

    Returns:
        What this rank is: host, device, versions.

    Raises:
        ConnectError: MLX could not form the group, or formed another one.
    """
    global _reserved
    os.environ.update(env)
    with ExitStack() as stack:
        for variable, text in files.items():
            # A file without a name: nobody else can read it, and no kill can leave it behind.
            file = stack.enter_context(tempfile.TemporaryFile())
            file.write(text.encode())
            file.seek(0)  # macOS opens /dev/fd/N where the descriptor stands
            os.environ[variable] = f"/dev/fd/{file.fileno()}"
        if _reserved is not None:
            _reserved.close()
            _reserved = None
        try:
            state.group = (
                mx.distributed.init(strict=True, backend=backend) if backend else mx.distributed.init()
            )
        except RuntimeError as error:
            raise ConnectError(f"rank {state.rank} could not join the {backend} group: {error}") from error
    formed = (state.group.rank(), state.group.size())
    if formed != (state.rank, state.world_size):
        raise ConnectError(
            "MLX formed another group than the one asked for",
            expected=f"rank {state.rank} of {state.world_size}",
            got=f"rank {formed[0]} of {formed[1]}",
        )
    bind_names()
    return describe()


def verify(nonce: int) -> None:
    """Gather a secret number from every rank: a cross-wired ring gives itself away here.

    Args:
        nonce: the same on all ranks of this cluster, and on no other cluster; below 2**30.

    Raises:
        ConnectError: some rank answered with another number, or in another place.
    """
    assert state.group is not None
    if state.world_size == 1:
        return
    mine = mx.array([nonce, state.rank], dtype=mx.int32)
    seen: Any = mx.distributed.all_gather(mine, group=state.group).tolist()
    expected = [item for r in range(state.world_size) for item in (nonce, r)]
    if seen != expected:
        raise ConnectError(
            f"rank {state.rank} is wired to ranks of another job, or out of step with its own",
            expected="this cluster's nonce from ranks in order",
            got=f"{sum(a != b for a, b in zip(seen, expected, strict=True))} of {len(seen)} numbers differ",
        )


def describe() -> dict[str, Any]:
    """What this rank runs on; JSON-like, the same fields on every host."""
    from importlib.metadata import version

    return {
        "rank": state.rank,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "device": device_name(),
        "blas": blas.describe(),
        "python": platform.python_version(),
        "mlx": version("mlx"),
        "mlx_lm": version("mlx-lm"),
    }


def device_name() -> str:
    """`gpu (Apple M3 Ultra)`, `cpu (x86_64)`: where this rank computes by default."""
    kind = "gpu" if mx.default_device() == mx.Device(mx.gpu) else "cpu"
    if kind == "cpu":
        return f"cpu ({platform.machine()})"
    return f"gpu ({mx.device_info().get('device_name', 'unknown')})"
