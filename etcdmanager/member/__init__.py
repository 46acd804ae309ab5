"""The member side: the desired state of one etcd process, and the loop that makes it so."""
