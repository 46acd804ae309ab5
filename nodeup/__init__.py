"""nodeup: reads a node's completed specification and converges the machine to it."""
