"""etcd's wire messages: our own .proto text and the code that protoc makes of it (see generate.py)."""
