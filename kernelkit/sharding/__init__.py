"""Which rank holds what of a model, planned or measured: plain data, no process, no MLX."""
