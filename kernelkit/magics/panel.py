"""`%cluster panel`: keep a panel's topology up to date, and do what its buttons ask while a cell runs."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kernelkit.errors import ArgumentError, KernelkitError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from kernelkit.cluster import Cluster
    from kernelkit.cluster.observers import Moment
    from kernelkit.hosts.clustermap import ClusterMap
    from kernelkit.views.panel import PanelWidget

# As `static/panel.js` has it.
TARGET = "kernelkit.panel"


class Panel:
    """One panel of a notebook; it follows whatever cluster the notebook has.

    Args:
        find: gives the notebook's cluster, or None.
    """

    def __init__(self, shell: InteractiveShell, find: Callable[[], Cluster | None]) -> None:
        self._shell = shell
        self._find = find
        # Of the kernel; a shell in a terminal has none.
        self._comms: Any = getattr(getattr(shell, "kernel", None), "comm_manager", None)
        self._widget: PanelWidget | None = None
        self._followed: Cluster | None = None
        self._map: ClusterMap | None = None

    @property
    def is_open(self) -> bool:
        return self._widget is not None and self._widget.is_open

    def open(self, cluster: Cluster) -> None:
        """Show it; one that is open stays where it is.

        Raises:
            ArgumentError: there is no page to show it on.
        """
        if self._comms is None:
            raise ArgumentError("there is no page for a panel", expected="JupyterLab or Notebook 7")
        if self.is_open:
            self.follow(cluster)
            return
        from kernelkit.views import topology
        from kernelkit.views.panel import PanelWidget

        self._map = cluster.map()
        self._comms.register_target(TARGET, self._called)
        self._widget = PanelWidget(secrets.token_hex(4), topology(self._map), cluster.state)
        self._widget.observe(lambda _: self.close(), "is_open")
        self.follow(cluster)

    def follow(self, cluster: Cluster) -> None:
        """Show this cluster from now on."""
        if not self.is_open:
            return
        self._leave()
        self._followed = cluster
        cluster.observers.append(self._told)
        self._look(cluster)

    def close(self) -> None:
        """Take it away; safe to call twice."""
        self._leave()
        widget, self._widget = self._widget, None
        if widget is not None:
            widget.close()
            self._comms.unregister_target(TARGET, self._called)

    def _leave(self) -> None:
        if self._followed is not None and self._told in self._followed.observers:
            self._followed.observers.remove(self._told)
        self._followed = None

    def _told(self, moment: Moment) -> None:
        """Some times a second while something runs: where the ranks stand, on the map as it was before."""
        from kernelkit.hosts.live import with_places

        if self._followed is None or self._map is None:
            return
        if moment.phase == "ended":  # memory has changed, ranks may be gone
            self._look(self._followed)
        if moment.places:
            self._show(with_places(self._map, moment.places), moment.state)
        else:
            self._show(self._map, moment.state)

    def _look(self, cluster: Cluster) -> None:
        if cluster.state != "stopped":
            self._map = cluster.map()
        if self._map is not None:
            self._show(self._map, cluster.state)

    def _show(self, cluster_map: ClusterMap, state: str) -> None:
        from kernelkit.views import topology

        if state == "stopped":
            cluster_map = _without_ranks(cluster_map)
        if self._widget is not None:
            self._widget.show(topology(replace(cluster_map, state=state)), state)

    def _called(self, comm: Any, _: Mapping[str, Any]) -> None:
        """The page has opened its line; what comes on it is handled by a thread beside the running cell."""
        comm.on_msg(
            lambda message: comm.send({"text": self._do(message["content"]["data"], comm), "done": True})
        )

    def _do(self, asked: Mapping[str, Any], comm: Any) -> str:
        """Do what a button asks; the answer is for the page."""
        cluster = self._find()
        if cluster is None:
            return "no cluster is connected"
        try:
            if asked.get("action") == "stop":
                return self._stop(cluster)
            recovery = cluster.recover(report=lambda text: comm.send({"text": text, "done": False}))
        except KernelkitError as error:
            return str(error)
        if cluster.model is not None:
            self._shell.push({"model": cluster.model})
        self.follow(cluster)
        return str(recovery)

    @staticmethod
    def _stop(cluster: Cluster) -> str:
        if cluster.state != "running":
            return f"nothing runs on the ranks ({cluster.state})"
        cluster.interrupt()
        return "the ranks were asked to stop"


def _without_ranks(cluster_map: ClusterMap) -> ClusterMap:
    """The same hosts after their ranks were ended."""
    hosts = tuple(
        replace(host, ranks=tuple(replace(rank, state="gone", doing="stopped") for rank in host.ranks))
        for host in cluster_map.hosts
    )
    return replace(cluster_map, hosts=hosts)
