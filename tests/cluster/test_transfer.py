"""Values between notebook and ranks: arrays keep dtype and shape, and what cannot go is named."""

import threading
from collections.abc import Callable
from typing import Any

import ml_dtypes
import mlx.core as mx
import numpy as np
import pytest

from kernelkit import Cluster
from kernelkit.errors import ArgumentError, ClusterBusyError, RankError, TransferError

BF16 = ml_dtypes.bfloat16


def values(result: Any) -> list[str | None]:
    return [result[rank].value_repr for rank in result]


def both(value: Any) -> dict[int, Any]:
    return {0: value, 1: value}


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        2**100,
        1.5,
        2 - 3j,
        "text with 'quotes' and \N{SNOWMAN} and \ud800",
        b"\x00\xff",
        [1, [2, (3, None)]],
        {"a": {1: None, None: "x", (1, 2): []}},
        [],
        {},
    ],
    ids=repr,
)
def test_json_like_values_go_there_and_back(cluster: Cluster, value: Any) -> None:
    cluster.push(there=value)
    back = cluster["there"]
    assert {rank: repr(item) for rank, item in back.items()} == both(repr(value))


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.int16).reshape(2, 3),
        np.arange(6.0).reshape(2, 3).T,
        np.zeros((0, 4), np.float32),
        np.array(2.5),
        np.arange(4).astype(BF16),
        np.array(["a", "bc"]),
        np.array([1 + 2j]),
    ],
    ids=["int16", "transposed", "empty", "0-d", "bfloat16", "strings", "complex"],
)
def test_numpy_arrays_are_numpy_on_the_ranks_and_back(cluster: Cluster, array: Any) -> None:
    cluster.push(there=array)
    assert values(cluster.run("type(there).__name__")) == ["'ndarray'"] * 2
    for back in cluster["there"].values():
        assert (back.dtype, back.shape) == (array.dtype, array.shape)
        assert back.tobytes() == array.tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8", "uint32", "bool_"])
def test_mlx_arrays_are_mlx_on_the_ranks_and_numpy_here(cluster: Cluster, dtype: str) -> None:
    array = mx.array([[0, 1, 2], [3, 4, 5]]).astype(getattr(mx, dtype)).T
    cluster.push(there=array)
    cluster.run("assert isinstance(there, mx.array)")
    assert values(cluster.run(f"there.dtype == mx.{dtype}, there.shape")) == ["(True, (3, 2))"] * 2
    for back in cluster["there"].values():
        assert isinstance(back, np.ndarray)
        assert back.dtype == (BF16 if dtype == "bfloat16" else np.dtype(dtype.rstrip("_")))
        np.testing.assert_array_equal(back.astype(np.float32), np.array(array.astype(mx.float32)))


def test_arrays_of_the_ranks_arrive_each_with_its_own_numbers(cluster: Cluster) -> None:
    cluster.run("w = mx.full((2, 3), rank + 0.5, dtype=mx.bfloat16)")
    back = cluster["w"]
    assert {rank: w.dtype for rank, w in back.items()} == both(BF16)
    assert {rank: w.astype(float).tolist() for rank, w in back.items()} == {
        0: [[0.5] * 3] * 2,
        1: [[1.5] * 3] * 2,
    }


def test_arrays_inside_of_containers(cluster: Cluster) -> None:
    cluster.run("state = {'w': [mx.arange(2) + rank, b'raw'], 'n': rank}")
    back = cluster["state"]
    assert [back[1]["w"][0].tolist(), back[1]["w"][1], back[1]["n"]] == [[1, 2], b"raw", 1]


def test_an_array_that_arrived_can_be_written_to_on_both_sides(cluster: Cluster) -> None:
    cluster.push(there=np.zeros(2))
    cluster.run("there[0] = rank + 1")
    back = cluster["there"]
    back[0][1] = 7
    assert {rank: a.tolist() for rank, a in back.items()} == {0: [1, 7], 1: [2, 0]}


def test_forty_megabytes_both_ways(cluster: Cluster) -> None:
    array = np.arange(10_000_000, dtype=np.float32)
    cluster.push(there=array)
    back = cluster["there"]
    assert all(np.array_equal(item, array) for item in back.values())
    cluster.run("del there")


def test_several_names_at_once_and_by_item(cluster: Cluster) -> None:
    cluster.push({"one": 1}, two=2)
    cluster["three"] = 3
    assert values(cluster.run("one, two, three")) == ["(1, 2, 3)"] * 2


def test_push_to_some_ranks(cluster: Cluster) -> None:
    cluster.push(where="both")
    cluster.push(where="one", ranks=[1])
    assert cluster["where"] == {0: "both", 1: "one"}


@pytest.mark.parametrize("name", ["rank", "group", "mx", "ｒank", "ﬁ", "__builtins__", "no name"])
def test_what_ranks_have_from_the_start_and_what_is_no_name_is_refused(cluster: Cluster, name: str) -> None:
    with pytest.raises(ArgumentError, match=r"from the start|a Python name|as another|Python's own"):
        cluster.push({name: 7, "also": 8})
    with pytest.raises(ArgumentError, match="by name"):
        cluster.push(["also"])  # type: ignore[arg-type]
    assert values(cluster.run("rank, 'also' in globals()")) == ["(0, False)", "(1, False)"]


def test_a_name_that_a_rank_lacks_is_named_with_the_rank(cluster: Cluster) -> None:
    cluster.run("half = 1", ranks=[0])
    with pytest.raises(TransferError) as caught:
        _ = cluster["half"]
    assert caught.value.what == "rank 1 has no variable 'half'"
    assert caught.value.cure
    assert cluster.state == "idle"
    assert cluster.run("1")[0].value_repr == "1"


def test_what_a_rank_cannot_send_is_named_with_its_place(cluster: Cluster) -> None:
    cluster.run("deep = {'a': [0, object()]}")
    with pytest.raises(TransferError) as caught:
        _ = cluster["deep"]
    assert "deep['a'][1]" in caught.value.what
    assert caught.value.got == "builtins.object"
    assert cluster.state == "idle"


def test_what_the_notebook_cannot_send_is_refused_before_anything_is_bound(cluster: Cluster) -> None:
    with pytest.raises(TransferError) as caught:
        cluster.push(fine=1, broken=[lambda: 0])
    assert "['broken'][0]" in caught.value.what
    assert "function" in caught.value.got
    with pytest.raises(TransferError):
        _ = cluster["fine"]


@pytest.mark.parametrize("name", ["", "a b", "1a", "a.b", 5, None], ids=repr)
def test_a_variable_needs_a_name(cluster: Cluster, name: Any) -> None:
    with pytest.raises(ArgumentError):
        cluster.push({name: 1})


def test_a_variable_cannot_be_called_by_a_keyword(cluster: Cluster) -> None:
    with pytest.raises(ArgumentError):
        cluster.push({"for": 1})


def test_an_integer_beyond_pythons_limit_of_digits_is_refused_or_carried(cluster: Cluster) -> None:
    try:
        cluster.push(huge=10**5000)
    except TransferError:
        return
    assert cluster["huge"] == both(10**5000)


def test_nothing_is_sent_while_a_cell_runs(
    cluster: Cluster, eventually: Callable[..., bool], doing: Callable[[Cluster], list[str]]
) -> None:
    ended: list[BaseException] = []

    def sleep() -> None:
        try:
            cluster.run("import time\ntime.sleep(600)")
        except BaseException as error:  # noqa: BLE001 - whatever ends it is looked at below
            ended.append(error)

    thread = threading.Thread(target=sleep)
    thread.start()
    try:
        assert eventually(lambda: doing(cluster) == ["line 2: time.sleep(600)"] * 2)
        with pytest.raises(ClusterBusyError):
            cluster.push(x=1)
        with pytest.raises(ClusterBusyError):
            _ = cluster["x"]
    finally:
        cluster.interrupt()
        thread.join()
    assert len(ended) == 1


def test_no_pickle_is_read(cluster: Cluster) -> None:
    """A class that would run code when it is unpickled never leaves its process."""
    cluster.run("class Trap:\n    def __reduce__(self): return (print, ('boo',))\ntrap = Trap()")
    with pytest.raises((TransferError, RankError)) as caught:
        _ = cluster["trap"]
    assert "Trap" in str(caught.value)
