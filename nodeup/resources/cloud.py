"""Things that are made in the cloud or in another service, not on the machine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Ipv6Prefix:
    """An IPv6 prefix assigned to the instance's primary interface (AWS, IPv6-only clusters)."""

    name: str = "prefix"

    @property
    def id(self) -> str:
        """The unique name."""
        return f"ipv6-prefix:{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryRegistration:
    """The cluster's service-account keys registered with a discovery service."""

    name: str
    url: str
    namespace: str
    #: The id of the Certificate that authenticates.
    certificate: str
    #: PEM of the CA bundle that goes with the client certificate.
    ca: bytes
    #: JSON Web Keys as (kid, n, e) in URL-safe base64, sorted by kid.
    keys: tuple[tuple[str, str, str], ...]

    @property
    def id(self) -> str:
        """The unique name."""
        return f"discovery:{self.name}"
