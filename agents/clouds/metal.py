"""Machines without a cloud: nothing is known but what the machine itself says."""

from __future__ import annotations


class MetalMetadata:
    """A metadata service that knows nothing, and asks nobody."""

    def get(self, path: str) -> str | None:  # noqa: ARG002 - the protocol's signature
        """Return None."""
        return None
