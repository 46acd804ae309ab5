"""Managers talking to managers: the wire, gossip and who may speak."""
