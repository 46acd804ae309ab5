"""Keys, certificates and kops' keysets."""
