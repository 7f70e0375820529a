"""What a run changes of this process: folders of its own, and a Ctrl-C that is one.

So whatever else writes on this machine is not taken for a leftover.
"""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.ranks.notebook import private_environment


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for models, and meanwhile folders below it for all that this process and its ranks write."""
    before = dict(os.environ)
    # A shell starts what runs in the background deaf to it.
    interrupt_before = signal.signal(signal.SIGINT, signal.default_int_handler)
    kernels = Path(tempfile.gettempdir()) / "mlx"
    kernels.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="kernelkit-faults-", ignore_cleanup_errors=True) as name:
        own = private_environment(Path(name))
        os.environ.clear()
        os.environ.update(own)
        tempfile.tempdir = None
        # MLX keeps the kernels that it compiles, for every program after: that is no leftover of a cluster.
        (Path(tempfile.gettempdir()) / "mlx").symlink_to(kernels, target_is_directory=True)
        try:
            yield Path(name)
        finally:
            os.environ.clear()
            os.environ.update(before)
            tempfile.tempdir = None
            signal.signal(signal.SIGINT, interrupt_before)
