"""What runs inside a rank process: join the group, carry values, load, shard, generate.

The only package that imports mlx and mlx_lm; nothing but a rank process imports it.
"""
