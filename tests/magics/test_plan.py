"""`%plan`: the catalog's machines, and the cluster that is connected."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelkit import errors
from kernelkit.perf import Plan
from tests.magics.conftest import Notebook
from tests.rank import tiny


def test_a_plan_on_machines_needs_no_cluster(bare: Notebook, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    shown = bare.run(f"%plan llama-3.1-8b --on 2xm3-ultra-96 --link 10gbe --context 2048 --save {file}").value
    assert (shown.nodes, shown.link, shown.context, shown.fits) == (2, "10gbe", 2048, True)
    assert Plan.load(file) == shown


def test_a_plan_of_the_teaching_model_on_machines_with_blanks_between_them(bare: Notebook) -> None:
    shown = bare.run("%plan austen --on m4-16, 2xm4-24 ,m4-32 --link tb4 --context 1k").value
    assert (shown.model, shown.on, shown.context) == ("austen", "m4-16, 2xm4-24, m4-32", 1000)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("%plan", "needs machines"),
        ("%plan llama-3.1-8b", "needs machines"),
        ("%plan --on m3-ultra-96", "needs a model"),
        ("%plan llama-3.1-8b --on m9-max-64", "m9-max"),
        ("%plan llama-9 --on m3-ultra-96", "llama-9"),
        ("%plan austen --on m4-16 --context 100q", "such as 4096 or 100k"),
        ("%plan austen --on m4-16 --backend foo", "ring or jaccl"),
    ],
)
def test_what_is_missing_is_said(bare: Notebook, line: str, words: str) -> None:
    bare.run("%cluster stop")
    error = bare.run(line).error
    assert isinstance(error, errors.KernelkitError)
    assert words in str(error)


def test_what_is_predicted_for_this_cluster_stands_beside_what_came(
    notebook: Notebook, tmp_path: Path
) -> None:
    folder = tiny.build(tmp_path / "model")
    notebook.run("%cluster restart")
    notebook.run("cluster.calibration = None")
    assert "%cluster calibrate" in str(notebook.run(f"%plan {folder}").error)
    notebook.run("%cluster calibrate")
    notebook.run(f"%model load {folder}")
    planned = notebook.run("%plan --context 512").value
    assert (planned.context, planned.nodes, planned.link) == (512, 2, "measured")
    assert (
        notebook.run("%plan austen --context 512").value.quantization == "float32"
    )  # as ranks on a CPU load it
    packed = notebook.run(
        "cluster.plan('austen', quantization={'bits': 8, 'group_size': 64}, context=512)"
    ).value
    assert packed.shards.size_bytes(0) == packed.weight_bytes[0] < 7e6
    assert any("readings lie above the low" in reason for reason in packed.reasons)
    assert "has what it has" in str(notebook.run(f"%plan {folder} --link tb5").error)
    shown = notebook.run("%model generate hello --max-tokens 12")
    assert "measured / predicted" in shown.displayed
