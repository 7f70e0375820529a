"""Cells that several tests run, and the values that come back."""

from __future__ import annotations

from typing import Any

SLEEP = "import time\ntime.sleep(600)"
SLEEPING = "line 2: time.sleep(600)"
SUM = "int(mx.distributed.all_sum(mx.array(rank + 1)).item())"


def values(result: Any) -> list[str | None]:
    return [result[rank].value_repr for rank in result]
