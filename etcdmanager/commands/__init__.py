"""The verbs of `etcd-manager`, one module each; `etcdmanager.cli` imports the one that is asked for."""
