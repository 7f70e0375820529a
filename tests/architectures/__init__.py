"""Every architecture of the installed mlx-lm as a tiny model, and whether sharding leaves it as it is."""
