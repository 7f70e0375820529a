"""Start rank processes: an agent per host, and the environment that each MLX backend reads."""
