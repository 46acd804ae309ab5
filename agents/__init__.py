"""The chassis that nodeup, protokube and etcd-manager share; it knows none of them."""
