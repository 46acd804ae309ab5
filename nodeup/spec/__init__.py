"""What a node was told: the boot configuration, the node's configuration, and the material that belongs to it."""
