"""Where the metadata services without a variable of their own are: one variable for all of them, for tests and odd networks."""

from __future__ import annotations

from collections.abc import Mapping

ENDPOINT_VARIABLE = "NODE_AGENTS_METADATA_ENDPOINT"

#: The address that all but Scaleway have.
LINK_LOCAL = "http://169.254.169.254"


def endpoint_of(environment: Mapping[str, str], default: str = LINK_LOCAL) -> str:
    """Return the service's base URL, without a trailing slash."""
    return (environment.get(ENDPOINT_VARIABLE, "") or default).rstrip("/")
