"""What may be asked of a plan."""

from __future__ import annotations

from kernelkit.amounts import check_whole
from kernelkit.errors import ArgumentError


def check_load(context: int, batch: int) -> None:
    """Refuse what is no number of tokens or of sequences.

    Raises:
        ArgumentError: it says which.
    """
    check_whole("context", context, such=" of tokens, such as 100_000")
    check_whole("batch", batch)


def check_asked(context: int, batch: int, strategy: str, kv_bits: int | None, fast_synch: bool) -> None:
    """Refuse what `plan` cannot plan, before a model is looked for.

    Raises:
        ArgumentError: it says what.
    """
    check_load(context, batch)
    if strategy == "hybrid":
        raise ArgumentError(
            "there is no plan for a hybrid of stages and tensor parallelism",
            expected="tensor or pipeline",
            got=strategy,
            cure="kk.simulate(kk.Job.planned(MODEL, ON, stages=N), NETWORK) foretells its decoding",
        )
    if strategy not in ("tensor", "pipeline"):
        raise ArgumentError(
            "there is no plan for that strategy", expected="tensor or pipeline", got=repr(strategy)
        )
    if kv_bits is not None and batch > 1:
        raise ArgumentError(
            "mlx-lm does not quantize a batch's caches", expected="kv_bits or a batch", got=f"batch {batch}"
        )
    if not isinstance(fast_synch, bool):
        raise ArgumentError("fast_synch is on or off", expected="True or False", got=repr(fast_synch))
