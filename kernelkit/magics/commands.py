"""What each magic does: parse, call the public function, show what comes back."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, cell_magic, line_cell_magic, line_magic, magics_class, no_var_expand

from kernelkit.errors import (
    ArgumentError,
    CellInterruptedError,
    ClusterRunningError,
    NoClusterError,
    NoModelError,
)
from kernelkit.interrupts import Interrupts
from kernelkit.magics import lines, show
from kernelkit.magics.grammar import parse

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from kernelkit.cluster import Cluster, ClusterStatus, Recovery, Result
    from kernelkit.generation import Generation
    from kernelkit.model import ShardedModel
    from kernelkit.outputs import RankOutput
    from kernelkit.places import Places


@magics_class
class KernelkitMagics(Magics):
    """`%cluster`, `%%sharded`, `%model`, `%%generate`."""

    shell: InteractiveShell
    _held: Cluster | None = None

    @line_magic
    def cluster(self, line: str) -> ClusterStatus | Recovery | None:
        parsed = parse(lines.CLUSTER, line)
        name = parsed.command.name
        if name == "connect":
            self._connect(parsed.argument)
            return None
        cluster = self._need()
        if name == "status":
            return cluster.status()
        if name == "recover":
            return self._recover(cluster)
        if name == "restart":
            with show.new_slot() as slot:
                try:
                    cluster.restart(report=lambda text: slot.show(text, text))
                except KeyboardInterrupt:
                    what = "%cluster restart was interrupted; the cluster is stopped"
                    raise CellInterruptedError(what, cure="%cluster restart") from None
            new = f"{cluster.world_size} new {show.plural(cluster.world_size)}, backend {cluster.backend}"
            show.say(f"{new}; their namespaces are empty")
        elif name == "interrupt":
            cluster.interrupt()
        else:
            self.close()
            show.say("stopped")
        return None

    @no_var_expand
    @line_cell_magic
    def sharded(self, line: str, cell: str | None = None) -> Result | None:
        if cell is None:
            flags, code = _split_line(line)
        else:
            # A comment keeps the line numbers of tracebacks those of the notebook's cell; a cell
            # magic inside must stay the first line.
            flags = parse(lines.SHARDED, line).flags
            code = cell if cell.lstrip().startswith("%%") else f"# %%sharded {line}\n{cell}"
        cluster = self._need()
        ranks = _chosen(cluster, flags)
        timeout_s = flags.get("timeout")
        ends = show.ends(timeout_s, cluster.stuck_s)
        before = cluster.last
        started_s = time.monotonic()
        try:
            with show.new_slot() as slot:

                def draw(outputs: Mapping[int, RankOutput], running: Sequence[int], places: Places) -> None:
                    if slot.due():
                        elapsed_s = time.monotonic() - started_s
                        show.running(slot, outputs, running, elapsed_s, places, ends)

                cluster.run(
                    code,
                    ranks,
                    cell=self._cell_number(),
                    on_turn=draw,
                    timeout_s=timeout_s,
                    check="check" in flags,
                )
        finally:
            if cluster.last is not before:
                cluster.last.show_printed()
        return cluster.last if cluster.last.has_values else None

    @line_magic
    def model(self, line: str) -> ShardedModel | Generation | None:
        parsed = parse(lines.MODEL, line)
        if parsed.command.name == "load":
            return self._load(parsed.argument, parsed.flags)
        if parsed.command.name == "generate":
            return self._generate(parsed.argument, parsed.flags)
        self._need_model().unload()
        self._need().model = None
        self.shell.user_ns.pop("model", None)
        show.say("unloaded")
        return None

    @cell_magic
    def generate(self, line: str, cell: str) -> Generation:
        return self._generate(cell.strip("\n"), parse(lines.GENERATE, line).flags)

    @line_magic
    def plan(self, line: str) -> None:
        raise ArgumentError(
            "%plan is not in this version of kernelkit", expected="%cluster, %%sharded, %model"
        )

    def find(self) -> Cluster | None:
        """The cluster that the magics speak to: the one bound as `cluster`, however it was made."""
        loaded = sys.modules.get("kernelkit.cluster")
        bound = self.shell.user_ns.get("cluster")
        if loaded is not None and isinstance(bound, loaded.Cluster):
            self._held = bound
        return self._held

    def close(self) -> None:
        """End the cluster, if there is one."""
        if (cluster := self.find()) is not None:
            cluster.stop()
        self._held = None
        for name in ("cluster", "model"):
            self.shell.user_ns.pop(name, None)

    def _cell_number(self) -> int:
        """Of the cell that runs now. IPython's own count is one ahead of it already."""
        history = self.shell.history_manager
        return len(history.input_hist_raw) - 1 if history is not None else self.shell.execution_count

    def _need(self) -> Cluster:
        cluster = self.find()
        if cluster is None:
            raise NoClusterError("no cluster is connected", cure="%cluster connect")
        return cluster

    def _need_model(self) -> ShardedModel:
        model = self._need().model
        if model is None:
            raise NoModelError(
                "no model is loaded", cure="%model load PATH_OR_HF_ID, such as %model load smollm2"
            )
        return model

    def _connect(self, argument: str) -> None:
        known = self.find()
        if known is not None and known.state != "stopped":
            raise ClusterRunningError(
                f"a cluster of {show.ranks_text(known.world_size)} is connected already ({known.state})",
                cure="use it, or %cluster stop first; %cluster restart gives the same number of new ranks",
            )
        if argument and not re.fullmatch(r"-?\d{1,9}", argument, re.ASCII):
            raise ArgumentError(
                "this is no number of ranks", expected="%cluster connect [N]", got=repr(argument)
            )
        with Interrupts():  # a library that is broken off while it loads stays broken
            from kernelkit.cluster import connect

        with show.new_slot() as slot:
            try:
                cluster = connect(int(argument or 2), report=lambda text: slot.show(text, text))
            except KeyboardInterrupt:
                raise CellInterruptedError("%cluster connect was interrupted; nothing was started") from None
        self._held = cluster
        self.shell.push({"cluster": cluster})
        show.say(f"{show.ranks_text(cluster.world_size)} on this machine, backend {cluster.backend}")
        cores = os.cpu_count() or 1
        if cluster.world_size > cores:
            show.warn(
                f"{cluster.world_size} ranks share {cores} cores: ranks of a ring spin while they wait, so "
                "collectives get some 100 times slower. Good for trying things out, not for timing them."
            )

    def _recover(self, cluster: Cluster) -> Recovery:
        with show.new_slot() as slot:
            try:
                recovery = cluster.recover(report=lambda text: slot.show(text, text))
            except KeyboardInterrupt:
                what = "%cluster recover was interrupted; what it had carried so far is kept"
                raise CellInterruptedError(what, cure="%cluster recover") from None
        self.shell.push({"cluster": cluster})
        if cluster.model is not None:
            self.shell.push({"model": cluster.model})
        return recovery

    def _load(self, name: str, flags: Mapping[str, Any]) -> ShardedModel:
        from kernelkit.views.live import progress_html, progress_text

        cluster = self._need()
        fractions: dict[int, tuple[str, float]] = {}
        with show.new_slot() as slot:

            def draw(rank: int, event: dict[str, Any]) -> None:
                fractions[rank] = (event["phase"], event["fraction"])
                slot.show(progress_html(fractions), progress_text(fractions))

            model = cluster.load(name, flags.get("strategy", "tensor"), on_event=draw)
        self.shell.push({"model": model})
        return model

    def _generate(self, prompt: str, flags: Mapping[str, Any]) -> Generation:
        from kernelkit.outputs import Stream
        from kernelkit.views.live import text_html

        model = self._need_model()
        settings = {name.replace("-", "_"): value for name, value in flags.items()}
        pieces: list[str] = []
        try:
            with show.new_slot() as slot:

                def draw(piece: str) -> None:
                    pieces.append(piece)
                    if slot.due():
                        text = "".join(pieces)
                        slot.show(text_html(text), text.rsplit("\n", 1)[-1])

                return model.generate(prompt, on_text=draw, **settings)
        finally:
            # Once and whole: pieces would stay pieces in notebooks that are executed without a front end.
            show.publish(Stream("stdout", "".join([*pieces, "\n"]) if pieces else ""))


KernelkitMagics.cluster.__doc__ = lines.CLUSTER.help
KernelkitMagics.sharded.__doc__ = f"{lines.SHARDED.help}\n{lines.SHARDED_LINE.help}"
KernelkitMagics.model.__doc__ = lines.MODEL.help
KernelkitMagics.generate.__doc__ = lines.GENERATE.help


def _split_line(line: str) -> tuple[Mapping[str, Any], str]:
    """Flags in front, then the code as it is: an expression's own quotes are not the shell's."""
    known = {f"--{flag.name}": flag for flag in lines.SHARDED_LINE.commands[0].flags}
    words: list[str] = []
    code = line
    # In front a misspelt flag is refused; after a flag, or as `--x`, it is a double minus, and Python's.
    while (name := re.match(r"\s*(--[a-z]{3}[a-z-]*)", code)) and (name[1] in known or not words):
        word, code = _first_word(code)
        words.append(word)
        if word in known and known[word].convert is not None:
            word, code = _first_word(code)
            words.append(word)
    words += ["x"] if code.strip() else []
    return parse(lines.SHARDED_LINE, " ".join(words)).flags, code


def _first_word(text: str) -> tuple[str, str]:
    word, *rest = text.split(maxsplit=1) or [""]
    return word, "".join(rest)


def _chosen(cluster: Cluster, flags: Mapping[str, Any]) -> list[int] | None:
    from kernelkit.hosts.ranklist import parse_ranks

    return parse_ranks(flags["ranks"], cluster.world_size) if "ranks" in flags else None
