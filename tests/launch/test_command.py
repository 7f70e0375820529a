"""What a rank needs in order to start and to join, as text."""

import json
import sys

from kernelkit.launch.command import Join, agent_argv, blas_environment, rank_argv, ring_joins


def test_every_rank_of_a_ring_gets_its_number_and_the_same_hostfile() -> None:
    joins = ring_joins([["127.0.0.1:5000"], ["127.0.0.1:5001"], ["10.0.0.2:7"]])
    assert [join.backend for join in joins] == ["ring"] * 3
    assert [join.env for join in joins] == [{"MLX_RANK": "0"}, {"MLX_RANK": "1"}, {"MLX_RANK": "2"}]
    assert len({join.files["MLX_HOSTFILE"] for join in joins}) == 1


def test_the_hostfile_is_mlx_own_form_a_list_of_addresses_per_rank() -> None:
    joins = ring_joins([["127.0.0.1:5000"], ["127.0.0.1:5001"]])
    assert json.loads(joins[0].files["MLX_HOSTFILE"]) == [["127.0.0.1:5000"], ["127.0.0.1:5001"]]


def test_a_ring_of_one_is_not_formed() -> None:
    assert ring_joins([["127.0.0.1:5000"]]) == [Join(backend=None)]


def test_command_lines_start_this_very_python_and_say_nothing_else() -> None:
    assert rank_argv() == [sys.executable, "-m", "kernelkit.rank"]
    assert agent_argv() == [sys.executable, "-m", "kernelkit.launch.agent"]


def test_without_an_openblas_the_environment_stays_as_it_is() -> None:
    assert blas_environment(None, 4, "/lib/x.so") == {}


def test_an_openblas_is_preloaded_with_as_many_threads_as_the_rank_may_use() -> None:
    assert blas_environment("/lib/libopenblas.so.0", 2) == {
        "LD_PRELOAD": "/lib/libopenblas.so.0",
        "OPENBLAS_NUM_THREADS": "2",
    }


def test_what_the_user_preloads_stays_preloaded() -> None:
    environment = blas_environment("/lib/libopenblas.so.0", 1, "/lib/theirs.so")
    assert environment["LD_PRELOAD"] == "/lib/libopenblas.so.0:/lib/theirs.so"
