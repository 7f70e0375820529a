"""The catalog of models: their configs give the published parameters, and the bytes of the files."""

from __future__ import annotations

import pytest

from kernelkit.catalog import ModelEntry, file_sizes, find, find_model, models
from kernelkit.catalog.files import data_file
from kernelkit.catalog.models import FILES
from kernelkit.errors import ArgumentError
from kernelkit.sharding.anatomies import anatomy
from kernelkit.sharding.config import text_config
from kernelkit.sharding.quantization import config_quantization
from kernelkit.sharding.sizes import weight_bytes

UNEXPLAINED = {
    # 65.8 GB times 2^30 by its digits. Experts in MXFP4 and the rest in 8 bits are 63.3 GB, and 65.2 GB with
    # the rest in 16; what would be 65.8 GB, all of it in affine 4 bits, is another checkpoint.
    "mlx-community/gpt-oss-120b-MXFP4-Q8",
    # 0.27 GB more than all of it in 4 bits: some of it must be packed in more.
    "mlx-community/gemma-4-26b-a4b-it-4bit",
    # 4.5 bits per weight in the file, without the biases that MLX holds, which make it 5.
    "moonshotai/Kimi-K2.7-Code",
}
# Rows of models that the catalog does not have, and why not.
WITHOUT_A_CONFIG = {
    "mlx-community/DeepSeek-V4-Flash": "an architecture that there is no anatomy of",
    "mlx-community/Kimi-K2.6-mlx-DQ3_K_M-q8": "packed by a recipe that its name does not spell out",
    # 157.5 GB, where the sizes of Qwen3-Next give 159.3; 45.6, where they give 44.8; and 68.9, where they
    # give 64.7, which were 7.0 bits for each of the weights in the first.
    **dict.fromkeys(
        (f"mlx-community/Qwen3-Coder-Next-{bits}" for bits in ("4bit", "6bit", "bf16")),
        "its three sizes fit no one config",
    ),
    "mlx-community/Step-3.5-Flash-6bit": "no config with a source",
}
KNOWN_SIZES = [key for key in file_sizes() if key in models() and key not in UNEXPLAINED]


@pytest.fixture(autouse=True)
def without_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """What this machine has downloaded does not matter here."""
    monkeypatch.setattr(find, "_cached", lambda name: None)


@pytest.mark.parametrize("entry", models().values(), ids=lambda entry: entry.key)
def test_parameters_are_the_published_ones(entry: ModelEntry) -> None:
    made = anatomy(entry.config)
    if entry.parameters:
        assert made.parameters == pytest.approx(entry.parameters, rel=0.015)
    if entry.active_parameters:
        # Published without or with the embedding; of LongCat, whose tokens choose how many experts they take,
        # the average, where all that a token may take are counted here.
        counted = [
            sum(
                m.parameters * m.used // m.experts
                for _, m in made.matrices()
                if with_lookup or not m.looked_up
            )
            for with_lookup in (False, True)
        ]
        slack = 0.2 if entry.key == "longcat-flash" else 0.08
        assert counted[0] * (1 - slack) <= entry.active_parameters <= counted[1] * 1.015


@pytest.mark.parametrize("hub_id", KNOWN_SIZES)
def test_weights_have_the_bytes_of_the_files(hub_id: str) -> None:
    size = file_sizes()[hub_id]
    config, title = find_model(hub_id)
    assert title in (hub_id, models()[hub_id].title)
    assert size.meant_bytes is not None
    low, high = size.meant_bytes
    # Files have headers too; rounded sizes may be those of all files, the tokenizer's included.
    slack = 0.002 if low == high else 0.005
    counted = weight_bytes(anatomy(config), config_quantization(config))
    if "vision_config" in config:  # the files have the tower too, in 16 bits
        counted += tower_bytes(hub_id)
    assert low * (1 - slack) <= counted <= high * (1 + slack)


def test_most_files_of_known_models_are_explained() -> None:
    known = [key for key in file_sizes() if key in models()]
    assert len(KNOWN_SIZES) == len(known) - len(UNEXPLAINED) >= 45


def test_each_size_without_a_model_has_a_reason() -> None:
    unknown = {key for key in file_sizes() if key not in models()}
    assert unknown == set(WITHOUT_A_CONFIG)
    assert all(WITHOUT_A_CONFIG.values())
    bits = {
        key[-4:]: file_sizes()[key].weight_bytes
        for key in unknown
        if key.startswith("mlx-community/Qwen3-Coder-Next")
    }
    assert 16 * bits["6bit"] / bits["bf16"] == pytest.approx(7.0, abs=0.01)


def tower_bytes(hub_id: str) -> int:
    """Of what sees and hears: what the smallest file of the model has beside the language model."""
    entry = models()[hub_id]
    alike = [other for other in KNOWN_SIZES if models()[other] is entry]
    smallest = min((file_sizes()[other] for other in alike), key=lambda size: size.weight_bytes)
    config = find_model(smallest.key)[0]
    more = smallest.weight_bytes - weight_bytes(anatomy(config), config_quantization(config))
    assert 0.5e9 < more < 1.5e9
    return more


@pytest.mark.parametrize("hub_id", KNOWN_SIZES)
def test_layers_and_heads_are_those_that_the_table_of_files_lists(hub_id: str) -> None:
    listed, config = file_sizes()[hub_id], text_config(dict(models()[hub_id].config))
    assert listed.hidden_size == config["hidden_size"]
    # The table is one off for GLM-4.7 and MiniMax M2.1.
    assert abs(listed.layers - config["num_hidden_layers"]) <= 1
    assert listed.kv_heads in (None, config["num_key_value_heads"])


def test_names_of_the_issue_are_there() -> None:
    for name in (
        *("kimi-k2", "deepseek-v3.1", "devstral-2", "devstral-small", "llama-3.3-70b", "qwen3-235b-a22b"),
        *("gpt-oss-120b", "glm-5", "SmolLM2-135M", "Qwen3 4B", "qwen3-coder-480b", "longcat-flash"),
    ):
        assert models()[name].config_source
    with pytest.raises(ArgumentError, match=r"(?s)no model 'kimi-k3'.*did you mean .*kimi-k2"):
        models()["kimi-k3"]


def test_every_file_of_models_is_read() -> None:
    there = {f"models/{path.name}" for path in data_file(FILES[0]).parent.glob("*.json")}
    assert there == {*FILES, "models/sizes.json"}


def test_no_name_stands_for_two_models() -> None:
    names = [name.lower() for e in models().values() for name in (e.key, *e.aliases, *e.hub_ids)]
    assert len(names) == len(set(names))


def test_tables_say_what_is_there() -> None:
    assert "70.6B" in repr(models())
    assert "whole GB, times 2^30" in file_sizes()._repr_html_()
