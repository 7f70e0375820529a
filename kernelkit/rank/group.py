"""Join MLX's distributed group, and prove that it is the right one before anybody uses it."""

from __future__ import annotations

import os
import platform
from typing import Any

import mlx.core as mx

from kernelkit.errors import ConnectError
from kernelkit.hosts.naming import own_name
from kernelkit.rank import blas, chip, doors, state
from kernelkit.rank.forming import form

# What MLX multiplies with on NVIDIA's GPUs; the processor's own BLAS plays no part.
_CUDA_BLAS = "cuBLAS"


def bind_names() -> None:
    """Give the user's namespace the names that every rank has from the start."""
    import mlx.nn as nn

    names = {"mx": mx, "nn": nn, "rank": state.rank, "world_size": state.world_size, "group": state.group}
    # hidden: `%who` and namespace views show the user's own variables only
    state.shell.push(names, interactive=False)


def join(backend: str | None, env: dict[str, str], files: dict[str, str]) -> dict[str, Any]:
    """Form the group; see `form` for what the arguments are.

    Returns:
        What this rank is: host, device, versions.

    Raises:
        ConnectError: MLX could not form the group, or formed another one.
    """
    try:
        state.group = form(backend, env, files, doors.release)
    except RuntimeError as error:
        raise ConnectError(f"rank {state.rank} could not join the {backend} group: {error}") from error
    formed = (state.group.rank(), state.group.size())
    if formed != (state.rank, state.world_size):
        raise ConnectError(
            "MLX formed another group than the one asked for",
            expected=f"rank {state.rank} of {state.world_size}",
            got=f"rank {formed[0]} of {formed[1]}",
        )
    ring = "-ring" if env.get("MLX_JACCL_RING") else ""
    state.backend = f"{backend}{ring}" if backend else "none"
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
        "host": own_name(),
        "pid": os.getpid(),
        "device": device_name(),
        "chip": chip.describe(),
        "blas": _CUDA_BLAS if chip.is_cuda() else blas.describe(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "mlx": version("mlx"),
        "mlx_lm": version("mlx-lm"),
    }


def device_name() -> str:
    """`gpu (Apple M3 Ultra)`, `cpu (x86_64)`: where this rank computes by default."""
    kind = "gpu" if mx.default_device() == mx.Device(mx.gpu) else "cpu"
    if kind == "cpu":
        return f"cpu ({platform.machine()})"
    return f"gpu ({chip.gpu() or 'unknown'})"
