"""Find an OpenBLAS to preload on Linux CPUs, where MLX's own float32 product is 40 times slower."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

# Conda's own, then Debian's and Fedora's places; the pthread build by its plain name first.
_PATTERNS = (
    f"{sys.prefix}/lib/libopenblas.so.0",
    "/usr/lib/*-linux-gnu/libopenblas.so.0",
    "/usr/lib64/libopenblasp.so.0",
    "/usr/lib64/libopenblas.so.0",
    "/usr/lib/libopenblas.so.0",
    "/usr/local/lib/libopenblas.so.0",
)


def find_openblas() -> str | None:
    """The path of an OpenBLAS, or None where none is found or none is wanted (a Mac, a GPU)."""
    if sys.platform != "linux" or _has_cuda_mlx():
        return None
    for pattern in _PATTERNS:
        root, rest = Path(pattern).anchor, pattern.lstrip("/")
        for path in sorted(Path(root).glob(rest)):
            return str(path)
    return None


def _has_cuda_mlx() -> bool:
    """Whether the MLX of this environment computes on an NVIDIA GPU."""
    for name in ("mlx-cuda-12", "mlx-cuda-13"):
        try:
            metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        return True
    return False
