"""Make a rank's part of a parameter from no more of the files than it needs.

`origins` tells by which operations MLX would make it from whole tensors. Here the same operations run on
less: each is asked for a box of its result, asks its inputs for the boxes which that comes from, and at the
end a box of a tensor is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import mlx.core as mx

from kernelkit.rank.boxes import before_reshape, full, reshaped, shifted, take, widths
from kernelkit.rank.origins import Made, Origins
from kernelkit.rank.stored import Box, Stored

# Each number of the result comes from those at the same place.
_ELEMENTWISE: dict[str, Callable[..., mx.array]] = {
    "Add": mx.add,
    "Subtract": mx.subtract,
    "Multiply": mx.multiply,
    "Divide": mx.divide,
    "Full": lambda array: array,
    "StopGradient": lambda array: array,
    "Copy": lambda array: array,
}
# By MLX's number of it.
_BITWISE: tuple[Callable[..., mx.array], ...] = (
    mx.bitwise_and,
    mx.bitwise_or,
    mx.bitwise_xor,
    mx.left_shift,
    mx.right_shift,
)
_RESHAPING = ("Reshape", "Flatten", "Unflatten", "ExpandDims", "Squeeze")


class Recipes:
    """How to read each parameter of a rank.

    Args:
        origins: of the parameters.
        stored: the tensors that they come from, by name.

    Attributes:
        read_bytes: so many were read of the files until now.
    """

    def __init__(self, origins: Origins, stored: Mapping[str, Stored]) -> None:
        self._origins = origins
        self._stored = stored
        self._shapes = origins.shapes
        self._able: dict[str, bool] = {}
        # For operations of one parameter that share an input.
        self._found: dict[tuple[str, Box], mx.array] = {}
        # For weights, scales and biases of a module, which are asked for one after the other.
        self._quantized: dict[tuple[str, Box], list[mx.array]] = {}
        self.read_bytes = 0

    def get(self, path: str) -> mx.array | None:
        """The parameter's numbers, read from the files; None where MLX must make it of whole tensors."""
        name = self._origins.outputs.get(path)
        if name is None or not self._can(name):
            return None
        if path.endswith("weight"):
            self.forget()
        part = mx.contiguous(self._box(name, full(self._shapes[name])))
        self._found = {}
        return part

    def forget(self) -> None:
        """Let go of what is kept for the next parameter."""
        self._found, self._quantized = {}, {}

    def whole_bytes(self, paths: Sequence[str]) -> int:
        """Bytes of the tensors that parameters come from; of all, if it is not known of one."""
        names = [self._origins.outputs.get(path) for path in paths]
        seen: set[str | None] = set()
        while names:
            name = names.pop()
            if name is None:
                return sum(tensor.size_bytes for tensor in self._stored.values())
            if name not in seen:
                seen.add(name)
                names += self._origins.made[name].inputs if name in self._origins.made else ()
        return sum(
            self._stored[self._origins.tensors[n]].size_bytes for n in self._origins.tensors.keys() & seen
        )

    def _can(self, name: str) -> bool:
        """Whether all operations on the way to an array are known here."""
        if name not in self._able:
            made = self._origins.made.get(name)
            self._able[name] = made is None or (
                0 not in made.shape and _is_known(made) and all(self._can(each) for each in made.inputs)
            )
        return self._able[name]

    def _box(self, name: str, box: Box) -> mx.array:
        """What is in a box of an array of the graph."""
        key = (name, box)
        if key not in self._found:
            self._found[key] = self._make(name, box)
        return self._found[key]

    def _make(self, name: str, box: Box) -> mx.array:
        if name in self._origins.constants:
            return take(self._origins.constants[name], box)
        if name in self._origins.tensors:
            part = self._stored[self._origins.tensors[name]].read(box)
            self.read_bytes += part.nbytes
            return part
        made = self._origins.made[name]
        if made.operation in _ELEMENTWISE:
            return _ELEMENTWISE[made.operation](*(self._box(each, box) for each in made.inputs))
        if made.operation in _RESHAPING:
            before = self._shapes[made.inputs[0]]
            inner = self._box(made.inputs[0], before_reshape(before, made.shape, box))
            return reshaped(inner, before, made.shape, box)
        special: Callable[[Made, Box], mx.array] = getattr(self, f"_{made.operation.lower()}")
        return special(made, box)

    def _bitwisebinary(self, made: Made, box: Box) -> mx.array:
        operation: Callable[..., mx.array] = _BITWISE[made.arguments[0]]
        return operation(*(self._box(each, box) for each in made.inputs))

    def _astype(self, made: Made, box: Box) -> mx.array:
        return self._box(made.inputs[0], box).astype(made.dtype)

    def _slice(self, made: Made, box: Box) -> mx.array:
        return self._box(made.inputs[0], shifted(box, made.arguments[0]))

    def _split(self, made: Made, box: Box) -> mx.array:
        indices, axis = made.arguments
        by = [0] * len(box)
        by[axis] = (0, *indices)[made.index]
        return self._box(made.inputs[0], shifted(box, by))

    def _transpose(self, made: Made, box: Box) -> mx.array:
        axes = made.arguments[0]
        inner = [side for _, side in sorted(zip(axes, box, strict=True))]
        return mx.transpose(self._box(made.inputs[0], tuple(inner)), axes)

    def _broadcast(self, made: Made, box: Box) -> mx.array:
        before = self._shapes[made.inputs[0]]
        sides = box[len(box) - len(before) :]
        inner = tuple((0, 1) if size == 1 else side for size, side in zip(before, sides, strict=True))
        return mx.broadcast_to(self._box(made.inputs[0], inner), widths(box))

    def _pad(self, made: Made, box: Box) -> mx.array:
        axes, low, _ = made.arguments
        before = self._shapes[made.inputs[0]]
        by = [0] * len(box)
        for axis, more in zip(axes, low, strict=True):
            by[axis] = -more
        wanted = shifted(box, by)
        inner = tuple(
            (max(start, 0), min(end, size)) for (start, end), size in zip(wanted, before, strict=True)
        )
        value = self._box(made.inputs[1], ())
        if any(start >= end for start, end in inner):
            return mx.full(widths(box), value, made.dtype)
        around = [(a - start, end - b) for (start, end), (a, b) in zip(wanted, inner, strict=True)]
        part = self._box(made.inputs[0], inner)
        return mx.pad(part, around, constant_values=value) if any(map(any, around)) else part

    def _concatenate(self, made: Made, box: Box) -> mx.array:
        axis = made.arguments[0]
        parts, first = [], 0
        for name in made.inputs:
            size = self._shapes[name][axis]
            start, end = max(box[axis][0] - first, 0), min(box[axis][1] - first, size)
            if start < end:
                parts.append(self._box(name, (*box[:axis], (start, end), *box[axis + 1 :])))
            first += size
        return mx.concatenate(parts, axis=axis) if len(parts) > 1 else parts[0]

    def _quantize(self, made: Made, box: Box) -> mx.array:
        """Whole groups are quantized: each has a scale, and so many columns of packed weights."""
        group_size, bits, *_ = made.arguments
        packed = group_size * bits // 32 if made.index == 0 else 1
        first, end = box[-1][0] // packed, -(-box[-1][1] // packed)
        inner = (*box[:-1], (first * group_size, end * group_size))
        key = (made.inputs[0], inner)
        if key not in self._quantized:
            part = self._box(made.inputs[0], inner)
            self._quantized[key] = list(mx.quantize(part, group_size=group_size, bits=bits))
        start = first * packed
        here = (*full(widths(box[:-1])), (box[-1][0] - start, box[-1][1] - start))
        return take(self._quantized[key][made.index], here)


def _is_known(made: Made) -> bool:
    """Whether it runs on boxes here, with these arguments."""
    match made.operation:
        case "Slice":
            return all(stride == 1 for stride in made.arguments[2])
        case "BitwiseBinary":
            return made.arguments[0] in range(len(_BITWISE))
        case "Quantize":  # affine, and not the other way
            group_size, bits, mode, dequantizes = made.arguments
            whole_words = group_size * bits % 32 == 0
            return whole_words and mode == 0 and not dequantizes and len(made.inputs) == 1
        case "AsType" | "Split" | "Transpose" | "Broadcast" | "Pad" | "Concatenate":
            return True
        case operation:
            return operation in _ELEMENTWISE or operation in _RESHAPING
