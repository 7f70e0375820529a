"""One rank of a ring, with mlx-lm's own loop and nothing of kernelkit's around it.

The shard is loaded by kernelkit's loader, so that both contestants hold the same padded weights in the
same dtype. Argument: the model's folder. Each line of standard input asks for one generation.
"""

import json
import os
import sys
import time
from pathlib import Path

import mlx.core as mx
from mlx_lm import stream_generate

from kernelkit.rank.load import load

group = mx.distributed.init(strict=True, backend="ring")
loaded = load(Path(sys.argv[1]), strategy="tensor", group=group)
print(json.dumps({"pid": os.getpid(), "ranks": group.size()}), flush=True)

for line in sys.stdin:
    request = json.loads(line)
    messages = [{"role": "user", "content": request["prompt"]}]
    prompt = loaded.tokenizer.apply_chat_template(messages, add_generation_prompt=True)
    tokens, times_s = [], []
    for response in stream_generate(loaded.model, loaded.tokenizer, prompt, max_tokens=request["max_tokens"]):
        tokens.append(response.token)
        times_s.append(time.perf_counter())
    # As kernelkit counts: mlx-lm's own figure counts the first token in, but not its time.
    tokens_per_s = (len(tokens) - 1) / (times_s[-1] - times_s[0])
    print(json.dumps({"tokens": tokens, "tokens_per_s": tokens_per_s}), flush=True)
