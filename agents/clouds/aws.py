"""EC2's instance metadata, version 2 only: a token first, so that a tricked proxy on the machine cannot be used to read it."""

from __future__ import annotations

import time
from collections.abc import Mapping

from agents.clouds.http import ask
from agents.errors import TransientError

#: The SDKs' variable for another endpoint (tests, IPv6: http://[fd00:ec2::254]).
ENDPOINT_VARIABLE = "AWS_EC2_METADATA_SERVICE_ENDPOINT"
ENDPOINT = "http://169.254.169.254"
#: Six hours, the longest that the service gives.
TOKEN_SECONDS = 21600


class AwsMetadata:
    """IMDSv2; paths are below latest/meta-data/."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._endpoint = environment.get(ENDPOINT_VARIABLE, "").rstrip("/") or ENDPOINT
        self._token = ""
        self._token_ends = 0.0

    def get(self, path: str) -> str | None:
        """Return a value, with a fresh token where the last one is old."""
        return ask(f"{self._endpoint}/latest/meta-data/{path}", headers={"X-aws-ec2-metadata-token": self._fresh_token()})

    def _fresh_token(self) -> str:
        if time.monotonic() >= self._token_ends:
            headers = {"X-aws-ec2-metadata-token-ttl-seconds": str(TOKEN_SECONDS)}
            token = ask(f"{self._endpoint}/latest/api/token", headers=headers, method="PUT")
            if not token:
                raise TransientError(f"{self._endpoint} gave no IMDSv2 token; is this an EC2 instance?")
            self._token = token
            self._token_ends = time.monotonic() + TOKEN_SECONDS / 2
        return self._token
