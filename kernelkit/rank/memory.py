"""Say what this rank's device can hold, and what is in use there."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import psutil

from kernelkit.hosts.naming import own_name
from kernelkit.rank.needs import caches
from kernelkit.rank.precision import weight_bytes
from kernelkit.rank.shards import loaded_model
from kernelkit.sharding.config import max_context
from kernelkit.sharding.memory import GPU, MACHINE, METAL


def memory() -> dict[str, Any]:
    """What this rank adds to a `MemoryMap`, JSON-like; `sharding.merge` puts the ranks' answers together.

    Returns:
        `weight_bytes` of the model here; `own_bytes`, these and what MLX keeps for reuse; `max_context` in
        tokens; `kv_bytes_per_token`, `windows` and `state_bytes` of the caches; and all of `device`.

    Raises:
        NoModelError: nothing is loaded here.
    """
    loaded = loaded_model()
    size_bytes = weight_bytes(loaded.model)
    return {
        "weight_bytes": size_bytes,
        "own_bytes": size_bytes + mx.get_cache_memory(),
        "max_context": max_context(loaded.config),
        **caches(loaded.model),
        **device(),
    }


def device() -> dict[str, Any]:
    """The memory that this rank computes in.

    Returns:
        `host`; `device`, a name that is the same for all ranks that share it; `limit_bytes`, and what `limit`
        that is; `total_bytes` of the memory, which may be more; `in_use_bytes` of it, by everyone.
    """
    host = own_name()
    machine = psutil.virtual_memory()
    # Two machines may have one name, but hardly started in the same second.
    name = f"{host}, up since {psutil.boot_time():.0f}"
    answer = {
        "host": host,
        "device": name,
        "limit_bytes": machine.total,
        "limit": MACHINE,
        "total_bytes": machine.total,
        "in_use_bytes": machine.total - machine.available,
    }
    if mx.default_device() != mx.Device(mx.gpu):
        return answer
    facts = mx.device_info()
    if "max_recommended_working_set_size" in facts:
        answer |= {"limit_bytes": int(facts["max_recommended_working_set_size"]), "limit": METAL}
    elif "total_memory" in facts:  # CUDA
        total, free = int(facts["total_memory"]), int(facts["free_memory"])
        answer |= {"device": f"{name}, {facts.get('uuid')}", "limit_bytes": total, "limit": GPU}
        answer |= {"total_bytes": total, "in_use_bytes": total - free}
    return answer
