"""The control store: what operators ask of a cluster, and what became of it."""
