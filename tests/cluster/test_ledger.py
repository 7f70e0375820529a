"""What the ranks' ledgers say of calls that are alike, and of those that differ in one thing."""

from __future__ import annotations

from kernelkit import Cluster

_FUNCTION = "def summed(x):\n    return mx.distributed.all_sum(x)\n"
_TOLD = """
from kernelkit.rank import ledger, traffic
told = [[call[key] for key in ("dtype", "shape", "file", "line")] for call in ledger.ledger()]
sent_bytes = dict(traffic.op_bytes)
"""


def test_calls_that_differ_in_dtype_or_shape_are_kept_apart(cluster: Cluster) -> None:
    kinds = "for kind in (mx.float32, mx.float16, mx.bfloat16, mx.float32):\n    summed(mx.ones(2, kind))\n"
    cluster.run(f"{_FUNCTION}{kinds}summed(mx.ones(3))\nsummed(1.0){_TOLD}")
    for rank in range(2):
        assert cluster["told"][rank] == [
            *(["float32", [2], "", 2], ["float16", [2], "", 2], ["bfloat16", [2], "", 2]),
            *(["float32", [2], "", 2], ["float32", [3], "", 2], ["float32", [], "", 2]),
        ]
        assert cluster["sent_bytes"][rank] == {"all_sum": 8 + 4 + 4 + 8 + 12 + 4}


def test_equal_functions_of_two_cells_are_two_places(cluster: Cluster) -> None:
    cluster.run(f"{_FUNCTION}earlier = summed", cell=7)
    cluster.run(f"{_FUNCTION}earlier(mx.ones(2))\nsummed(mx.ones(2)){_TOLD}", cell=8)
    assert cluster["told"][0] == [["float32", [2], "In[7]", 2], ["float32", [2], "", 2]]


def test_what_a_long_cell_sent_is_counted_beyond_what_is_kept(cluster: Cluster) -> None:
    many = 10_050
    looped = f"for _ in range({many}):\n    summed(mx.ones(1))\nsummary = ledger.summary()"
    cluster.run(f"from kernelkit.rank import ledger\n{_FUNCTION}{looped}{_TOLD}")
    assert cluster["summary"][0] == cluster["summary"][1]
    assert cluster["summary"][0]["calls"] == many
    assert len(cluster["told"][0]) == 10_000
    assert cluster["sent_bytes"][0] == {"all_sum": 4 * many}
