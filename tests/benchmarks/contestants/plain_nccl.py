"""One rank, with mlx-lm's own way to shard and its own loops, and nothing of kernelkit.

Arguments: MLX's backend, or `none` for a rank alone; a file of Python that has `model_of`. Each line of
standard input loads a model, or asks for one generation, or one batch of them.
"""

import gc
import importlib.util
import json
import os
import sys
import time
from pathlib import Path

import mlx.core as mx
from mlx.utils import tree_flatten
from mlx_lm import stream_generate
from mlx_lm.generate import BatchGenerator
from mlx_lm.utils import load_tokenizer

backend = sys.argv[1]
group = mx.distributed.init(strict=True, backend=backend) if backend != "none" else None
spec = importlib.util.spec_from_file_location("drawn", sys.argv[2])
drawn = importlib.util.module_from_spec(spec)
spec.loader.exec_module(drawn)
print(json.dumps({"pid": os.getpid(), "ranks": group.size() if group else 1}), flush=True)

model = tokenizer = None


def load(folder):
    global model, tokenizer
    model = None
    gc.collect()
    mx.clear_cache()
    start_s = time.perf_counter()
    path = Path(folder)
    model = drawn.model_of(json.loads((path / "config.json").read_text()))
    if group:
        model.shard(group)
    for _, value in tree_flatten(model.parameters()):
        mx.eval(value)
        mx.clear_cache()
    tokenizer = load_tokenizer(path)
    return {"load_s": time.perf_counter() - start_s}


def one(prompt, max_tokens):
    ids = tokenizer.encode(prompt)
    mx.reset_peak_memory()
    tokens, times_s = [], []
    start_s = time.perf_counter()
    for response in stream_generate(model, tokenizer, ids, max_tokens=max_tokens):
        tokens.append(response.token)
        times_s.append(time.perf_counter() - start_s)
    return {"tokens": [tokens], "times_s": [times_s], "prompt_tokens_per_s": response.prompt_tps}


def batch(prompts, max_tokens):
    ids = [tokenizer.encode(prompt) for prompt in prompts]
    mx.reset_peak_memory()
    generator = BatchGenerator(model, stop_tokens=[[token] for token in tokenizer.eos_token_ids])
    start_s = time.perf_counter()
    uids = generator.insert(ids, [max_tokens] * len(ids))
    tokens, times_s = {uid: [] for uid in uids}, {uid: [] for uid in uids}
    left = set(uids)
    while left:
        _, responses = generator.next()
        now_s = time.perf_counter() - start_s
        for response in responses:
            tokens[response.uid].append(response.token)
            times_s[response.uid].append(now_s)
            if response.finish_reason is not None:
                left.discard(response.uid)
    generator.close()
    return {"tokens": list(tokens.values()), "times_s": list(times_s.values())}


for line in sys.stdin:
    request = json.loads(line)
    if "load" in request:
        answer = load(request["load"])
    elif len(request["prompts"]) == 1:
        answer = one(request["prompts"][0], request["max_tokens"])
    else:
        answer = batch(request["prompts"], request["max_tokens"])
    print(json.dumps({**answer, "peak_memory_bytes": mx.get_peak_memory()}), flush=True)
