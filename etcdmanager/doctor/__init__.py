"""`etcd-manager doctor`: what is wrong with an etcd cluster or with this node of it, what shows it, and what to do."""
