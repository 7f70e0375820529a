"""The package as a whole: what importing it costs, what it offers, and who may import what."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import kernelkit

ROOT = Path(kernelkit.__file__).parent
HEAVY = {
    "mlx",
    "mlx_lm",
    "numpy",
    "ml_dtypes",
    "zmq",
    "jupyter_client",
    "matplotlib",
    "IPython",
    "ipykernel",
    "ipywidgets",
    "psutil",
    "transformers",
}


def modules_after(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded through `statement`, beyond its own."""
    code = (
        f"import sys, json; before = set(sys.modules); {statement}; "
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


def test_importing_kernelkit_loads_nothing_heavy() -> None:
    loaded = modules_after("import kernelkit")
    assert "kernelkit" in loaded
    assert loaded & HEAVY == set()


def test_looking_around_loads_nothing_heavy() -> None:
    assert modules_after("import kernelkit; dir(kernelkit); kernelkit.__version__") & HEAVY == set()


def test_the_notebook_side_never_loads_mlx() -> None:
    statement = "import kernelkit; [getattr(kernelkit, name) for name in kernelkit.__all__]"
    loaded = modules_after(statement)
    assert "zmq" in loaded
    assert loaded & {"mlx", "mlx_lm", "transformers", "matplotlib"} == set()


def test_the_agent_never_loads_mlx_nor_a_kernel() -> None:
    loaded = modules_after("import kernelkit.launch.agent")
    assert loaded & {"mlx", "mlx_lm", "numpy", "zmq", "ipykernel", "IPython"} == set()


@pytest.mark.parametrize("name", kernelkit.__all__)
def test_public_names_resolve_and_are_documented(name: str) -> None:
    assert getattr(kernelkit, name).__doc__
    assert name in dir(kernelkit)


def test_public_names_are_the_lazy_ones() -> None:
    assert set(kernelkit.__all__) == {*kernelkit._HOMES, "catalog", "experiments", "perf", "views"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = kernelkit.nothing_such


def imports_of(path: Path) -> set[str]:
    """Dotted names that a module imports, wherever in it, but for type checkers alone."""
    tree = ast.parse(path.read_text())
    names: set[str] = set()
    hidden = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


MODULES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))


@pytest.mark.parametrize("module", [name for name in MODULES if not name.startswith("rank/")])
def test_only_ranks_import_mlx_and_the_rank_package(module: str) -> None:
    for name in imports_of(ROOT / module):
        assert name.partition(".")[0] not in ("mlx", "mlx_lm")
        assert not name.startswith("kernelkit.rank")


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_in_a_first_line_what_it_is_for(module: str) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / module).read_text()))
    assert docstring
    assert docstring.splitlines()[0].endswith((".", ":"))
