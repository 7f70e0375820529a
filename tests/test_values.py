"""Values as JSON plus buffers: what goes in comes out, and what cannot go in is refused by name."""

import enum
import json
import math
from collections import OrderedDict, namedtuple
from typing import Any

import ml_dtypes
import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kernelkit.errors import TransferError
from kernelkit.values import decode, encode, is_mlx_array, mlx_to_numpy, numpy_to_mlx

BF16 = ml_dtypes.bfloat16


def trip(value: Any, to_mlx: Any = None) -> Any:
    """To the other side and back into Python: through real JSON text and foreign buffers."""
    tree, buffers = encode(value)
    return decode(json.loads(json.dumps(tree)), [memoryview(bytes(b)) for b in buffers], to_mlx)


_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.complex_numbers()
    | st.text(st.characters())  # lone surrogates as well
    | st.binary()
)
_KEYS = (
    st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.tuples(st.integers(), st.text())
)
_TREES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(_KEYS, inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(deadline=None)
@given(_TREES)
def test_json_like_trees_come_back_alike(value: Any) -> None:
    # `repr` tells apart what `==` does not: 1 from True, -0.0 from 0.0, list from tuple; nan is nan.
    assert repr(trip(value)) == repr(value)


@settings(deadline=None)
@given(
    hnp.arrays(
        dtype=hnp.scalar_dtypes() | st.just(np.dtype("<U3")) | st.just(np.dtype("S2")),
        shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    )
)
def test_numpy_arrays_come_back_bit_by_bit(array: Any) -> None:
    back = trip(array)
    assert isinstance(back, np.ndarray)
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.tobytes() == array.tobytes()


@settings(deadline=None)
@given(
    hnp.arrays(np.uint16, hnp.array_shapes(min_dims=0, min_side=0, max_side=4)),
)
def test_bfloat16_arrays_come_back_bit_by_bit(bits: Any) -> None:
    array = bits.view(BF16)
    back = trip(array)
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3).T,
        np.arange(24).reshape(2, 3, 4)[:, ::-2, 1:],
        np.arange(6.0).reshape(2, 3).astype(BF16).T,
        np.broadcast_to(np.float32(7), (2, 2)),
        np.asfortranarray(np.eye(3)),
        np.arange(3, dtype=">i4"),
    ],
    ids=["transposed", "strided", "transposed bfloat16", "broadcast", "fortran", "big endian"],
)
def test_views_carry_what_they_show_not_what_they_lie_on(array: Any) -> None:
    back = trip(array)
    np.testing.assert_array_equal(back, array)
    assert back.dtype == array.dtype


def test_an_array_that_arrived_can_be_written_to() -> None:
    back = trip(np.zeros(3))
    back[0] = 1
    assert back.tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    "scalar", [np.float32(1.5), np.int8(-3), np.bool_(True), np.datetime64("2024-02-29"), BF16(2.5)]
)
def test_numpy_scalars_stay_scalars_of_their_dtype(scalar: Any) -> None:
    back = trip(scalar)
    assert type(back) is type(scalar)
    assert back == scalar


@pytest.mark.parametrize(
    "dtype",
    [
        "bool_",
        "uint8",
        "int8",
        "uint16",
        "int32",
        "uint64",
        "int64",
        "float16",
        "float32",
        "bfloat16",
        "complex64",
    ],
)
@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (2, 3)], ids=str)
def test_mlx_arrays_come_back_as_mlx_on_a_rank(dtype: str, shape: tuple[int, ...]) -> None:
    array = mx.ones(shape).astype(getattr(mx, dtype))
    back = trip(array, numpy_to_mlx)
    assert is_mlx_array(back)
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert mx.array_equal(back, array).item()


def test_mlx_float64_keeps_its_dtype() -> None:
    with mx.stream(mx.cpu):
        back = trip(mx.array([1.0, 2**-40], dtype=mx.float64), numpy_to_mlx)
    assert back.dtype == mx.float64


def test_mlx_arrays_arrive_as_numpy_where_mlx_is_not_wanted() -> None:
    back = trip({"w": mx.array([[1.5, -2.0]], dtype=mx.bfloat16)})["w"]
    assert isinstance(back, np.ndarray)
    assert back.dtype == BF16
    assert back.astype(np.float32).tolist() == [[1.5, -2.0]]


def test_mlx_views_carry_what_they_show() -> None:
    array = mx.arange(6).reshape(2, 3).astype(mx.bfloat16).T
    assert trip(array).astype(int).tolist() == [[0, 3], [1, 4], [2, 5]]
    assert mlx_to_numpy(mx.arange(6)[::2]).tolist() == [0, 2, 4]


def test_numpy_arrays_stay_numpy_on_a_rank() -> None:
    assert isinstance(trip(np.zeros(2), numpy_to_mlx), np.ndarray)


@pytest.mark.parametrize("value", [2**63, -(2**200), 10**4000])
def test_big_integers_keep_every_digit(value: int) -> None:
    assert trip(value) == value


def test_an_integer_beyond_pythons_limit_of_digits_is_carried_or_refused_by_us() -> None:
    try:
        back = trip(10**5000)
    except TransferError:
        return
    assert back == 10**5000


def test_nan_and_infinity() -> None:
    nan, inf = trip([math.nan, -math.inf])
    assert math.isnan(nan)
    assert inf == -math.inf


def test_keys_may_be_integers_none_and_tuples() -> None:
    value = {1: "a", "1": "b", None: "c", (0, "x"): "d", True and 2.5: "e"}
    assert trip(value) == value


def test_a_users_list_is_never_taken_for_one_of_our_tags() -> None:
    value = ["list", ["bytes", 0], ["array", 0, "numpy", "<f8", [1]], ["dict", []]]
    assert trip(value) == value


class Level(enum.IntEnum):
    HIGH = 3


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "plain"),
    [(Level.HIGH, 3), (Point(1, 2), (1, 2)), (OrderedDict(a=1), {"a": 1}), (bytearray(b"x"), b"x")],
)
def test_kin_of_the_carried_kinds_arrive_as_the_plain_kind(value: Any, plain: Any) -> None:
    back = trip(value)
    assert back == plain
    assert type(back) is type(plain)


@pytest.mark.parametrize(
    ("value", "path", "kind"),
    [
        (object(), "value ", "builtins.object"),
        ([1, {2}], "value[1] ", "builtins.set"),
        ({"a": (0, lambda: 0)}, "value['a'][1] ", "builtins.function"),
        ({frozenset(): 1}, "value[frozenset()] ", "builtins.frozenset"),
    ],
)
def test_what_cannot_be_carried_is_named_with_its_place_and_kind(value: Any, path: str, kind: str) -> None:
    with pytest.raises(TransferError) as caught:
        encode(value)
    assert path in caught.value.what
    assert kind in caught.value.got
    assert caught.value.cure


@pytest.mark.parametrize(
    "array",
    [
        np.array([object()]),
        np.zeros(2, [("a", "i4")]),
        np.ones(2, ml_dtypes.float8_e4m3fn),
        np.void(b"abc"),
    ],
    ids=["object", "structured", "float8", "void"],
)
def test_dtypes_without_plain_bytes_are_refused_with_their_place(array: Any) -> None:
    with pytest.raises(TransferError, match=r"value\['w'\]\[0\] has dtype"):
        encode({"w": [array]})


def test_a_masked_array_does_not_lose_its_mask_in_silence() -> None:
    masked = np.ma.MaskedArray([1, 2], mask=[False, True])
    try:
        back = trip(masked)
    except TransferError:
        return
    assert isinstance(back, np.ma.MaskedArray)


def test_what_holds_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append({"again": loop})
    with pytest.raises(TransferError, match="holds itself"):
        encode(loop)


def test_depth_is_allowed_up_to_the_limit() -> None:
    value: Any = 1
    for _ in range(100):
        value = [value]
    assert trip(value) == value
    with pytest.raises(TransferError, match="nested deeper"):
        encode([value])


def test_the_error_uses_the_name_it_was_given() -> None:
    with pytest.raises(TransferError, match=r"^weights\['a'\]"):
        encode({"a": object()}, "weights")


def test_many_arrays_keep_their_order() -> None:
    value = {"a": [np.full(2, i) for i in range(5)], "b": b"raw", "c": np.float32(0.5)}
    back = trip(value)
    assert [int(a[0]) for a in back["a"]] == [0, 1, 2, 3, 4]
    assert back["b"] == b"raw"
    assert back["c"] == np.float32(0.5)


def test_no_numbers_lie_in_the_tree() -> None:
    """A large array must not swell the JSON: it travels as one buffer of its own size."""
    tree, buffers = encode(np.zeros((1000, 1000), np.float32))
    assert len(json.dumps(tree)) < 100
    assert [len(buffer) for buffer in buffers] == [4_000_000]
