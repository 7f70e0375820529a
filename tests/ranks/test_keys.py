"""The keys of a cluster are nowhere to be seen: in no command line, environment, file, output or error."""

from __future__ import annotations

import contextlib
import logging
import os
import pprint
import signal
import stat
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jupyter_core.paths import jupyter_config_dir, jupyter_data_dir

from kernelkit import KernelkitError, connect
from kernelkit.channel.connection import Keys
from tests.ranks.leftovers import folders
from tests.ranks.target import Target, open_target, remembered_keys

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="processes are looked into through Linux's /proc"
)

LARGE_BYTES = 1 << 26


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    with open_target() as target:
        yield target


def secrets_of(keys: Keys) -> list[bytes]:
    return [value.encode() for value in keys.to_dict().values()]


def files_with(words: list[bytes], since_s: float) -> set[Path]:
    """The files of the places where Jupyter and kernelkit write that changed since then and hold a word."""
    home = [Path(jupyter_config_dir()), Path(jupyter_data_dir()), Path("~/.ipython").expanduser()]
    walks = [os.walk(folder) for folder in {*folders(), *home}]
    paths = [Path(where, name) for walk in walks for where, _, names in walk for name in names]
    return {
        path for path in paths if changed(path, since_s) and any(word in bytes_of(path) for word in words)
    }


def changed(path: Path, since_s: float) -> bool:
    """Whether it is a file that was written to since then, and small enough to be one with keys."""
    with contextlib.suppress(OSError):  # it is gone again
        state = path.stat()
        return stat.S_ISREG(state.st_mode) and state.st_mtime >= since_s - 1 and state.st_size < LARGE_BYTES
    return False


def bytes_of(path: Path) -> bytes:
    """What is in it; nothing where it is gone again."""
    with contextlib.suppress(OSError):
        return path.read_bytes()
    return b""


def test_keys_are_in_no_command_line_environment_or_file(target: Target, tmp_path: Path) -> None:
    words = secrets_of(target.keys)
    control = tmp_path / "control"
    control.write_bytes(b"x" + words[0] + b"x")
    assert files_with(words, target.started_s) == {control}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        assert not any(word in bytes_of(path) for word in words), path
    for pid in (os.getpid(), *target.pids):
        environ = Path(f"/proc/{pid}/environ").read_bytes()
        assert environ
        assert not any(word in environ for word in words)


def test_keys_show_nothing_of_themselves(target: Target) -> None:
    keys = target.keys
    shown = [repr(keys), str(keys), f"{keys}", pprint.pformat(keys), repr([keys]), repr({"keys": keys})]
    assert all(len(word) >= 32 for word in secrets_of(keys))
    assert not any(word.decode() in text for word in secrets_of(keys) for text in shown)
    assert len(set(secrets_of(Keys.new()) + secrets_of(keys))) == 6, "made anew each time"


def test_keys_are_in_no_output_log_or_error(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also not in an error's traceback with the values of all variables, as `%xmode Verbose` shows it."""
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []

    def fails(attempt: Callable[[], object]) -> None:
        with pytest.raises(KernelkitError) as caught:
            attempt()
        shown.extend(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())

    with remembered_keys() as made:
        with connect(2, report=shown.append) as cluster:
            ran = cluster.run(
                "import os; print(dict(os.environ), globals()); os.system('cat /proc/$PPID/cmdline')"
            )
            shown += [ran[rank].stdout for rank in (0, 1)]
            assert "PATH" in shown[-1]
            fails(lambda: cluster.run("1 / 0"))
            fails(lambda: cluster.run(f"os.kill(os.getpid(), {int(signal.SIGKILL)})"))
            shown += [repr(cluster), repr(cluster.status())]
        monkeypatch.setenv("PYTHONHOME", "/nonexistent")  # where no Python starts
        fails(lambda: connect(2, report=shown.append))
    everything = "\n".join([*shown, *capfd.readouterr(), caplog.text])
    assert "killed by SIGKILL" in everything
    assert "Keys()" in everything, "the error of `connect` passed the keys"
    assert len(made) == 2
    assert not any(word.decode() in everything for keys in made for word in secrets_of(keys))
