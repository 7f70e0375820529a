"""The operations that the notebook may ask of a rank, by name, with JSON in and JSON out.

The channel evaluates `call(name, json)` as a user expression of a silent execute request, so an
operation runs in the kernel's main thread, or in a subshell's thread when it must answer while
the main thread is blocked. Its answer travels in the reply; progress travels as events.
"""

from __future__ import annotations

import importlib
import json
import threading
from typing import Any

from kernelkit.errors import KernelkitError
from kernelkit.rank import before, group, ledger, state

# Name to module and function. Modules load at first use: a rank that never sees a model starts faster.
_OPERATIONS = {
    "open_doors": "doors",
    "reach": "doors",
    "reserve_ports": "doors",
    "join": "group",
    "verify": "group",
    "compute": "rescue",
    "rescuable": "rescue",
    "rescue": "rescue",
    "import_modules": "rescue",
    "push": "data",
    "pull": "data",
    "status": "watch",
    "where": "watch",
    "report": "watch",
    "ledger": "ledger",
    "find_files": "files",
    "wanted_files": "files",
    "fetch_files": "files",
    "hash_files": "files",
    "hash_model": "content",
    "survey_target": "targets",
    "transfer": "pushing",
    "stop_transfer": "pushing",
    "inspect": "models",
    "prepare": "models",
    "read": "models",
    "forget_prepared": "models",
    "generate": "generating",
    "generate_batch": "generating",
    "check_settings": "generating",
    "keep_caches": "generating",
    "unload": "models",
    "shards": "shards",
    "memory": "memory",
    "device": "memory",
    "calibrate": "calibrate",
    "model_config": "models",
    "plan_check": "checkplan",
    "check_generate": "checking",
    "check_reference": "checking",
    "check_compare": "checking",
    "trace_reference": "checking",
    "trace_ranks": "checking",
    "freeze_check": "checking",
    "release_check": "checking",
    "freeze": "generating",
    "release": "generating",
}


class Answer:
    """An operation's result, shown to Jupyter as `application/json`."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        return {"application/json": self.content}


def call(name: str, arguments: str) -> Answer:
    """Run one operation; a `KernelkitError` becomes part of the answer and keeps its type."""
    in_main = threading.current_thread() is threading.main_thread()
    if in_main:
        ledger.begin()
        state.operation = name
    try:
        operation = getattr(importlib.import_module(f"kernelkit.rank.{_OPERATIONS[name]}"), name)
        return Answer({"value": operation(**json.loads(arguments))})
    except KernelkitError as error:
        return Answer({"error": error.to_dict()})
    finally:
        if in_main:
            state.operation = ""


def prepare(shell: Any, *, rank: int, world_size: int) -> None:
    """Give the kernel its rank before the first cell arrives."""
    state.shell = shell
    state.rank, state.world_size = rank, world_size
    if world_size > 1:
        ledger.before_first.append(before.secure)
        ledger.at_settle.append(before.settle_large)
        ledger.install()
    group.bind_names()
