"""Google Compute Engine's metadata server."""

from __future__ import annotations

from collections.abc import Mapping

from agents.clouds.http import ask

#: The SDKs' variable for another host.
HOST_VARIABLE = "GCE_METADATA_HOST"
#: The address, not metadata.google.internal: it works before DNS does.
HOST = "169.254.169.254"


class GceMetadata:
    """Paths are below computeMetadata/v1/."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._host = environment.get(HOST_VARIABLE, "") or HOST

    def get(self, path: str) -> str | None:
        """Return a value."""
        return ask(f"http://{self._host}/computeMetadata/v1/{path}", headers={"Metadata-Flavor": "Google"})
