"""Things that are made in the cloud or in another service, not on the machine.

Neither is made by this release: the node says so and stops, rather than report a node that is not what was asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

from agents.errors import SpecError
from agents.host.protocol import Host
from nodeup.resources.protocol import RunContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Ipv6Prefix:
    """An IPv6 prefix assigned to the instance's primary interface (AWS, IPv6-only clusters)."""

    name: str = "prefix"

    @property
    def id(self) -> str:
        """The unique name."""
        return f"ipv6-prefix:{self.name}"

    def read(self, host: Host, context: RunContext) -> Ipv6Prefix | None:
        """Return None: whether the interface has a prefix is not observed yet."""
        return None

    def apply(self, host: Host, context: RunContext, actual: Ipv6Prefix | None) -> None:
        """Refuse with a SpecError."""
        raise SpecError(f"{self.id}: IPv6-only clusters are not supported by this release", code="not-supported")


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryRegistration:
    """The cluster's service-account keys registered with a discovery service."""

    name: str
    url: str
    namespace: str
    #: The name of the object that is registered: the node's.
    object_name: str
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

    def read(self, host: Host, context: RunContext) -> DiscoveryRegistration | None:
        """Return None: what is registered is known to the service alone."""
        return None

    def apply(self, host: Host, context: RunContext, actual: DiscoveryRegistration | None) -> None:
        """Refuse with a SpecError."""
        raise SpecError(f"{self.id}: registration with {self.url} is not supported by this release", code="not-supported")
