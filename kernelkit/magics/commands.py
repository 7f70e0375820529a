"""What each magic does: parse, call the public function, show what comes back."""

from __future__ import annotations

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
)
from kernelkit.magics import connecting, experiments, lines, models, plans, show, surveys, writing
from kernelkit.magics.asked import with_help
from kernelkit.magics.experiment_lines import EXPERIMENT
from kernelkit.magics.grammar import parse
from kernelkit.magics.panel import Panel

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from kernelkit.cluster import Cluster, ClusterStatus, Recovery, Result
    from kernelkit.experiments import Comparison, Experiment
    from kernelkit.generation import Generation
    from kernelkit.generations import Generations
    from kernelkit.hosts.calibration import Calibration
    from kernelkit.hosts.linkreport import LinkReport
    from kernelkit.outputs import RankOutput
    from kernelkit.perf.result import Plan
    from kernelkit.places import Places
    from kernelkit.survey import Diagnosis, Discovery


@magics_class
class KernelkitMagics(Magics):
    """`%cluster`, `%%sharded`, `%model`, `%%generate`, `%%chat`, `%plan`, `%experiment`."""

    shell: InteractiveShell
    _held: Cluster | None = None

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self._panel = Panel(shell, self.find)

    @line_magic
    @with_help(lines.CLUSTER)
    def cluster(
        self, line: str
    ) -> ClusterStatus | Recovery | Discovery | Diagnosis | LinkReport | Calibration | None:
        parsed = parse(lines.CLUSTER, line)
        name = parsed.command.name
        if name == "connect":
            self._connect(parsed.argument, parsed.flags)
            return None
        if name == "discover":
            return surveys.discover(parsed.argument, parsed.flags)
        if name == "doctor":
            return surveys.doctor(parsed.argument, parsed.flags, self.find())
        cluster = self._need()
        if name == "status":
            return cluster.status()
        if name == "links":
            return surveys.links(cluster, parsed.flags)
        if name == "calibrate":
            return surveys.calibrate(cluster, parsed.flags)
        if name == "panel":
            self._show_panel(cluster, parsed.argument)
            return None
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
    @with_help(lines.SHARDED, lines.SHARDED_LINE)
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
                    record="record" in flags,
                )
        finally:
            if cluster.last is not before:
                cluster.last.show_printed()
        if "record" in flags:
            show.display(cluster.last.timeline)
        return cluster.last if cluster.last.has_values else None

    @line_magic
    @with_help(lines.MODEL)
    def model(self, line: str) -> Any:
        parsed = parse(lines.MODEL, line)
        return models.run(models.Desk(self._need(), self.shell), parsed)

    @cell_magic
    @with_help(lines.GENERATE)
    def generate(self, line: str, cell: str) -> Generation | Generations:
        flags = parse(lines.GENERATE, line).flags
        desk = models.Desk(self._need(), self.shell)
        write = writing.generate_batch if "batch" in flags else writing.generate
        return write(desk, cell.strip("\n"), flags)

    @cell_magic
    @with_help(lines.CHAT)
    def chat(self, line: str, cell: str) -> Generation:
        flags = parse(lines.CHAT, line).flags
        return writing.say(models.Desk(self._need(), self.shell), cell.strip("\n"), flags)

    @line_magic
    @with_help(lines.PLAN)
    def plan(self, line: str) -> Plan:
        parsed = parse(lines.PLAN, line)
        return plans.plan(self.find(), parsed.argument, parsed.flags)

    @line_magic
    @with_help(EXPERIMENT)
    def experiment(self, line: str) -> Experiment | Comparison | None:
        parsed = parse(EXPERIMENT, line)
        names = self.shell.user_ns
        match parsed.command.name:
            case "begin":
                self.shell.push({"run": experiments.begin(self.find(), names, parsed.words)})
            case "drop":
                experiments.drop(names)
            case "end":
                return experiments.end(names, parsed.flags)
            case "compare":
                return experiments.compare(names, parsed.words)
        return None

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
        for name in ("cluster", "model", "chat"):
            self.shell.user_ns.pop(name, None)

    def close_panel(self) -> None:
        self._panel.close()

    def _cell_number(self) -> int:
        """Of the cell that runs now. IPython's own count is one ahead of it already."""
        history = self.shell.history_manager
        return len(history.input_hist_raw) - 1 if history is not None else self.shell.execution_count

    def _need(self) -> Cluster:
        cluster = self.find()
        if cluster is None:
            raise NoClusterError("no cluster is connected", cure="%cluster connect")
        return cluster

    def _connect(self, argument: str, flags: Mapping[str, Any]) -> None:
        known = self.find()
        if known is not None and known.state != "stopped":
            raise ClusterRunningError(
                f"a cluster of {show.ranks_text(known.world_size)} is connected already ({known.state})",
                cure="use it, or %cluster stop first; %cluster restart gives the same number of new ranks",
            )
        self._held = connecting.connect(argument, flags)
        self.shell.push({"cluster": self._held})
        self._panel.follow(self._held)

    def _show_panel(self, cluster: Cluster, argument: str) -> None:
        if argument == "off":
            self._panel.close()
            show.say("the panel is closed")
        elif argument:
            raise ArgumentError("%cluster panel takes no name", expected="nothing, or off", got=argument)
        else:
            self._panel.open(cluster)
            show.say("the panel is at the side of the notebook; %cluster panel off closes it")

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
