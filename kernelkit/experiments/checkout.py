"""Which commit the code is at, and whether the commit is all of it: asked of git, in the current folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from kernelkit.experiments.parts import Code

_TIMEOUT_S = 20.0
# As porcelain prints paths, one to an entry: none is quoted, and a renamed one brings its old name along.
_STATUS = ("status", "--porcelain=v1", "-z", "--untracked-files=normal")
_DIFF = ("diff", "HEAD", "--binary", "--no-ext-diff", "--no-textconv", "--no-color")


def look(folder: Path | None = None) -> Code:
    """The state of the repository around a folder, by default the current one; or why there is none."""
    git, where = shutil.which("git"), folder or Path.cwd()
    if git is None:
        return Code("", why="not known: git is not installed")
    try:
        inside = _ask(git, where, "rev-parse", "--is-inside-work-tree")
        if inside.returncode != 0:
            refusal = inside.stderr.decode(errors="replace").strip()
            lacking = "not a git repository" in refusal
            why = "none: the folder is in no git repository" if lacking else f"not known: {refusal:.200}"
            return Code("", why=why)
        commit = _ask(git, where, "rev-parse", "--verify", "HEAD")
        if commit.returncode != 0:
            return Code("", why="none: the git repository has no commit")
        entries, difference = _ask(git, where, *_STATUS), _ask(git, where, *_DIFF)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Code("", why=f"not known: git did not answer ({error})")
    if entries.returncode or difference.returncode:
        return Code("", why="not known: git could not read the working tree")
    changed, untracked = _paths(entries.stdout.decode(errors="replace"))
    digest = hashlib.sha256(difference.stdout).hexdigest() if changed else ""
    return Code(commit.stdout.decode().strip(), changed=changed, untracked=untracked, diff=digest)


def _ask(git: str, folder: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    """What git says, in English. Nothing is locked, so that a `git` of the user's can run."""
    command = [git, "--no-optional-locks", "-C", str(folder), *words]
    return subprocess.run(
        command,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "LC_ALL": "C"},
        timeout=_TIMEOUT_S,
        check=False,
    )


def _paths(entries: str) -> tuple[tuple[str, ...], int]:
    """Changed files, and the number of untracked ones."""
    changed, untracked = [], 0
    left = iter(entries.split("\0"))
    for entry in left:
        state, path = entry[:2], entry[3:]
        if state == "??":
            untracked += 1
        elif path:
            changed.append(path)
            if set(state) & set("RC"):
                next(left, None)
    return tuple(sorted(changed)), untracked
