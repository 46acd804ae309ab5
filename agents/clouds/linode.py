"""Linode's (Akamai's) metadata service: a token first, then documents of "name: value" lines."""

from __future__ import annotations

import time
from collections.abc import Mapping

from agents.clouds.endpoint import endpoint_of
from agents.clouds.http import ask
from agents.errors import TransientError

#: kops' life of a token; a run asks twice.
TOKEN_SECONDS = 300


class LinodeMetadata:
    """Paths are names in /v1/instance ("id", "label")."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._endpoint = endpoint_of(environment)
        self._token = ""
        self._token_ends = 0.0

    def get(self, path: str) -> str | None:
        """Return the value of the line "path: value"; None where there is none."""
        text = ask(f"{self._endpoint}/v1/instance", headers={"Metadata-Token": self._fresh_token()})
        for line in (text or "").splitlines():
            name, separator, value = line.partition(":")
            if separator and name.strip() == path:
                return value.strip()
        return None

    def _fresh_token(self) -> str:
        if time.monotonic() >= self._token_ends:
            headers = {"Metadata-Token-Expiry-Seconds": str(TOKEN_SECONDS)}
            token = ask(f"{self._endpoint}/v1/token", headers=headers, method="PUT")
            if not token:
                raise TransientError(f"{self._endpoint} gave no metadata token; is this a Linode?")
            self._token = token
            self._token_ends = time.monotonic() + TOKEN_SECONDS / 2
        return self._token
