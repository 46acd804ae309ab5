"""A worker's conversation with kops-controller: its configuration, its certificates, and what it keeps of both."""
