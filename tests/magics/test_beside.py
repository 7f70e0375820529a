"""The magics from a subshell of a real notebook kernel, while a cell of that kernel hangs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from tests.cluster.conftest import without_pytests_mark

_STUCK = """%%sharded
if rank == 0:
    total = mx.distributed.all_sum(mx.ones(4))
    mx.eval(total)
else:
    import time
    time.sleep(600)"""
_TIMEOUT_S = 60.0


class Kernel:
    """A notebook kernel with a second shell beside its own."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self._client = client
        client.session.send(client.control_channel.socket, "create_subshell_request", {})
        self.beside = client.get_control_msg(timeout=_TIMEOUT_S)["content"]["subshell_id"]
        self._seen: list[dict[str, Any]] = []

    def start(self, code: str, subshell: str | None = None) -> str:
        """Ask for a cell, in the main shell or in the one beside it."""
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}}
        message = self._client.session.msg("execute_request", {**content, "allow_stdin": False})
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        self._client.shell_channel.send(message)
        return str(message["header"]["msg_id"])

    def text_of(self, request: str, until: str = "") -> str:
        """What a cell has shown, once it has ended or has shown `until`."""
        text = ""
        while True:
            mine = [m for m in self._seen if m["parent_header"].get("msg_id") == request]
            text = "\n".join(_text(message) for message in mine)
            if (until and until in text) or any(m["content"].get("execution_state") == "idle" for m in mine):
                return text
            self._seen.append(self._client.get_iopub_msg(timeout=_TIMEOUT_S))


def _text(message: dict[str, Any]) -> str:
    content = message["content"]
    return str(
        content.get("data", {}).get("text/plain") or content.get("evalue") or content.get("text") or ""
    )


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    manager = KernelManager(kernel_name="python3")
    with without_pytests_mark():
        manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=_TIMEOUT_S)
        yield Kernel(client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_status_and_recover_work_beside_a_cell_that_hangs(kernel: Kernel) -> None:
    kernel.text_of(kernel.start("%load_ext kernelkit\n%cluster connect\n%sharded kept = rank"))
    hanging = kernel.start(_STUCK)
    kernel.text_of(hanging, until="rank 0 waits in all_sum at line 3")
    status = kernel.text_of(kernel.start("%cluster status", kernel.beside))
    assert "running" in status
    assert "line 4: mx.eval(total)" in status
    assert "line 7: time.sleep(600)" in status
    recovered = kernel.text_of(kernel.start("%cluster recover", kernel.beside))
    assert "2 new ranks" in recovered
    assert "kept" in recovered
    assert "being recovered" in kernel.text_of(hanging)
    assert "[1] 1" in kernel.text_of(kernel.start("%sharded kept"))


def test_interrupt_beside_a_cell_that_hangs_is_a_ctrl_c(kernel: Kernel) -> None:
    kernel.text_of(kernel.start("%load_ext kernelkit\n%cluster connect"))
    hanging = kernel.start(_STUCK)
    kernel.text_of(hanging, until="rank 0 waits in all_sum at line 3")
    kernel.text_of(kernel.start("%cluster interrupt", kernel.beside))
    text = kernel.text_of(hanging)
    assert "the cell was stopped while ranks waited for each other" in text
    assert "rank 1: line 7: time.sleep(600); 0 collectives" in text
