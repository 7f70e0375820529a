"""Differences between hosts: what would break a cluster is refused with its cure, the rest is told."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from kernelkit.errors import HostError
from kernelkit.hosts.agreement import Own, check_agreement

OWN = Own("0.1.0", "c0de", "/home/ann/kernelkit")
PYTHON = "/opt/venv/bin/python"


def hello(**changed: Any) -> dict[str, Any]:
    """What an agent says, in the fields that matter here; names of packages go by `_` for `-`."""
    versions = {"kernelkit": "0.1.0", "mlx": "0.32.4", "mlx-lm": "0.32.2"}
    fields = {
        "versions": {name: changed.pop(name.replace("-", "_"), value) for name, value in versions.items()},
        "code": "c0de",
        "folder": "/opt/venv/lib/kernelkit",
        "executable": PYTHON,
        "python": "3.11.7",
        "os": "macOS 26.2",
        "system": "Darwin",
        "cuda": False,
    }
    return {**fields, **changed}


def refused(**hosts: dict[str, Any]) -> tuple[list[str], list[str]]:
    """The differences that are told, and the commands that mend them."""
    with pytest.raises(HostError) as caught:
        check_agreement(hosts, OWN)
    what = caught.value.what.removeprefix("the hosts do not have the same software: ")
    assert what != caught.value.what
    return what.split("; "), [line.strip() for line in caught.value.cure.strip().splitlines()]


def test_equal_hosts_have_nothing_to_tell() -> None:
    assert check_agreement({"mac1": hello(), "mac2": hello()}, OWN) == []
    assert check_agreement({"mac1": hello()}, OWN) == []


def test_another_version_of_kernelkit_is_to_be_replaced_by_the_notebooks() -> None:
    problems, cures = refused(mac1=hello(), mac2=hello(kernelkit="0.0.9"))
    assert problems == ["kernelkit 0.0.9 on mac2, 0.1.0 in the notebook"]
    assert cures == [f"ssh mac2 {PYTHON} -m pip install 'kernelkit==0.1.0'"]


def test_other_code_of_the_same_version_is_to_be_copied_from_the_notebook() -> None:
    problems, cures = refused(mac1=hello(), mac2=hello(code="0the4"))
    assert problems == ["kernelkit 0.1.0 on mac2 is not the code that the notebook runs"]
    assert cures == ["rsync -a --delete --exclude=/data /home/ann/kernelkit/ mac2:/opt/venv/lib/kernelkit/"]


def test_of_another_version_the_code_is_not_told_as_well() -> None:
    problems, _ = refused(mac1=hello(kernelkit="0.0.9", code="0the4"))
    assert len(problems) == 1


def test_a_kernelkit_that_was_only_copied_counts_by_its_code() -> None:
    """Then no installed package says a version."""
    assert check_agreement({"mac1": hello(kernelkit="")}, OWN) == []
    problems, _ = refused(mac1=hello(kernelkit="", code="0the4"))
    assert problems == ["kernelkit 0.1.0 on mac1 is not the code that the notebook runs"]


@pytest.mark.parametrize("package", ["mlx", "mlx-lm"])
def test_the_version_of_most_hosts_counts_also_against_rank_0(package: str) -> None:
    name = package.replace("-", "_")
    problems, cures = refused(a=hello(**{name: "1"}), b=hello(**{name: "2"}), c=hello(**{name: "2"}))
    assert problems == [f"{package} 1 on a, 2 elsewhere"]
    assert cures == [f"ssh a {PYTHON} -m pip install '{package}==2'"]


@pytest.mark.parametrize("package", ["mlx", "mlx-lm"])
def test_without_a_majority_rank_0s_version_counts(package: str) -> None:
    name = package.replace("-", "_")
    problems, cures = refused(b=hello(**{name: "2"}), a=hello(**{name: "1"}))
    assert problems == [f"{package} 1 on a, 2 elsewhere"]
    assert cures == [f"ssh a {PYTHON} -m pip install '{package}==2'"]


def test_a_missing_package_is_installed_in_the_version_of_the_others() -> None:
    problems, cures = refused(a=hello(mlx_lm=""), b=hello())
    assert problems == ["mlx-lm is missing on a, 0.32.2 elsewhere"]
    assert cures == [f"ssh a {PYTHON} -m pip install 'mlx-lm==0.32.2'"]


def test_a_package_that_no_host_has_is_told_for_each() -> None:
    problems, cures = refused(a=hello(mlx=""), b=hello(mlx=""))
    assert problems == ["mlx is missing on a", "mlx is missing on b"]
    assert cures == [f"ssh {host} {PYTHON} -m pip install 'mlx'" for host in "ab"]


def test_a_missing_package_is_refused_on_one_host_alone() -> None:
    assert refused(a=hello(mlx=""))[0] == ["mlx is missing on a"]


def test_all_differences_are_told_at_once_each_with_its_cure() -> None:
    problems, cures = refused(a=hello(kernelkit="9"), b=hello(code="x", mlx="1"), c=hello(mlx_lm="2"))
    assert [problem.split(" on ")[0] for problem in problems] == [
        "kernelkit 9",
        "kernelkit 0.1.0",
        "mlx 1",
        "mlx-lm 2",
    ]
    assert len(cures) == 4


def test_a_cure_can_be_typed_where_a_path_has_a_space_in_it() -> None:
    """ssh hands its words to another shell, so they are quoted twice."""
    path = "/Users/ann/my env/bin/python"
    _, cures = refused(a=hello(mlx="1", executable=path), b=hello(), c=hello())
    host, command = shlex.split(cures[0])[1], " ".join(shlex.split(cures[0])[2:])
    assert host == "a"
    assert shlex.split(command) == [path, "-m", "pip", "install", "mlx==0.32.4"]


def test_differences_of_python_and_system_are_notes() -> None:
    hosts = {"a": hello(), "b": hello(python="3.13.1", os="Linux 6.1"), "c": hello()}
    assert check_agreement(hosts, OWN) == [
        "Python differs: a has 3.11.7, b has 3.13.1, c has 3.11.7",
        "the system differs: a has macOS 26.2, b has Linux 6.1, c has macOS 26.2",
    ]


def test_linux_without_cuda_gets_the_mlx_that_has_a_backend() -> None:
    _, cures = refused(a=hello(), b=hello(), c=hello(mlx="0.30.0", system="Linux"))
    assert cures == [f"ssh c {PYTHON} -m pip install 'mlx[cpu]==0.32.4'"]
