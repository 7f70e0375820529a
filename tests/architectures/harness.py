"""Load each tiny model over real ranks, as a user does, and hold it against one process.

A case that goes wrong may leave ranks that wait for ever: each has a time limit, and the next one gets new
ranks.
"""

from __future__ import annotations

from pathlib import Path

import kernelkit
from kernelkit import Cluster
from kernelkit.errors import CellError, ClusterError, KernelkitError
from tests.architectures import forward
from tests.architectures.reference import TEXT, TOKENS, Reference
from tests.architectures.verdict import Verdict, compare, compare_tokens
from tests.ranks.deadline import HungError, deadline

LIMIT_S = 40.0
RUN_LIMIT_S = 20.0
_LONGEST = 160
_ASK = f"{Path(forward.__file__).read_text(encoding='utf-8')}\nanswers = ask(model)"
_IN_STEP = "int(mx.distributed.all_sum(mx.array(1)).item())"


class Harness:
    """Ranks that one case after the other is tried on, until `close`."""

    def __init__(self, ranks: int) -> None:
        self._ranks = ranks
        self._cluster: Cluster | None = None
        self._step = ""

    def run(self, reference: Reference, strategy: str) -> Verdict:
        """Try one model under one strategy; whatever goes wrong is a verdict."""
        try:
            with deadline(LIMIT_S):
                verdict = self._try(self._connected(), reference, strategy)
        except (KernelkitError, HungError) as error:
            self.close()
            words = f"not done after {LIMIT_S:.0f} s" if isinstance(error, HungError) else _line(error)
            return Verdict("wrong", reason=f"{self._step}: {words}")
        if verdict.verdict == "wrong":
            self.close()  # its collectives may be out of step
        return verdict

    def _try(self, cluster: Cluster, reference: Reference, strategy: str) -> Verdict:
        self._step = "loading"
        try:
            model = cluster.load(str(reference.folder), strategy)  # type: ignore[arg-type]
        except (CellError, ClusterError):
            raise  # it broke while it loaded
        except KernelkitError as error:
            return self._refused(cluster, error)
        self._step = "forward"
        cluster.run(_ASK, timeout_s=RUN_LIMIT_S)
        verdict = compare(reference.answers, cluster["answers"])
        if verdict.verdict == "wrong":
            return verdict
        self._step = "generating"
        generated = model.generate(TEXT, max_tokens=TOKENS, raw=True).tokens
        fault = compare_tokens(reference.generated, generated)
        return Verdict("wrong", verdict.difference, fault) if fault else verdict

    def _refused(self, cluster: Cluster, error: KernelkitError) -> Verdict:
        """A refusal must come alike on every rank, and leave them in step."""
        values = {output.value_repr for output in cluster.run(_IN_STEP, timeout_s=RUN_LIMIT_S).values()}
        if values != {str(self._ranks)}:
            return Verdict("wrong", reason=f"refused, and then all_sum gave {sorted(map(str, values))}")
        return Verdict("refused", reason=_line(error))

    def _connected(self) -> Cluster:
        if self._cluster is None:
            self._cluster = kernelkit.connect(self._ranks)
        return self._cluster

    def close(self) -> None:
        """Stop the ranks; the next case starts new ones."""
        if self._cluster is not None:
            self._cluster.stop()
            self._cluster = None


def _line(error: BaseException) -> str:
    """The error's first line; with what was got, where kernelkit refuses."""
    first = str(error).strip().partition("\n")[0] or type(error).__name__
    if isinstance(error, KernelkitError) and not isinstance(error, CellError | ClusterError):
        return f"{first}{f' (got: {error.got})' if error.got else ''}"[:_LONGEST]
    return f"{type(error).__name__}: {first}"[:_LONGEST]
