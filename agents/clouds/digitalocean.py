"""DigitalOcean's metadata service."""

from __future__ import annotations

from collections.abc import Mapping

from agents.clouds.endpoint import endpoint_of
from agents.clouds.http import ask


class DigitalOceanMetadata:
    """Paths are below metadata/v1/ ("id", "interfaces/private/0/ipv4/address")."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._endpoint = endpoint_of(environment)

    def get(self, path: str) -> str | None:
        """Return a value."""
        return ask(f"{self._endpoint}/metadata/v1/{path}", headers={})
