"""protokube: what must run before Kubernetes can, and keeps running beside it."""
