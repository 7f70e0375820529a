"""Which BLAS does this rank's float32 products: on a CPU it decides the speed by a factor of 40."""

from __future__ import annotations

import ctypes
import re
import sys
from pathlib import Path


def describe() -> str:
    """`OpenBLAS 0.3.21, 1 thread`, `Accelerate`, or MLX's own reference code."""
    if sys.platform == "darwin":
        return "Accelerate"
    path = _loaded_openblas()
    if path is None:
        return "reference (slow: no OpenBLAS found)"
    library = ctypes.CDLL(path)
    library.openblas_get_config.restype = ctypes.c_char_p
    version = re.search(rb"OpenBLAS\s+([\d.]+)", library.openblas_get_config() or b"")
    threads = library.openblas_get_num_threads()
    name = f"OpenBLAS {version.group(1).decode()}" if version else "OpenBLAS"
    return f"{name}, {threads} thread{'s' if threads != 1 else ''}"


def _loaded_openblas() -> str | None:
    """The path of an OpenBLAS that is mapped into this process with MLX in front of it."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = line.split(maxsplit=5)[-1]
        # NumPy's wheel brings one of its own, with other symbol names, that MLX does not see.
        if re.search(r"/libopenblas[^/]*\.so", path) and "numpy.libs" not in path:
            return path
    return None
