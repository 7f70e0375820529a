"""The state of a git repository, of real ones."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from kernelkit.experiments import Code
from kernelkit.experiments.checkout import look


def git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, "-C", str(folder), *words], check=True, capture_output=True, timeout=60)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository with one commit."""
    git(tmp_path, "init")
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "b c.py").write_text("y = 1\n" * 20)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    return tmp_path


def test_a_commit_that_is_all_of_the_code(tree: Path) -> None:
    code = look(tree)
    assert len(code.commit) == 40
    assert code == Code(code.commit)
    assert not code.dirty


def test_changes_are_counted_named_and_told_apart(tree: Path) -> None:
    (tree / "a.py").write_text("x = 2\n")
    (tree / "new.py").write_text("")
    one = look(tree)
    assert (one.changed, one.untracked, one.dirty) == (("a.py",), 1, True)
    assert look(tree) == one
    (tree / "a.py").write_text("x = 3\n")
    other = look(tree)
    assert (other.commit, other.changed) == (one.commit, one.changed)
    assert other.diff != one.diff
    git(tree, "mv", "b c.py", "d é.py")
    assert look(tree).changed == ("a.py", "d é.py")
    git(tree, "checkout", "a.py")
    assert look(tree).changed == ("d é.py",)


def test_why_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert look(tmp_path) == Code("", why="none: the folder is in no git repository")
    git(tmp_path, "init")
    assert look(tmp_path) == Code("", why="none: the git repository has no commit")
    (tmp_path / ".git" / "config").write_text("[broken")
    assert look(tmp_path).why.startswith("not known: fatal: bad config line")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert look(tmp_path) == Code("", why="not known: git is not installed")
