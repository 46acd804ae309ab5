"""Continuous backups: every change of an etcd between two full backups, so that a cluster can be restored to any revision."""
