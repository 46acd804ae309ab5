"""Assets: what a node downloads, from which mirrors, and what is in it."""
