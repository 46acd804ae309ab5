"""The door to etcd: its client API, its snapshots; no decisions."""
