"""What GPUs with a link between them give: one run on a machine with two, which writes one JSON."""
