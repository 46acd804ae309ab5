"""Scaleway's metadata service: one document for everything."""

from __future__ import annotations

import json
from collections.abc import Mapping

from agents.clouds.endpoint import endpoint_of
from agents.clouds.http import ask
from agents.errors import TransientError

ENDPOINT = "http://169.254.42.42"


class ScalewayMetadata:
    """Paths are members of the document at /conf ("id", "name"), "/" between levels."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._endpoint = endpoint_of(environment, ENDPOINT)

    def get(self, path: str) -> str | None:
        """Return a value; None where the document has no such text or number."""
        text = ask(f"{self._endpoint}/conf?format=json", headers={})
        if text is None:
            return None
        try:
            found: object = json.loads(text)
        except ValueError as error:
            raise TransientError(f"metadata service: {self._endpoint}/conf is no JSON") from error
        for name in path.split("/"):
            found = found.get(name) if isinstance(found, dict) else None
        return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else None
