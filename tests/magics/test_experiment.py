"""`%experiment`: over several cells, with the notebook's variables as parameters, and by papermill."""

from __future__ import annotations

from pathlib import Path

import nbformat
import papermill
import pytest

from kernelkit import errors
from kernelkit.experiments import Comparison, Experiment
from kernelkit.magics.experiment_lines import EXPERIMENT
from tests.experiments import samples
from tests.magics.conftest import Notebook


@pytest.fixture(autouse=True)
def no_run(bare: Notebook) -> None:
    bare.run("%cluster stop")
    bare.shell.user_ns.pop("run", None)


def test_an_experiment_over_several_cells(bare: Notebook, tmp_path: Path) -> None:
    bare.run("prompt, max_tokens = 'It is', 3")
    begun = bare.run("%experiment begin greedy prompt max_tokens")
    said = "greedy has begun: prompt = 'It is', max_tokens = 3; run.record(NAME, RESULT, unit=UNIT)"
    assert begun.displayed == said
    bare.run("run.record('loss', 1.5, unit='1')")
    ended = bare.run(f"%experiment end --save {tmp_path}/first.json").value
    assert isinstance(ended, Experiment)
    assert ended.parameters == {"prompt": "It is", "max_tokens": 3}
    assert Experiment.load(tmp_path / "first.json") == ended
    bare.run("max_tokens = 4")
    bare.run("%experiment begin greedy prompt max_tokens")
    bare.run("second = %experiment end")
    compared = bare.run(f"%experiment compare {tmp_path}/first.json second").value
    assert isinstance(compared, Comparison)
    assert [fact.name for fact in compared.differences] == ["parameter max_tokens"]


def test_a_record_that_cannot_be_written_is_shown_all_the_same(bare: Notebook, tmp_path: Path) -> None:
    bare.run("%experiment begin greedy")
    ended = bare.run(f"%experiment end --save {tmp_path}/nowhere/first.json")
    assert isinstance(ended.value, Experiment)
    assert "cannot be written" in ended.stderr


def test_an_experiment_is_given_up(bare: Notebook) -> None:
    bare.run("%experiment begin greedy")
    assert "greedy has not ended yet" in str(bare.run("%experiment begin another").error)
    assert "greedy is given up" in bare.run("%experiment drop").displayed
    assert "run" not in bare.shell.user_ns
    assert bare.run("%experiment begin another").error is None


@pytest.mark.parametrize(
    ("before", "line", "words"),
    [
        ("", "%experiment", "needs to know what to do"),
        ("", "%experiment begin", "%experiment begin needs NAME"),
        ("", "%experiment start", "has no 'start'"),
        ("", "%experiment end", "no experiment runs"),
        ("", "%experiment drop", "no experiment runs"),
        ("prompts = 1", "%experiment begin greedy promts", "did you mean prompts?"),
        ("odd = {1}", "%experiment begin greedy odd", "the parameter odd cannot be recorded"),
        ("run = 5", "%experiment begin greedy", "the name run is a variable of yours"),
        ("", "%experiment compare one.json", "takes two records"),
        ("", "%experiment compare one.json two.json", "neither a variable nor a file has the name one.json"),
        ("frist = 5", "%experiment compare frist frist", "the variable frist is no record of an experiment"),
        (
            "from tests.experiments.samples import record; first = record()",
            "%experiment compare first frst",
            "did you mean first?",
        ),
    ],
)
def test_what_is_wrong_is_said(bare: Notebook, before: str, line: str, words: str) -> None:
    bare.run(before)
    error = bare.run(line).error
    assert isinstance(error, errors.KernelkitError)
    assert words in str(error)


def test_names_with_blanks_stand_in_quotes(bare: Notebook, tmp_path: Path) -> None:
    bare.run("%experiment drop")
    path = tmp_path / "sp ace.json"
    assert bare.run('a = 1\n%experiment begin "two words" a').error is None
    ran = bare.run(f'%experiment end --save "{path}"')
    assert ran.error is None
    assert ran.value.name == "two words"
    compared = bare.run(f'%experiment compare "{path}" "{path}"')
    assert compared.error is None
    assert "two words" in repr(compared.value)


def test_help_says_the_python_behind_it(bare: Notebook) -> None:
    shown = bare.shell.find_line_magic("experiment").__doc__
    assert shown == EXPERIMENT.help
    assert "Python: kernelkit.experiments.compare(RECORD, RECORD)" in shown
    assert "%experiment end [--save FILE]" in shown


def test_the_page_gets_a_picture_with_the_text_beside_it() -> None:
    from IPython.core.interactiveshell import InteractiveShell

    from kernelkit.experiments import compare
    from kernelkit.magics import pictures

    shell = InteractiveShell()
    shell.kernel = object()
    pictures.register(shell, lambda: None)
    for result in (samples.record(), compare(samples.record(), samples.record())):
        data, _ = shell.display_formatter.format(result)
        assert set(data) == {"image/png", "text/plain"}
        assert data["text/plain"] == repr(result)
    pictures.unregister(shell)


def test_papermill_sets_the_parameters(tmp_path: Path) -> None:
    cells = [
        nbformat.v4.new_code_cell("rate = 0.5\nsteps = 2", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("%load_ext kernelkit\n%experiment begin descent rate steps"),
        nbformat.v4.new_code_cell("run.record('left', (1 - rate) ** steps, unit='1')"),
        nbformat.v4.new_code_cell("%experiment end --save record.json"),
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
    nbformat.write(notebook, tmp_path / "in.ipynb")
    source, target = str(tmp_path / "in.ipynb"), str(tmp_path / "out.ipynb")
    papermill.execute_notebook(source, target, {"steps": 3}, cwd=str(tmp_path), progress_bar=False)
    record = Experiment.load(tmp_path / "record.json")
    assert record.parameters == {"rate": 0.5, "steps": 3}
    assert record.figure("left").values == (0.125,)
    assert nbformat.read(target, 4).cells[-1].outputs[0].data["text/plain"] == repr(record)
