"""One digest for all files of a model: who has the same has the same weights, config and tokenizer."""

from __future__ import annotations

import hashlib

from kernelkit.errors import ModelError
from kernelkit.model.operator import Operator, one_per_host


def content_digest(cluster: Operator, name: str) -> str:
    """SHA-256, as 64 hexadecimal digits, of the names and the contents of the loaded model's files.

    Each host reads its own files, all of them once; those that it has read before and that have not changed
    since are not read again. Of a hub's model hosts may have different weight files: together they count.

    Args:
        name: of the model, for the error.

    Raises:
        ModelError: two hosts have a file of one name with different contents.
        ModelNotFoundError: a host's files cannot be read any more.
    """
    ranks = one_per_host(cluster)
    answers = cluster.operate(dict.fromkeys(ranks.values(), ("hash_model", {})))
    files: dict[str, str] = {}
    owner: dict[str, str] = {}
    for host, rank in ranks.items():
        for file, digest in answers[rank].items():
            if files.setdefault(file, digest) != digest:
                raise ModelError(
                    f"the hosts have different files of {name}",
                    expected=f"{file} as {owner[file]} has it",
                    got=f"another one on {host}",
                    cure=f"%model push {name}, then load it again",
                )
            owner.setdefault(file, host)
    whole = "".join(f"{digest}  {file}\n" for file, digest in sorted(files.items()))
    return hashlib.sha256(whole.encode()).hexdigest()
