"""The model that a cluster's ranks hold: loaded, pushed to other hosts, and loaded again by a recovery."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernelkit.cluster.bringup import Members
from kernelkit.cluster.checks import check_callable, model_name
from kernelkit.cluster.follow import ASK_TIMEOUT_S
from kernelkit.cluster.lifetime import Lifetime
from kernelkit.cluster.runner import OnEvent
from kernelkit.cluster.site import Site
from kernelkit.errors import ArgumentError, CellInterruptedError
from kernelkit.model import Layout, ShardedModel, Strategy
from kernelkit.model.loading import as_split

if TYPE_CHECKING:
    from kernelkit.model.pushing import Pushed


class ModelHolder(Lifetime):
    """Ranks that may hold a model; to the model it is the `Operator`.

    Attributes:
        model: what was loaded; None where nothing is.
    """

    def __init__(self, site: Site, members: Members) -> None:
        super().__init__(site, members)
        self.model: ShardedModel | None = None
        self._model: ShardedModel | None = None  # to be loaded again by a recovery that was broken off

    @property
    def rank_hosts(self) -> list[str]:
        """The host of each rank, by the name that the hostfile has for it."""
        return self.site.by_rank

    @property
    def rank_facts(self) -> dict[int, dict[str, Any]]:
        """What each rank said of itself when it joined: host, device, chip, BLAS, system, versions."""
        return {rank: dict(facts) for rank, facts in self._runner.members.facts.items()}

    def operate(
        self,
        requests: Mapping[int, tuple[str, Mapping[str, Any]]],
        *,
        on_event: OnEvent = lambda rank, event: None,
        on_interrupt: Callable[[], bool] | None = None,
    ) -> dict[int, Any]:
        """Run one of the ranks' own operations on each, and gather the answers; see `Runner.operate`."""
        return self._runner.operate(requests, on_event=on_event, on_interrupt=on_interrupt)

    def ask(self, operation: str, arguments: Mapping[str, Any]) -> dict[int, Any]:
        """Run an operation on all ranks beside what they are doing; those that answered in time."""
        return self._runner.members.channel.ask(range(self.world_size), operation, arguments, ASK_TIMEOUT_S)

    def load(
        self,
        name: str | Path,
        strategy: Strategy = "tensor",
        *,
        split: Sequence[int] | None = None,
        stages: int | None = None,
        quantize: int | None = None,
        context: int | None = None,
        dtype: str = "auto",
        on_event: OnEvent = lambda rank, event: None,
        called: str = "",
    ) -> ShardedModel:
        """Shard a language model over all ranks.

        Args:
            name: a folder in the Hugging Face layout, a hub id, `smollm2`, or `austen`, which comes along.
            strategy: `tensor` cuts every layer, `pipeline` deals the layers out, `hybrid` deals them out to
                stages of ranks that cut them among themselves (on a backend that can split groups: mpi).
            split: rank by rank, shares of every layer (tensor: `(2, 1, 1)`) or numbers of layers (pipeline).
                By default layers are cut evenly, or dealt out by the ranks' free memory.
            stages: of a hybrid; 2 by default.
            quantize: 4 or 8 bits for the weights in memory.
            context: tokens whose KV cache must fit beside the weights; 4096, or as many as it was made for.
            dtype: of the weights in memory: `float32`, `float16` or `bfloat16`, into which quantized ones are
                turned; `keep`, as in the file; `auto`: `keep` on a GPU, `float32` on a CPU. In 16 bits sums
                are rounded, on other numbers of ranks in other order: words that are as likely may change.
            on_event: called with each rank's progress.
            called: how the model is called where it is shown; `name` by default.

        Raises:
            ModelNotFoundError, ModelShardError, DoesNotFitError, ArgumentError: before anything is loaded; a
                model that was there stays.
        """
        check_callable("on_event", on_event)
        if stages is not None and strategy != "hybrid":
            raise ArgumentError(
                f"a model of strategy {strategy!r} has no stages",
                expected='strategy="hybrid" with stages',
                got=f"stages={stages!r}",
            )
        layout = Layout(strategy, as_split(split), 2 if stages is None else stages, quantize, context, dtype)
        return self._load(model_name(name), layout, on_event, called)

    def push_model(
        self,
        name: str | Path,
        to: str | Sequence[str] | None = None,
        source: str | None = None,
        *,
        on_event: OnEvent = lambda rank, event: None,
    ) -> Pushed:
        """Send a model's files from the host that has them to others, over the cluster's own links.

        Each file's SHA-256 is compared with the source's. What a host has already is not sent again, and a
        folder gets its name when it is whole: the same path, or, where that cannot be written and for a hub's
        model, one in kernelkit's cache that `load` finds by the same name.

        Args:
            name: as for `load`; a hub's model is downloaded by the source alone.
            to: hosts, as the hostfile calls them; all others by default.
            source: the host that has it; rank 0's by default.
            on_event: called with each rank's progress; the sender's says `bytes_per_s`.

        Raises:
            ModelNotFoundError: the source does not have it.
            ModelPushError: a host has no room for it, or another model in its place, or could not write it.
            CellInterruptedError: Ctrl-C or the stop button; whole files are kept for the next time.
        """
        from kernelkit.model.pushing import push_model

        hosts = to.split(",") if isinstance(to, str) else to
        check_callable("on_event", on_event)
        return push_model(self, model_name(name), hosts, source, on_event)

    def _load(
        self, name: str, layout: Layout, on_event: OnEvent = lambda rank, event: None, called: str = ""
    ) -> ShardedModel:
        def forget() -> None:
            self._model = self.model or self._model  # what `recover` loads again if this is broken off
            self._forget_model()

        before = self.model
        try:
            self.model = ShardedModel.load(self, name, layout, on_event, forget, called)
        except CellInterruptedError as error:
            if before is not None and self.model is None:
                what = f"{error.what}; it had let go of {before.name}, so no model is loaded now"
                cure = f"%model load again, or %cluster recover to have {before.name} back"
                raise CellInterruptedError(what, cure=cure) from None
            raise
        self._model = None
        return self.model

    def _forget_model(self) -> None:
        if self.model is not None:
            self.model.forget()
        self.model = None
