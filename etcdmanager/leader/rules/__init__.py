"""The leader's rules: small pure functions from a view to an answer. Their order is in `etcdmanager.leader.decide` only."""
