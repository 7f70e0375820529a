"""The magics: `%cluster`, `%%sharded`, `%model`, `%%generate`, `%%chat`, `%plan`, `%experiment`; data."""

from __future__ import annotations

from kernelkit.magics import readers
from kernelkit.magics.experiment_lines import EXPERIMENT
from kernelkit.magics.grammar import Command, Flag, Magic
from kernelkit.settings import DTYPES

_TOKENS = "a whole number of tokens, such as 4096 or 100k"
HOSTS = "HOST..."
PLANNED = "MODEL"

_RANKS = Flag("ranks", "0,2-3", str, help="only these ranks")

_TIMEOUT = Flag(
    "timeout", "S", readers.seconds, help="end the cell after S seconds, and say where ranks wait"
)
_CHECK = Flag("check", help="compare every collective with the other ranks before it runs (slower)")
_RECORDED = Flag("record", help="time every collective, and draw what each rank did when (may be slower)")

_KV_BITS = Flag("kv-bits", "2|3|4|5|6|8", int, ("2", "3", "4", "5", "6", "8"), "quantize the KV cache (not)")

_SAMPLING = (
    Flag("max-tokens", "N", int, help="at most so many new tokens (256)"),
    Flag("temp", "T", float, help="0 takes the likeliest token (0)"),
    Flag("top-p", "P", float, help="draw among the likeliest tokens of this probability together (1)"),
    Flag("top-k", "K", int, help="draw among so many of the likeliest tokens (0, all)"),
    Flag(
        "min-p", "P", float, help="draw among tokens of at least this part of the likeliest's probability (0)"
    ),
    Flag("repetition-penalty", "F", float, help="weaken tokens that came before by this factor (1, not)"),
    Flag("repetition-context-size", "N", int, help="how many tokens back count as before (20)"),
    Flag("seed", "S", int, help="draws the same text again; alike on every rank"),
    Flag("stop", "TEXT", readers.text, help="end before this text; may be given several times", many=True),
    Flag("system", "TEXT", readers.text, help="the system's message (the chat template's own)"),
    Flag("max-kv-size", "N", int, help="hold the first 4 and the newest tokens, N in all (all)"),
    _KV_BITS,
    Flag("kv-group-size", "32|64|128", int, ("32", "64", "128"), "values that share a scale (64)"),
    Flag("quantized-kv-start", "N", int, help="quantize from so many tokens on (5000)"),
    Flag("prefill-step-size", "N", int, help="tokens of the prompt that are read at once (2048)"),
    Flag("record", help="measure each rank's time in communication (the same tokens; may be slower)"),
)

_RAW = Flag("raw", help="no chat template around the prompt")
_BATCH = Flag("batch", help="several prompts at once, with a line --- between them")

_BACKENDS = ("auto", "ring", "jaccl", "jaccl-ring", "mpi", "nccl")
_PYTHON = Flag("python", "PATH", str, help="the Python of the other hosts (the notebook's path)")
_WHERE = (
    Flag("hostfile", "FILE", str, help="MLX's hostfile, as mlx.launch takes it: a rank per entry"),
    Flag("hosts", "A,B,C", str, help="names for ssh, a rank on each"),
    Flag(
        "backend", "NAME", str, _BACKENDS, "MLX's backend (auto: the hostfile's, or the fastest that works)"
    ),
    _PYTHON,
    Flag("ranks-per-host", "N", int, help="so many on each host, such as its GPUs (1; here all GPUs, or 2)"),
)

CLUSTER = Magic(
    "%cluster",
    (
        Command(
            "connect",
            "start ranks and form a group: N on this machine, or one per host; without either, those of "
            "hosts.json or $KERNELKIT_HOSTFILE if there is one, else one for each NVIDIA GPU here, or 2",
            "cluster = kernelkit.connect(N, hostfile=FILE, hosts=[...], backend='auto', python=PATH, "
            "ranks_per_host=N)",
            argument="N",
            flags=_WHERE,
        ),
        Command("status", "what every rank is and does", "cluster.status()"),
        Command("recover", "new ranks, with the variables and the model of the old", "cluster.recover()"),
        Command("restart", "new ranks, empty namespaces", "cluster.restart()"),
        Command(
            "interrupt", "what Ctrl-C does, from another console of this notebook", "cluster.interrupt()"
        ),
        Command("stop", "end all ranks", "cluster.stop()"),
        Command(
            "panel",
            "hosts, ranks and links at the side while cells run, with buttons that work then; off closes it",
            "kernelkit.views.topology(cluster.map())",
            argument="off",
            choices=("off",),
        ),
        Command(
            "links",
            "measure latency and bandwidth of every link between the hosts",
            "report = cluster.links(); report.save(FILE)",
            flags=(Flag("save", "FILE", str, help="keep the report as JSON"),),
        ),
        Command(
            "calibrate",
            "measure how fast each rank reads and multiplies weights, and what an all_sum takes",
            "found = cluster.calibrate(); found.save(FILE)",
            flags=(Flag("save", "FILE", str, help="keep what was measured as JSON"),),
        ),
        Command(
            "discover",
            "find out how hosts are cabled, and write their hostfile; changes nothing on them",
            "found = kernelkit.discover([HOST, ...]); found.save('hosts.json')",
            argument=HOSTS,
            required=True,
            flags=(Flag("save", "FILE", str, help="the hostfile to write (hosts.json)"),),
        ),
        Command(
            "doctor",
            "what is in the way of ranks on these hosts, or on the cluster's or the hostfile's or here, "
            "and the cure",
            "kernelkit.doctor([HOST, ...], python=PATH)",
            argument=HOSTS,
            flags=(_PYTHON,),
        ),
    ),
)

_STRATEGIES = ("tensor", "pipeline", "hybrid")
_LAYOUT = (
    Flag("strategy", "|".join(_STRATEGIES), str, _STRATEGIES, "how to cut it (tensor)"),
    Flag("stages", "N", int, help="of a hybrid: each has ranks in a row that cut its layers (2)"),
    Flag(
        "split",
        "A,B,...",
        readers.numbers,
        help="rank by rank: shares of every layer, or layers of a pipeline; stage by stage layers of a "
        "hybrid (evenly; layers by free memory)",
    ),
    Flag(
        "quantize", "4|8", int, ("4", "8"), "bits of the weights in memory (as in the file; floats on a CPU)"
    ),
    Flag("context", "N", int, help="tokens whose KV cache must fit beside the weights (4096)"),
    Flag(
        "dtype", "|".join(DTYPES), str, DTYPES, "of the weights in memory (keep on a GPU, float32 on a CPU)"
    ),
)

SHARDED = Magic(
    "%%sharded",
    (
        Command(
            "",
            "run this cell on every rank",
            "cluster.run(code, ranks=[0], timeout_s=S, check=True), cluster.run(code, record=True).timeline",
            flags=(_RANKS, _TIMEOUT, _CHECK, _RECORDED),
        ),
    ),
)

SHARDED_LINE = Magic(
    "%sharded",
    (
        Command(
            "",
            "run one expression or statement on every rank",
            "cluster.run('EXPRESSION')",
            argument="EXPRESSION",
            required=True,
            flags=(_RANKS, _TIMEOUT, _CHECK, _RECORDED),
        ),
    ),
)

MODEL = Magic(
    "%model",
    (
        Command(
            "load",
            "shard a model over all ranks: a folder, a hub id, austen or smollm2",
            "model = cluster.load(PATH_OR_HF_ID, strategy='tensor', stages=N, split=(A, B), quantize=4, "
            "context=N, dtype='float32')",
            argument="PATH_OR_HF_ID",
            required=True,
            choices=("austen", "smollm2"),
            flags=_LAYOUT,
        ),
        Command(
            "generate",
            "generate text on all ranks in step",
            "model.generate(PROMPT, max_tokens=256, temp=0, seed=None, raw=False, record=False)",
            argument="PROMPT",
            required=True,
            flags=(*_SAMPLING, _RAW),
        ),
        Command(
            "chat",
            "show what was said in %%chat so far, or change it",
            "chat.messages, chat.undo(), chat.clear(), chat.system = TEXT",
            flags=(
                Flag("undo", help="take the last exchange back, before --system"),
                Flag("clear", help="forget all of it, and free the ranks' memory of it"),
                Flag("system", "TEXT", readers.text, help="the system's message from now on"),
            ),
        ),
        Command("shards", "which rank holds which part of which matrix", "model.shards"),
        Command(
            "memory",
            "what fills each rank's memory, at a context length",
            "kernelkit.views.memory(model.memory, context=N)",
            flags=(
                Flag("context", "N", readers.tokens, help="tokens in the KV cache (4096)", expected=_TOKENS),
            ),
        ),
        Command(
            "push",
            "send a model's files from one host to the others, over the cluster's links",
            "cluster.push_model(PATH_OR_HF_ID, to=[HOST, ...], source=HOST)",
            argument="PATH_OR_HF_ID",
            required=True,
            choices=("austen", "smollm2"),
            flags=(
                Flag("to", "A,B", str, help="these hosts (all others)"),
                Flag("from", "HOST", str, help="the host that has it (rank 0's)"),
            ),
        ),
        Command(
            "check",
            "whether the sharded model equals the unsharded one: parameters, greedy tokens, logits",
            "check = model.check([PROMPT, ...], long=2100, max_tokens=16); check.save(FILE)",
            flags=(
                Flag("long", "N", int, help="tokens of the long prompt; 0 leaves it out (2100)"),
                Flag("max-tokens", "N", int, help="greedy tokens after each prompt (16)"),
                Flag("save", "FILE", str, help="keep the result as JSON"),
            ),
        ),
        Command("unload", "free the weights", "model.unload()"),
    ),
)

GENERATE = Magic(
    "%%generate",
    (
        Command(
            "",
            "the cell's text is the prompt, or several",
            "model.generate(PROMPT, ...), model.generate([PROMPT, ...], ...)",
            flags=(*_SAMPLING, _RAW, _BATCH),
        ),
    ),
)

CHAT = Magic(
    "%%chat",
    (
        Command(
            "",
            "the cell's text is the next message of a chat; the ranks remember what was said",
            "chat = model.chat(system=TEXT); chat.send(MESSAGE, ...)",
            flags=_SAMPLING,
        ),
    ),
)

PLAN = Magic(
    "%plan",
    (
        Command(
            "",
            "what fits, how fast and why: on machines of the catalog, or on the cluster that is connected "
            "and calibrated; without MODEL of the model that is loaded",
            "kernelkit.plan(MODEL, on='4xm3-ultra-512', link=KIND, ...), cluster.plan(MODEL, ...)",
            argument=PLANNED,
            flags=(
                Flag("on", "4xm3-ultra-512,...", str, help="machines (this cluster)"),
                Flag("nodes", "N", int, help="so many of that one machine"),
                Flag("link", "KIND", str, help="between them (the fastest that is built in)"),
                Flag("strategy", "tensor|pipeline", str, _STRATEGIES[:2], "how to cut it (tensor)"),
                Flag(
                    "quantization",
                    "4bit",
                    str,
                    help="of the weights, also 8bit-gs32, mxfp4, bf16 (as the model says, or 4bit; of the "
                    "connected cluster as %model load does)",
                ),
                Flag(
                    "context",
                    "N",
                    readers.tokens,
                    help="tokens in the KV cache, and of the prompt; 100k is 100,000 (4096)",
                    expected=_TOKENS,
                ),
                Flag("batch", "N", int, help="sequences at once (1)"),
                Flag(
                    "split", "A,B,...", readers.numbers, help="shares of every layer, or layers of a pipeline"
                ),
                _KV_BITS,
                Flag("backend", "NAME", str, _BACKENDS[1:], "MLX's backend (the link's own)"),
                Flag("fast-synch", help="as with MLX_METAL_FAST_SYNCH=1 on the ranks"),
                Flag("save", "FILE", str, help="keep the plan as JSON"),
            ),
        ),
    ),
)

ALL = {m.name: m for m in (CLUSTER, SHARDED, SHARDED_LINE, MODEL, GENERATE, CHAT, PLAN, EXPERIMENT)}
