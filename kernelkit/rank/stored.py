"""Read a part of a tensor from a safetensors file, and nothing of what lies around it.

MLX reads a tensor whole before it can be cut. Here the file is mapped into memory, and only the pages that
hold the part are touched.
"""

from __future__ import annotations

import json
import mmap
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from kernelkit.rank.headers import complete_view

# Start and end along each axis.
Box = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Stored:
    """A tensor in a file.

    Attributes:
        file: a safetensors file.
        offset: of its first byte in the file.
        shape, dtype: as MLX loads it; MLX has some types of the format, such as 8-bit floats, as integers.
    """

    file: Path
    offset: int
    shape: tuple[int, ...]
    dtype: mx.Dtype

    @property
    def size_bytes(self) -> int:
        return prod(self.shape) * self.dtype.size

    def read(self, box: Box) -> mx.array:
        """The numbers in `box`, copied: the mapping is given up at the end."""
        wanted = tuple(slice(*side) for side in box)
        if not self.size_bytes:
            return mx.zeros(self.shape, self.dtype)[wanted]
        start = self.offset - self.offset % mmap.ALLOCATIONGRANULARITY
        before = self.offset - start
        with self.file.open("rb") as file:
            pages = mmap.mmap(file.fileno(), before + self.size_bytes, access=mmap.ACCESS_READ, offset=start)
        # numpy lacks bfloat16; what the bits mean is said to MLX.
        unsigned = np.dtype(f"u{self.dtype.size}")
        whole = np.frombuffer(pages, unsigned, prod(self.shape), before).reshape(self.shape)
        return mx.array(np.require(whole[wanted], requirements=["C", "ALIGNED"])).view(self.dtype)


def stored(folder: Path) -> dict[str, Stored]:
    """By name the tensors of all weight files of a model, those that are known by their headers too."""
    found = {}
    with complete_view(folder) as view:
        for path in view.glob("model*.safetensors"):
            with path.open("rb") as file:
                (header_bytes,) = struct.unpack("<Q", file.read(8))
                header = json.loads(file.read(header_bytes))
            loaded: Any = mx.load(str(path))  # lazily; a dict
            for tensor, value in loaded.items():
                offset = 8 + header_bytes + header[tensor]["data_offsets"][0]
                found[tensor] = Stored(folder / path.name, offset, tuple(value.shape), value.dtype)
    return found
