"""etcd-manager: forms, keeps, upgrades, backs up and restores one etcd cluster."""
