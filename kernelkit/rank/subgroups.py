"""Split the group of all ranks for a hybrid: tensor-parallel within a stage, and the stages a pipeline."""

from __future__ import annotations

import mlx.core as mx

from kernelkit.errors import ArgumentError, ModelShardError

Groups = tuple[mx.distributed.Group, mx.distributed.Group]


def split_group(group: mx.distributed.Group, stages: int, backend: str) -> Groups:
    """`(of a stage, over the stages)`: ranks in a row are a stage, rank 0's has the last layers.

    All ranks must call it: it may be a collective. Which backends can do it is MLX's to say; of 0.32 it is
    mpi alone.

    Raises:
        ArgumentError: the stages do not divide the ranks, or are as many as these, or one.
        ModelShardError: the backend cannot split a group; every rank says so.
    """
    ranks = group.size()
    if ranks % stages or not 1 < stages < ranks:
        raise ArgumentError(
            "the stages do not fit the ranks",
            expected=f"--stages of a number above 1 and below {ranks} that divides it"
            if ranks > 3
            else "4 ranks or more",
            got=f"{stages} stages for {ranks} ranks",
            cure="--strategy tensor, or --strategy pipeline" if ranks < 4 else "another --stages",
        )
    width = ranks // stages
    try:
        return group.split(group.rank() // width), group.split(group.rank() % width)
    except RuntimeError as error:
        raise ModelShardError(
            f"the backend {backend} cannot split a group of ranks, which a hybrid needs",
            expected="a backend whose groups can be split: mpi",
            got=str(error),
            cure="%cluster connect --backend mpi, or --strategy tensor or pipeline",
        ) from error
