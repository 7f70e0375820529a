"""One rank of a ring, with mlx-lm's own way to shard and its own loop, and nothing of kernelkit.

Arguments: the model's folder, `tensor` or `pipeline`. Each line of standard input asks for one generation.
"""

import json
import os
import sys
import time
from pathlib import Path

import mlx.core as mx
from mlx_lm import stream_generate
from mlx_lm.utils import load_model, load_tokenizer

group = mx.distributed.init(strict=True, backend="ring")
model, _ = load_model(Path(sys.argv[1]), lazy=True)
if sys.argv[2] == "tensor":
    model.shard(group)
else:
    model.model.pipeline(group)
mx.eval(model.parameters())
tokenizer = load_tokenizer(Path(sys.argv[1]))
print(json.dumps({"pid": os.getpid(), "ranks": group.size()}), flush=True)

for line in sys.stdin:
    request = json.loads(line)
    prompt = tokenizer.encode(request["prompt"])
    tokens, times_s = [], []
    for response in stream_generate(model, tokenizer, prompt, max_tokens=request["max_tokens"]):
        tokens.append(response.token)
        times_s.append(time.perf_counter())
    tokens_per_s = (len(tokens) - 1) / (times_s[-1] - times_s[0])
    print(json.dumps({"tokens": tokens, "tokens_per_s": tokens_per_s}), flush=True)
