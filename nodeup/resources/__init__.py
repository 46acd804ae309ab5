"""What a node consists of: one frozen dataclass a kind, which says how one thing should be, reads how it is, and makes it so."""
