"""Small files of a laboratory: scripts that can be run, and key pairs."""

from __future__ import annotations

from pathlib import Path

from tests.hosts.lab.tools import run


def script(path: Path, body: str) -> Path:
    """Write a shell script that can be run."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def key_pair(path: Path) -> str:
    """Make a key pair without a passphrase, in place of what is there; the public half, as one line."""
    path.unlink(missing_ok=True)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "kklab", "-f", str(path)])
    return path.with_suffix(".pub").read_text().strip()
