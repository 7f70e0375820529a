"""Loading one rank's part: names, refusals, dtypes, laziness, and logits that survive the cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from kernelkit.errors import ArgumentError, ModelNotFoundError, ModelShardError
from kernelkit.rank.load import Loaded, load, resolve
from tests.rank import tiny
from tests.rank.tiny import CountedGroup, RingRun

GENERATE = """
from kernelkit.errors import ModelShardError
from kernelkit.rank.generate import StopControl, generate
from kernelkit.rank.load import load
good, bad = args
result = {"tokens": [], "refused": []}
for path, strategy, dtype in good:
    loaded = load(Path(path), strategy=strategy, group=group, dtype=dtype)
    answer = generate(loaded, "hello", max_tokens=24, temp=0, top_p=1, seed=0, raw=True,
                      on_text=lambda text: None, control=StopControl())
    result["tokens"].append(answer["tokens"])
for path, strategy, dtype in bad:
    try:
        load(Path(path), strategy=strategy, group=group, dtype=dtype)
    except ModelShardError as error:
        result["refused"].append(str(error))
# The group is still in step after the refusals.
assert mx.distributed.all_sum(mx.array(1), group=group).item() == size
"""


def _load(path: Path, rank: int = 0, size: int = 1, **options: Any) -> Loaded:
    return load(path, group=CountedGroup(rank, size), **{"strategy": "tensor", **options})  # type: ignore[arg-type]


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "nope", "./nope/x", "~nobody-of-this-name/x", "a/b/c", "x" * 5000])
def test_names_that_lead_nowhere(name: str) -> None:
    with pytest.raises(ModelNotFoundError, match="there is no model") as caught:
        resolve(name)
    assert "austen, smollm2" in caught.value.expected


def test_a_file_is_not_a_model(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelNotFoundError, match="not a model folder"):
        resolve(str(tmp_path / "file"))


def test_a_folder_must_be_whole(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        resolve(str(tmp_path))
    assert caught.value.got == "config.json, model*.safetensors, tokenizer.json missing"
    tiny.build(tmp_path)
    assert resolve(str(tmp_path)) == tmp_path
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-2.safetensors"}}')
    with pytest.raises(ModelNotFoundError) as caught:
        resolve(str(tmp_path))
    assert caught.value.got == "model-2.safetensors missing"


@pytest.mark.parametrize("kind", ["offline", "gated", "absent", "broken"])
def test_hub_errors_become_one_sentence(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx
    import huggingface_hub
    from huggingface_hub import errors

    response = httpx.Response(403, request=httpx.Request("GET", "https://huggingface.co"))
    error, words = {
        "offline": (errors.LocalEntryNotFoundError("x"), "cannot be reached"),
        "gated": (errors.GatedRepoError("x", response=response), "is gated"),
        "absent": (errors.RepositoryNotFoundError("x", response=response), "no such public model"),
        "broken": (errors.HfHubHTTPError("503 Busy", response=response), "503 Busy"),
    }[kind]

    def fail(name: str, **options: Any) -> str:
        assert "model*.safetensors" in options["allow_patterns"]
        raise error

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(ModelNotFoundError) as caught:
        resolve("organisation/model")
    assert words in str(caught.value)


def test_hub_download_reports_bytes_and_prints_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import huggingface_hub

    def download(name: str, *, tqdm_class: Any, **options: Any) -> str:
        with tqdm_class(total=100, unit="B", mininterval=0, desc=name, name="x") as bar:
            bar.update(50)
            bar.update(50)
        return str(tiny.build(tmp_path))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    seen: list[tuple[str, float]] = []
    assert resolve("organisation/model", lambda phase, fraction: seen.append((phase, fraction))) == tmp_path
    assert ("downloading", 0.5) in seen
    assert seen[-1] == ("downloading", 1.0)
    assert capfd.readouterr().err == ""


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "changes", "strategy", "size", "what", "cure"),
    [
        ("llama", {"num_attention_heads": 5, "hidden_size": 80}, "tensor", 2, "cannot be padded", ""),
        ("qwen2", {}, "pipeline", 5, "4 layers cannot be spread over 5", "fewer ranks"),
        ("gemma", {}, "tensor", 2, "cannot cut the layers of gemma", "--strategy pipeline"),
    ],
)
def test_refusals_are_the_same_on_every_rank(
    tmp_path: Path, kind: str, changes: dict[str, Any], strategy: str, size: int, what: str, cure: str
) -> None:
    path = tiny.build(tmp_path, kind, **changes)
    broken = Breaker(path)  # a refusal reads no weights
    messages = set()
    for rank in range(size):
        with pytest.raises(ModelShardError, match=what) as caught:
            _load(path, rank, size, strategy=strategy, on_progress=broken)
        assert cure in caught.value.cure
        assert caught.value.expected
        assert caught.value.got
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_no_such_strategy_or_dtype(tmp_path: Path) -> None:
    path = tiny.build(tmp_path)
    with pytest.raises(ArgumentError, match="strategy"):
        _load(path, strategy="both")
    with pytest.raises(ArgumentError, match="dtype"):
        _load(path, dtype="int3")


# --- what is loaded ------------------------------------------------------------------------------


def test_summary_has_the_same_shape_on_every_rank(tmp_path: Path) -> None:
    path = tiny.build(tmp_path, num_attention_heads=6, num_key_value_heads=3, hidden_size=96)
    first, second = (_load(path, rank, 2).summary for rank in (0, 1))
    assert list(first) == list(second)
    assert json.loads(json.dumps(first)) == first
    expected = {"model_type": "llama", "layers": 4, "layer_range": [0, 4], "heads": 6, "kv_heads": 3}
    expected |= {
        "padding": [
            {"what": "heads", "before": 6, "after": 8, "times": 1},
            {"what": "KV heads", "before": 3, "after": 4, "times": 1},
        ]
    }
    expected |= {"dtype": "float32", "hidden_size": 96}
    assert {key: first[key] for key in expected} == expected
    assert first["weight_bytes"] == second["weight_bytes"] < first["total_weight_bytes"]
    assert _load(path).summary["weight_bytes"] == first["total_weight_bytes"]


@pytest.mark.parametrize(
    ("dtype", "expected", "quantized"),
    [("float32", "float32", False), ("bfloat16", "bfloat16", False), ("keep", "float16", True)],
)
def test_one_dtype_for_every_float(tmp_path: Path, dtype: str, expected: str, quantized: bool) -> None:
    path = tiny.build(tmp_path, "qwen2", bits=4, dtype=mx.float16)
    # A norm of another dtype is what breaks a pipeline without an error.
    weights = mx.load(str(path / "model.safetensors"))
    weights["model.norm.weight"] = weights["model.norm.weight"].astype(mx.float32)
    mx.save_safetensors(str(path / "model.safetensors"), weights, metadata={"format": "mlx"})
    loaded = _load(path, 0, 2, strategy="pipeline", dtype=dtype)
    dtypes = {str(p.dtype).removeprefix("mlx.core.") for p in _arrays(loaded)}
    assert dtypes == ({expected, "uint32"} if quantized else {expected})
    assert loaded.summary["dtype"] == expected
    assert loaded.summary["quantization_in_file"] == {"group_size": 32, "bits": 4}
    assert (loaded.summary["quantization_in_memory"] is not None) == quantized


def test_a_pipeline_rank_never_reads_the_layers_of_another(tmp_path: Path) -> None:
    path = tiny.build(tmp_path, "qwen2")
    broken = Breaker(path, ("model.layers.2.", "model.layers.3."))
    loaded = _load(path, 1, 2, strategy="pipeline", on_progress=broken)
    assert loaded.summary["layer_range"] == [0, 2]  # rank 1 of 2 holds the first layers
    with pytest.raises(RuntimeError):
        _load(path, 0, 2, strategy="pipeline", on_progress=broken)


def test_no_rank_holds_the_whole_model_at_once(tmp_path: Path) -> None:
    path = tiny.build(tmp_path, hidden_size=512, intermediate_size=2048, num_hidden_layers=8)
    mx.clear_cache()
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    summary = _load(path, 0, 4).summary
    tensor_bytes = 512 * 2048 * 4  # the largest, whole
    assert mx.get_peak_memory() - before < summary["weight_bytes"] + 1.5 * tensor_bytes


def test_progress_goes_through_its_phases_layer_by_layer(tmp_path: Path) -> None:
    seen: list[tuple[str, float]] = []
    _load(tiny.build(tmp_path), on_progress=lambda phase, fraction: seen.append((phase, fraction)))
    phases = list(dict.fromkeys(phase for phase, _ in seen))
    assert phases == ["reading", "sharding", "tokenizer", "weights"]
    for phase in phases:
        fractions = [fraction for name, fraction in seen if name == phase]
        assert fractions == sorted(fractions)
        assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert len([phase for phase, _ in seen if phase == "weights"]) >= 5


def test_two_ranks_give_the_tokens_of_one(tmp_path: Path, ring_run: RingRun) -> None:
    uneven = {
        "num_attention_heads": 6,
        "num_key_value_heads": 3,
        "hidden_size": 192,
        "intermediate_size": 130,
    }
    llama = str(tiny.build(tmp_path / "llama", **uneven))
    # float32 scales: sums in another order round alike there, and 16-bit ones of random weights do not.
    packed = str(tiny.build(tmp_path / "packed", bits=4, **{**uneven, "intermediate_size": 160}))
    qwen = str(tiny.build(tmp_path / "qwen2", "qwen2", num_hidden_layers=3))
    gemma = str(tiny.build(tmp_path / "gemma", "gemma"))
    good = [[llama, "tensor", "auto"], [packed, "tensor", "keep"], [packed, "tensor", "auto"]]
    good += [[qwen, "tensor", "auto"], [qwen, "pipeline", "auto"], [qwen, "pipeline", "bfloat16"]]
    good += [[llama, "pipeline", "auto"], [packed, "pipeline", "keep"], [gemma, "pipeline", "auto"]]
    bad = [[gemma, "tensor", "auto"]]
    [one] = ring_run(1, GENERATE, good, [])
    two = ring_run(2, GENERATE, good, bad)
    for case, expected, *got in zip(good, one["tokens"], *(rank["tokens"] for rank in two), strict=True):
        assert got == [expected] * 2, case
    assert all(len(set(tokens)) > 3 for tokens in one["tokens"])  # not a broken model's constant
    assert [len(rank["refused"]) for rank in two] == [1, 1]
    assert two[0]["refused"] == two[1]["refused"]


def _arrays(loaded: Loaded) -> list[mx.array]:
    from mlx.utils import tree_flatten

    return [value for _, value in tree_flatten(loaded.model.parameters())]


class Breaker:
    """Cuts off the data of a model's last layers (or of all) once the files are open: progress callback.

    mlx checks the length of a file when it opens it; a read that comes later fails.
    """

    def __init__(self, path: Path, prefixes: tuple[str, ...] = ("",)) -> None:
        weights = mx.load(str(path / "model.safetensors"))
        mx.eval(weights)
        self.file = path / "model-lost.safetensors"
        lost = {name: value for name, value in weights.items() if name.startswith(prefixes)}
        kept = {name: value for name, value in weights.items() if name not in lost}
        (path / "model.safetensors").unlink()
        mx.save_safetensors(str(self.file), lost, metadata={"format": "mlx"})
        if kept:
            mx.save_safetensors(str(path / "model-kept.safetensors"), kept, metadata={"format": "mlx"})
        self.whole = self.file.read_bytes()

    def __call__(self, phase: str, fraction: float) -> None:
        if (phase, fraction) == ("reading", 0.0):
            self.file.write_bytes(self.whole)
        if (phase, fraction) == ("reading", 1.0):
            with self.file.open("r+b") as stream:
                stream.truncate(8)
