"""Hetzner Cloud's metadata service."""

from __future__ import annotations

from collections.abc import Mapping

from agents.clouds.endpoint import endpoint_of
from agents.clouds.http import ask


class HetznerMetadata:
    """Paths are below hetzner/v1/metadata/ ("instance-id", "private-networks", which is YAML)."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._endpoint = endpoint_of(environment)

    def get(self, path: str) -> str | None:
        """Return a value."""
        return ask(f"{self._endpoint}/hetzner/v1/metadata/{path}", headers={})
