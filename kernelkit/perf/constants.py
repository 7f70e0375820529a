"""What predictions rest on beside the catalog: named figures, each with its source.

None is fitted to a published speed of a model. Where several sources disagree, they are the ends of a range.
"""

from __future__ import annotations

from kernelkit.perf.ranges import Constant, Range

METAL_STEP_S = Constant(
    "a kernel that waits for the one before, Metal",
    Range(2.3e-6, 2.75e-6, 5.2e-6),
    "s",
    "mlx issue 4521, M3 Ultra, mlx 0.32.2: a chain of 3,200 tiny kernels takes 8.8 ms, and 7.7 ms in "
    "command buffers of 200, which gives 2.3 µs without the buffers' ends; ferrox issue 149: 5.2 µs of GPU "
    "time for each further rms_norm",
)
CUDA_STEP_S = Constant(
    "a kernel, CUDA",
    Range(2.7e-6, 4.7e-6, 6.4e-6),
    "s",
    "measured on H100, mlx 0.32.4: products of a vector with matrices of 2, 8, 34 and 134 MB in one graph "
    "take 4.7 µs each beside their bytes at 2.75 TB/s; small operations take 2.7 to 6.4 µs",
)
METAL_CROSSING_S = Constant(
    "from the GPU to the CPU that sums and back, Metal",
    Range(1.36e-4, 1.65e-4, 2.0e-4),
    "s",
    "mlx issue 4438, M3 Ultra, mlx 0.32.2: about 180 µs; mlx pull request 1773: 150 to 200 µs, and 136 to "
    "150 µs with the exchange between two processes on an M3 Max",
)
METAL_FAST_CROSSING_S = Constant(
    "the same with MLX_METAL_FAST_SYNCH=1",
    Range(4e-6, 9e-6, 2.0e-5),
    "s",
    "mlx issue 4438, M3 Ultra: about 4 µs; mlx pull request 1773: 15 to 20 µs with the exchange between two "
    "processes; between them their geometric mean",
)
NCCL_SUM_S = Constant(
    "an all_sum of two ranks among other kernels, NCCL",
    Range(1.4e-5, 2.1e-5, 4.3e-5),
    "s",
    "measured on two H100 of one host, mlx 0.32.4, 8 KB: a graph with 64 of them takes 14 to 32 µs more for "
    "each, with 1 to 16 other kernels between two, and 43 µs where there is hardly anything else; in an eval "
    "of its own one takes 120 to 135 µs, which a model's graph pays once for a token, not for each",
)
CUDA_HOST_S = Constant(
    "a kernel's part in building a token's graph and handing it over, CUDA",
    Range(7.4e-6, 7.9e-6, 9.5e-6),
    "s",
    "measured on H100, mlx 0.32.4, while random llamas of 1.1, 2.1 and 5.0 billion weights decoded, whose "
    "steps took as long as the host needed for them: 2.20, 3.55 and 7.80 ms for 278, 482 and 822 kernels",
)
NCCL_HOST_S = Constant(
    "what the host takes more for each all_sum of a sharded model, NCCL",
    Range(6.5e-5, 1.26e-4, 2.24e-4),
    "s",
    "measured on two H100, mlx 0.32.4, with CUDA's graphs, the same models sharded: 126, 123 and 224 µs for "
    "each all_sum more than whole; at the least 65 µs, by which a step was longer with all_sums than without",
)
EXPERT_READ_SHARE = Constant(
    "of the bandwidth, while one token reads its experts, Metal",
    Range(0.385, 0.6, 0.81),
    "",
    "mlx issue 4509, M3 Ultra, gather_qmm of 8 of 288 experts of 4 bits: 258 GB/s alone, 402 GB/s in a chain "
    "once its kernels' starts are taken off, 542 GB/s with 4 tokens, of 670 GB/s",
)
EXPERT_FLOP_SHARE = Constant(
    "of the matrix products' rate, for experts of a prompt",
    Range(0.42, 0.69, 0.87),
    "",
    "mlx issue 4246, M3 Ultra: 14.2 of 20.5 TFLOP/s at 43 rows for each expert; mlx issue 3925, M5: 42 % at "
    "32 rows, 87 % at 256",
)
KV_READ_SHARE = Constant(
    "of the bandwidth, while keys and values are read",
    Range(0.26, 1.0, 1.0),
    "",
    "the bandwidth itself; at the least as in mlx issue 3837, M1 Ultra: 170 to 190 of 680 GB/s with 4 KV "
    "heads of 256 and 100,000 tokens",
)
CUDA_READ_SHARE = Constant(
    "of the nominal bandwidth, matrix times vector, CUDA",
    Range(0.6, 0.82, 0.9),
    "",
    "measured on H100, mlx 0.32.4: 2.75 of 3.35 TB/s beside what a kernel takes to start, 2.0 TB/s with that "
    "for matrices of 34 MB; 4.3 of 4.8 TB/s by a copy on H200",
)
CUDA_FLOP_SHARE = Constant(
    "of the tensor cores' nominal rate, CUDA",
    Range(0.33, 0.55, 1.0),
    "",
    "measured on H100, mlx 0.32.4: 546 of 989 TFLOP/s for 2,048 tokens by 8,192 x 8,192; for 512 tokens 330 "
    "by 4,096 x 4,096 and 584 by 8,192 x 8,192; at the most the data sheet",
)
CUDA_PACKED_ROW_SHARE = Constant(
    "of the tensor cores' nominal rate, one row times quantized weights, CUDA",
    Range(3.1e-3, 3.25e-3, 3.6e-3),
    "",
    "measured on H100, mlx 0.32.4: 3.1 to 3.6 TFLOP/s beside a kernel's start, which is 0.9 TB/s of weights "
    "of 4 bits; 2 rows take 1.8 and 4 rows 3.3 times as long, and sequences of a batch are a row each",
)
CUDA_PACKED_FLOP_SHARE = Constant(
    "of the tensor cores' nominal rate, many rows times quantized weights, CUDA",
    Range(0.1, 0.125, 0.131),
    "",
    "measured on H100, mlx 0.32.4: 98 to 129 of 989 TFLOP/s for 128 and 512 rows of weights of 4 bits",
)
CUDA_PRODUCT_HOST_S = Constant(
    "a product of several rows on the host, which gives it to cuBLAS, CUDA",
    Range(1.5e-5, 2.2e-5, 2.9e-5),
    "s",
    "measured on H100, mlx 0.32.4: until products of 2 to 512 rows with matrices of 34 to 134 MB of bfloat16 "
    "were handed over, 8 to 32 in one graph; of one row, which is a kernel of MLX's own, it took 7 to 9 µs",
)
TCP_LATENCY_S = Constant(
    "a small message over TCP, one way",
    Range(1.9e-4, 3.0e-4, 4.75e-4),
    "s",
    "exo issue 2295: round trips of 0.38 to 0.95 ms between Macs; it is the IP stacks that take this time, "
    "so it stands for wires without a figure of their own",
)
TCP_BANDWIDTH_SHARE = Constant(
    "of a wire's nominal rate, TCP",
    Range(0.4, 0.8, 0.95),
    "",
    "at the most 1,460 bytes of payload in 1,538 on the wire (IEEE 802.3, RFC 9293); at the least 16.4 of 40 "
    "Gb/s over Thunderbolt 4 (jiribrejcha.net); measured with MLX's ring over 1 Gb/s: 0.8 Gb/s",
)

ALL = tuple(value for value in list(globals().values()) if isinstance(value, Constant))
