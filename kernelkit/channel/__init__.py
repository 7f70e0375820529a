"""Talk to each rank: run code, stream output, ask, interrupt."""
