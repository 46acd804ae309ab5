"""Backups: their names, documents, retention; taking, verifying and restoring them."""
