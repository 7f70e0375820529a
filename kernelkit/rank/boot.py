"""Start a rank: one Jupyter kernel whose keys come on standard input and whose ports are its own.

The agent writes one JSON line (keys, environment); the rank answers with one JSON line (ports,
pid) once its sockets are bound. From then on it is a Jupyter kernel like any other, except that
it ends when its standard input does.
"""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import threading
from time import perf_counter
from typing import Any, TextIO

import zmq
from ipykernel.ipkernel import IPythonKernel
from ipykernel.kernelapp import IPKernelApp
from ipykernel.zmqshell import ZMQInteractiveShell
from IPython.core.compilerop import CachingCompiler
from tornado.ioloop import IOLoop, PeriodicCallback
from traitlets.config import Config

from kernelkit.rank.forked import PrivateIOPubThread
from kernelkit.rank.lastwords import keep_last_words
from kernelkit.rank.parent import die_with_parent

_WAKE_MS = 200


class RankShell(ZMQInteractiveShell):
    """A shell that outlives what would end or empty an ordinary one."""

    # ipykernel's own puts the process id into file names, and so into every warning.
    compiler_class = CachingCompiler

    def ask_exit(self) -> None:
        """`exit()` would take the rank from its group between this cell and the next."""
        print("exit() does not end a rank; %cluster stop ends all of them", file=sys.stderr)

    async def run_cell_async(self, raw_cell: str, *args: Any, **kwargs: Any) -> Any:
        """A cell is over when the collectives that it called have run."""
        result = await super().run_cell_async(raw_cell, *args, **kwargs)
        # Also after an error of the user's, so that no other rank is left waiting; MLX's own ends the group.
        broken = isinstance(result.error_in_exec, RuntimeError | KeyboardInterrupt)
        if not (kwargs.get("silent") or broken or result.error_before_exec):
            from kernelkit.rank import ledger

            try:
                ledger.settle()
            except (RuntimeError, ValueError, KeyboardInterrupt) as error:
                if result.success:
                    self.showtraceback()
                result.error_in_exec = result.error_in_exec or error
        return result

    def _get_exc_info(self, exc_tuple: Any = None) -> Any:
        """The functions that record collectives are none of the user's business in a traceback."""
        from kernelkit.rank import agree, ledger

        kind, error, trace = super()._get_exc_info(exc_tuple)  # type: ignore[no-untyped-call]
        ours = (agree.__file__, ledger.__file__)
        step = trace
        while step is not None and step.tb_next is not None:
            if step.tb_next.tb_frame.f_code.co_filename in ours:
                step.tb_next = step.tb_next.tb_next
            else:
                step = step.tb_next
        return kind, error, trace

    def reset(self, new_session: bool = True, aggressive: bool = False) -> None:
        """`%reset` forgets the user's names, not the ones that every rank has."""
        super().reset(new_session, aggressive)  # type: ignore[no-untyped-call]
        from kernelkit.rank import group

        group.bind_names()


class RankKernel(IPythonKernel):
    """Numbers its cells as the notebook does, so that tracebacks name the notebook's cell."""

    shell_class = RankShell

    async def do_execute(self, code: str, silent: bool, *args: Any, **kwargs: Any) -> Any:
        if silent:  # an operation, perhaps in a subshell while a cell runs
            return await super().do_execute(code, silent, *args, **kwargs)  # type: ignore[no-untyped-call]
        from kernelkit.rank import before, ledger, state, timing

        request: dict[str, Any] = self.get_parent()  # type: ignore[no-untyped-call]
        metadata = request.get("metadata", {})
        if (number := metadata.get("kernelkit_cell")) is not None and self.shell is not None:
            self.shell.execution_count = number
        state.cell = number
        ledger.begin(check=bool(metadata.get("kernelkit_check")))
        state.cell_runs = True
        try:
            before.remember()
            began_s = perf_counter()
            with timing.recorded(bool(metadata.get("kernelkit_record"))) as clock:
                reply = await super().do_execute(code, silent, *args, **kwargs)  # type: ignore[no-untyped-call]
                recording = None if clock is None else clock.to_dict(began_s)
            state.mlx_failed = reply.get("ename") == "RuntimeError"
        finally:
            before.forget()
            state.cell_runs = False
        return {**reply, "kernelkit": ledger.summary(), "kernelkit_recording": recording}


class RankApp(IPKernelApp):
    """An IPython kernel with nothing of its user's profile: a rank behaves alike on every host."""

    kernel_class = RankKernel

    def init_connection_file(self) -> None:
        """No file: what it would hold came on standard input."""

    def write_connection_file(self, **kwargs: Any) -> None:
        """No file: it would hold the keys."""

    def load_config_files(self) -> None:
        """The user's kernel configuration stays out: it may differ from host to host."""

    def init_code(self) -> None:
        """The user's startup files stay out as well."""

    def init_iopub(self, context: Any) -> None:
        """As ipykernel does it, but the socket for the prints of forked children is encrypted as well."""
        socket = context.socket(zmq.XPUB)
        socket.linger = 1000
        self._apply_curve_server_options(socket)
        self.iopub_port = self._bind_socket(socket, self.iopub_port)  # type: ignore[no-untyped-call]
        self.iopub_thread = PrivateIOPubThread(socket, pipe=True, session=self.session)  # type: ignore[no-untyped-call]
        self.iopub_thread.start()  # type: ignore[no-untyped-call]
        self.iopub_socket = self.iopub_thread.background_socket

    def bound_ports(self) -> dict[str, int]:
        names = ("shell", "iopub", "control", "stdin", "hb")
        return {f"{name}_port": int(getattr(self, f"{name}_port")) for name in names}


def main() -> None:
    """Read the boot line, become a kernel, say so, and serve until standard input ends."""
    die_with_parent()
    boot = json.loads(sys.stdin.buffer.readline())
    answer = os.dup(sys.stdout.fileno())
    watched = _take_standard_input()
    threading.Thread(
        target=_leave_at_end_of_input,
        args=(watched, boot.get("grace", False)),
        name="kernelkit-stdin",
        daemon=True,
    ).start()

    app = RankApp.instance(config=_config(boot), ip="127.0.0.1", transport="tcp", log_level=50)
    app.curve_publickey = boot["curve_publickey"].encode()
    app.curve_secretkey = boot["curve_secretkey"].encode()
    with os.fdopen(os.dup(2), "w", buffering=1) as errors:
        app.initialize([])  # type: ignore[no-untyped-call]
        _serve(app, boot, answer, errors)


def _serve(app: RankApp, boot: dict[str, Any], answer: int, errors: TextIO) -> None:
    # What a cell writes to stderr goes to the agent as well, at once: if the process dies, these are its
    # last words, and Jupyter's own way collects them for a moment.
    sys.stderr.echo = errors  # type: ignore[union-attr]
    faulthandler.enable(errors, all_threads=False)
    keep_last_words(sys.stdout, sys.stderr)

    from kernelkit.rank import ops  # after the sockets are bound: mlx takes its time to load

    ops.prepare(app.shell, rank=boot["rank"], world_size=boot["world_size"])

    def announce() -> None:
        with os.fdopen(answer, "w") as out:
            out.write(json.dumps({"pid": os.getpid(), **app.bound_ports()}) + "\n")

    # A signal's handler runs when the main thread does something; while it awaits, it must be woken for that.
    PeriodicCallback(lambda: None, _WAKE_MS).start()
    # From inside the running loop: ipykernel sets its handlers in `start`, from another thread than
    # the one that polls the sockets, and a message that came before may lie there unseen for ever.
    IOLoop.current().add_callback(announce)
    app.start()  # type: ignore[no-untyped-call]


def _config(boot: dict[str, Any]) -> Config:
    config = Config()
    config.Session.key = boot["key"].encode()
    config.RankApp.outstream_class = "kernelkit.rank.lastwords.WatchedStream"
    config.HistoryManager.enabled = False
    config.IPCompleter.use_jedi = False  # slow, and the names that matter here live in the namespace
    return config


def _take_standard_input() -> int:
    """Move the agent's pipe away from descriptor 0, where a child (`!cat`) would wait for it to end."""
    watched = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return watched


def _leave_at_end_of_input(watched: int, grace: bool) -> None:
    """The pipe ends with the agent, and the agent ends with the notebook: leave at once.

    With grace as a C program does, so that MLX closes its RDMA devices; the agent kills what takes too long.
    """
    while os.read(watched, 4096):
        pass
    if grace:
        import ctypes

        ctypes.CDLL(None).exit(0)
    os._exit(0)
