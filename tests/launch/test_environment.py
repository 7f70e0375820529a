"""A rank's environment is the one that `mlx.launch` gives: both run on the same hostfiles here.

Known differences, all on purpose:

- Ports are free ones that the ranks have reserved; `mlx.launch` counts from 32323 (nccl: 12345).
- Files have no name (`/dev/fd/N`), so that no kill leaves one behind; `mlx.launch` leaves its in the
  temporary folder.
- COLUMNS and LINES of a terminal are for a program that writes to one; a rank's output is a cell's.
- A ring of one is not formed, so it needs no MLX_RANK; MLX itself makes nothing of that file.
- CUDA_VISIBLE_DEVICES counts the ranks of each host; `mlx.launch` takes the rank modulo `-n`, which is
  the same where each host's ranks stand together and `-n` says how many they are.
- A rank on a Linux CPU has an OpenBLAS in front (LD_PRELOAD, OPENBLAS_NUM_THREADS), and the variables
  that every Jupyter kernel sets.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlx._distributed_utils import launch as mlx_launch

from kernelkit import connect
from kernelkit.channel.connection import Keys
from kernelkit.cluster import joining
from kernelkit.cluster.site import Site, find_site
from kernelkit.hosts.hostfile import Hostfile, parse_hostfile
from kernelkit.launch.agents import Agents
from kernelkit.launch.command import gpus_by_rank, start_specs
from kernelkit.launch.hello import gpu_ids
from kernelkit.launch.mpi import mpi_environment
from kernelkit.rank import group, state
from tests.cluster.conftest import without_pytests_mark
from tests.launch.standin import StandIn, in_front

HERE = "127.0.0.1"
LAUNCH = Path(sys.executable).with_name("mlx.launch")
RING_PORT, NCCL_PORT = 32323, 12345
LAUNCH_S = START_S = 60.0

# What bash itself sets around the program, and what a terminal's size becomes.
OF_BASH = {"_", "SHLVL", "PWD", "OLDPWD", "COLUMNS", "LINES"}
FILES = ("MLX_HOSTFILE", "MLX_IBV_DEVICES")

# Writes what differs from the environment that it is told of, with the files in place of their paths.
_PROGRAM = """
    import json, os, pathlib, sys
    folder = pathlib.Path(sys.argv[1])
    before = json.loads((folder / "before.json").read_text())
    found = {name: value for name, value in os.environ.items() if before.get(name) != value}
    for name in {"MLX_HOSTFILE", "MLX_IBV_DEVICES"} & set(found):
        found[name] = json.loads(pathlib.Path(found[name]).read_text().strip() or "null")
    (folder / f"{os.environ['MLX_RANK']}.cwd").write_text(os.getcwd())
    part = folder / f"{os.environ['MLX_RANK']}.part"
    part.write_text(json.dumps(found))
    part.rename(part.with_suffix(".json"))
"""


@dataclass
class Launched:
    """What the ranks of `mlx.launch` found, on which hosts ssh started them, and in which folders."""

    ranks: list[dict[str, Any]]
    hosts: list[str]
    folders: list[str]


def launch(text: str, folder: Path, *options: str, login: str = "") -> Launched:
    """Run the real `mlx.launch` on a hostfile's text; other hosts are this one by another name."""
    ssh = StandIn(folder / "bin")
    ssh.runs_the_command(login, shell="/bin/bash")
    hostfile, program, out, temporary = (folder / name for name in ("hosts.json", "show.py", "out", "tmp"))
    out.mkdir()
    temporary.mkdir()
    hostfile.write_text(text)
    program.write_text(textwrap.dedent(_PROGRAM))
    env = {**os.environ, "PATH": ssh.path, "TMPDIR": str(temporary)}
    (out / "before.json").write_text(json.dumps(env))
    argv = [str(LAUNCH), "--hostfile", str(hostfile), *options, "--", sys.executable, str(program), str(out)]
    with subprocess.Popen(
        argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            assert process.stdin
            # Its standard input stays open: at the end of it mlx.launch spins.
            output, _ = process.communicate(timeout=LAUNCH_S)
        finally:
            process.kill()
    found = sorted(out.glob("[0-9]*.json"), key=lambda path: int(path.stem))
    assert [path.stem for path in found] == [str(rank) for rank in range(len(found))], output.decode()
    assert found, output.decode()
    ranks = [without(OF_BASH, json.loads(path.read_text())) for path in found]
    return Launched(ranks, ssh.asked, [path.with_suffix(".cwd").read_text() for path in found])


def without(names: set[str], environment: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in environment.items() if name not in names}


def joined(
    hostfile: Hostfile, backend: str, ports: dict[int, list[int]], patch: pytest.MonkeyPatch
) -> list[dict[str, Any]]:
    """What MLX would find if kernelkit's ranks joined now: seen from inside its `init`."""
    found: list[dict[str, Any]] = []
    specs = start_specs(
        len(hostfile.hosts), {"key": "secret"}, dict(env.split("=", 1) for env in hostfile.envs)
    )
    before = dict(os.environ)

    class Formed:
        def __init__(self, rank: int) -> None:
            self._rank = rank

        def rank(self) -> int:
            return self._rank

        def size(self) -> int:
            return len(specs)

    def init(**_: Any) -> Formed:
        seen: dict[str, Any] = {n: v for n, v in os.environ.items() if before.get(n) != v}
        for name in set(FILES) & set(seen):
            assert seen[name].startswith("/dev/fd/")
            seen[name] = json.loads(Path(seen[name]).read_text())
        found.append(seen)
        return Formed(len(found) - 1)

    patch.setattr(group.mx.distributed, "init", init)
    patch.setattr(group, "bind_names", lambda: None)
    patch.setattr(group, "describe", dict)
    patch.setattr(state, "world_size", len(specs))
    patch.setattr(state, "group", None)
    joins = joining._joins(Site(hostfile, backend), backend, ports)
    for spec, join in zip(specs, joins, strict=True):
        patch.setattr(state, "rank", spec["rank"])
        patch.setattr(os, "environ", {**before, **spec["env"]})
        group.join(join.backend, join.env, join.files)
    patch.undo()
    return found


def same_ports(hostfile: Hostfile, backend: str) -> dict[int, list[int]]:
    """Those that `mlx.launch` gives out."""
    if backend == "ring":
        numbers = iter(range(RING_PORT, RING_PORT + 1000))
        return {rank: [next(numbers) for _ in host.ips] for rank, host in enumerate(hostfile.hosts)}
    return {0: [NCCL_PORT if backend == "nccl" else RING_PORT]}


def ring(*ips: list[str], **more: Any) -> dict[str, Any]:
    names = [HERE, "mac2", "ann@mac3"]
    hosts = [{"ssh": name, "ips": mine} for name, mine in zip(names, ips, strict=False)]
    return {"backend": "ring", "hosts": hosts, **more}


TWO_CABLES = ["rdma_en3", "rdma_en4"]
MESH = [
    {"ssh": HERE, "ips": ["10.0.0.1"], "rdma": [None, "rdma_en2", TWO_CABLES]},
    {"ssh": "mac2", "ips": ["10.0.0.2"], "rdma": ["rdma_en2", None, "rdma_en5"]},
    {"ssh": "mac3", "ips": ["10.0.0.3"], "rdma": [TWO_CABLES, "rdma_en5", None]},
]
SQUARE = [
    {"ssh": f"mac{i}", "ips": [f"10.0.0.{i}"], "rdma": row}
    for i, row in enumerate(
        ([None, "a", None, "d"], ["a", None, "b", None], [None, "b", None, "c"], ["d", None, "c", None])
    )
]
GPUS = [{"ssh": name, "ips": [ip]} for name, ip in ((HERE, "10.0.0.1"), ("gpu2", "10.0.0.2")) for _ in "ab"]
ENVS = ["MLX_METAL_FAST_SYNCH=1", "EMPTY=", 'ODD=it\'s "a" $HOME `x` \\ ü=;&|\nnext', "TWICE=1", "TWICE=2"]

CASES: dict[str, tuple[Any, str, tuple[str, ...]]] = {
    "ring": (ring(["10.0.0.1"], ["10.0.0.2"]), "ring", ()),
    "ring, a list": (ring(["10.0.0.1"], ["10.0.0.2"])["hosts"], "ring", ("--backend", "ring")),
    "ring, two addresses each": (ring(["10.0.0.1", "10.0.1.1"], ["10.0.0.2", "10.0.1.2"]), "ring", ()),
    "ring, two ranks on a host": (
        [
            {"ssh": name, "ips": [ip]}
            for name, ip in ((HERE, "10.0.0.1"), (HERE, "10.0.0.1"), ("b", "10.0.0.2"))
        ],
        "ring",
        ("--backend", "ring"),
    ),
    "ring, envs": (ring(["10.0.0.1"], ["10.0.0.2"], envs=ENVS), "ring", ()),
    "ring, envs that MLX overrides": (
        ring(["10.0.0.1"], ["10.0.0.2"], envs=["MLX_RANK=7", "MLX_HOSTFILE=/nowhere"]),
        "ring",
        (),
    ),
    "jaccl": ({"backend": "jaccl", "envs": ENVS, "hosts": MESH}, "jaccl", ()),
    "jaccl, a list": (MESH, "jaccl", ("--backend", "jaccl")),
    "jaccl-ring": ({"backend": "jaccl-ring", "envs": ["A=1"], "hosts": SQUARE}, "jaccl-ring", ()),
    "jaccl-ring, a list": (SQUARE, "jaccl-ring", ("--backend", "jaccl-ring")),
    "jaccl-ring over a mesh": (MESH, "jaccl-ring", ("--backend", "jaccl-ring")),
    "nccl": ({"backend": "nccl", "envs": [*ENVS, "NCCL_DEBUG=WARN"], "hosts": GPUS[1:3]}, "nccl", ()),
    "nccl, two GPUs each": (GPUS, "nccl", ("--backend", "nccl", "-n", "2")),
    "nccl, envs that MLX overrides": (
        {"backend": "nccl", "envs": ["CUDA_VISIBLE_DEVICES=5", "NCCL_PORT=1"], "hosts": GPUS[1:3]},
        "nccl",
        (),
    ),
}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_rank_finds_what_mlx_launch_gives(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, backend, options = CASES[case]
    text = json.dumps(data)
    theirs = launch(text, tmp_path, *options)
    hostfile = parse_hostfile(text)
    ours = joined(hostfile, backend, same_ports(hostfile, backend), monkeypatch)
    assert ours == theirs.ranks
    assert sorted(theirs.hosts) == sorted(host.ssh for host in hostfile.hosts if host.ssh != HERE)
    assert all({"MLX_RANK"} < set(rank) for rank in theirs.ranks), "a comparison of nothing"


def test_a_ring_of_one_gets_nothing_and_mlx_launch_gives_it_an_empty_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = json.dumps(ring(["10.0.0.1"], envs=["A=1"]))
    assert launch(text, tmp_path).ranks == [{"A": "1", "MLX_RANK": "0", "MLX_HOSTFILE": None}]
    assert joined(parse_hostfile(text), "ring", {}, monkeypatch) == [{"A": "1"}]


def test_the_gpus_of_a_host_are_counted_where_its_ranks_stand_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """There `mlx.launch` gives both ranks of a host the same GPU, and the other to nobody."""
    hosts = parse_hostfile(json.dumps([GPUS[0], GPUS[2], GPUS[1], GPUS[3]]))
    found = joined(hosts, "nccl", {0: [1]}, monkeypatch)
    assert [rank["CUDA_VISIBLE_DEVICES"] for rank in found] == ["0", "0", "1", "1"]


def test_no_file_of_a_join_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def count() -> int:
        return len(os.listdir("/dev/fd"))  # noqa: PTH208

    before = count()
    joined(parse_hostfile(json.dumps(MESH)), "jaccl", {0: [1]}, monkeypatch)
    assert count() == before


def test_ranks_elsewhere_start_in_the_notebooks_folder_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative paths and modules beside the notebook are found there, though ssh starts at home."""
    work = tmp_path / "it's my work"
    work.mkdir()
    monkeypatch.chdir(work)
    theirs = launch(json.dumps(ring(["10.0.0.1"], ["10.0.0.2"])), tmp_path, login="cd /")
    assert theirs.folders == [str(work)] * 2
    ssh = in_front(tmp_path / "ssh", monkeypatch)
    ssh.runs_the_command("cd /")
    agents = Agents([HERE, "mac2"])
    try:
        agents.start(start_specs(2, Keys.new().to_dict()), [HERE, "mac2"])
        assert agents.wait_for(lambda: len(agents.ready) == 2, START_S), agents.exits
        assert [psutil.Process(agents.ready[rank]["pid"]).cwd() for rank in (0, 1)] == theirs.folders
    finally:
        agents.stop()


# -- real ranks -----------------------------------------------------------------------------------

# Set by ipykernel in every kernel (the terminal's size by GNU readline), and by our own start of a rank on
# a Linux CPU.
OF_KERNELS = {"CLICOLOR", "CLICOLOR_FORCE", "FORCE_COLOR", "PAGER", "GIT_PAGER", "MPLBACKEND", "TERM"}
OF_KERNELS |= {"PYDEVD_USE_FRAME_EVAL", "COLUMNS", "LINES"}
OF_RANKS = {"LD_PRELOAD", "OPENBLAS_NUM_THREADS"}


def test_a_real_rank_has_the_variables_that_mlx_launch_gives(tmp_path: Path) -> None:
    hosts = [{"ssh": HERE, "ips": [HERE]}] * 2
    text = json.dumps({"backend": "ring", "envs": ENVS, "hosts": hosts})
    theirs = launch(text, tmp_path).ranks
    with without_pytests_mark():
        before = dict(os.environ)
        cluster = connect(hostfile=tmp_path / "hosts.json")
    try:
        cluster.run("import os; environment = dict(os.environ)")
        found = cluster["environment"]
        assert cluster.run("int(mx.distributed.all_sum(mx.array(rank + 1)).item())")[1].value_repr == "3"
    finally:
        cluster.stop()
    for rank in (0, 1):
        ours = {name: value for name, value in found[rank].items() if before.get(name) != value}
        assert ours.pop("MLX_HOSTFILE").startswith("/dev/fd/")
        del theirs[rank]["MLX_HOSTFILE"]
        assert set(ours) - set(theirs[rank]) <= OF_KERNELS | OF_RANKS
        assert {name: ours[name] for name in theirs[rank]} == theirs[rank]
    assert set(before) <= set(found[0]), "a rank lacks what the notebook has"


# -- MPI ------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("mpirun") is None, reason="no mpirun (Debian: openmpi-bin)")
def test_mpi_ranks_find_the_library_that_mlx_launch_names(tmp_path: Path) -> None:
    """Compared with the functions of its source, not with a run of it.

    `mlx.launch --backend mpi` passes `--output :raw` to mpirun, which only Open MPI 5 knows; 4 refuses.
    """
    name = mlx_launch.get_mpi_libname()
    assert name
    mpirun = shutil.which("mpirun")
    assert mpirun
    library = str(Path(mpirun).parent.parent / "lib")
    assert mpi_environment() == {"DYLD_LIBRARY_PATH": library, "MLX_MPI_LIBNAME": name}


def test_without_mpi_there_is_nothing_to_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert mpi_environment() == {}


def test_mpi_joins_carry_nothing_since_mpirun_tells_each_rank_its_number() -> None:
    site = find_site(2, backend="mpi")
    joins = joining._joins(site, "mpi", {})
    assert [(join.backend, join.env, join.files) for join in joins] == [("mpi", {}, {})] * 2


def test_ranks_take_the_gpus_that_their_host_leaves_them() -> None:
    hosts = parse_hostfile(json.dumps(GPUS)).hosts
    assert gpus_by_rank(hosts, {HERE: ["4", "GPU-8f2c"]}) == ["4", "GPU-8f2c", "0", "1"]
    specs = start_specs(4, {}, {"A": "1"}, ["4", "5", "0", "1"])
    assert [spec["env"] for spec in specs[:2]] == [
        {"A": "1", "CUDA_VISIBLE_DEVICES": "4"},
        {"A": "1", "CUDA_VISIBLE_DEVICES": "5"},
    ]


@pytest.mark.parametrize(
    ("visible", "ids"),
    [
        ("2,3", ["2", "3"]),
        ("", []),
        ("-1", []),
        ("0,-1,1", ["0"]),
        ("1,1", ["1"]),
        (" GPU-a , 2", ["GPU-a", "2"]),
    ],
)
def test_only_gpus_that_are_visible_here_are_given_away(
    visible: str, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpu_ids() == ids
