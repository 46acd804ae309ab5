"""Azure's instance metadata service."""

from __future__ import annotations

from collections.abc import Mapping

from agents.clouds.endpoint import endpoint_of
from agents.clouds.http import ask

#: The version that kops asks for; the service refuses requests without one.
API_VERSION = "2025-04-07"


class AzureMetadata:
    """Paths are below metadata/ ("instance/compute?format=json", "attested/document?nonce=…")."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._endpoint = endpoint_of(environment)

    def get(self, path: str) -> str | None:
        """Return a document."""
        separator = "&" if "?" in path else "?"
        return ask(f"{self._endpoint}/metadata/{path}{separator}api-version={API_VERSION}", headers={"Metadata": "True"})
