"""Run the system's own tools, `ip`, `tc` and their like, and fail with their words."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Sequence


class LabError(RuntimeError):
    """Something of the laboratory could not be built."""


def run(argv: Sequence[str], stdin: str = "") -> str:
    """Run a tool and return what it printed.

    Raises:
        LabError: it failed.
    """
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise LabError(f"{' '.join(argv)} failed ({done.returncode}): {done.stderr.strip() or done.stdout}")
    return done.stdout


def ip(namespace: str, *commands: str) -> None:
    """Run commands of `ip` in a namespace, all by one process: a laboratory needs dozens of them."""
    run(["ip", "-n", namespace, "-batch", "-"], _lines(commands))


def tc(namespace: str, *commands: str) -> None:
    """Run commands of `tc` in a namespace."""
    run(["tc", "-n", namespace, "-batch", "-"], _lines(commands))


def _lines(commands: Iterable[str]) -> str:
    return "".join(f"{command}\n" for command in commands)
