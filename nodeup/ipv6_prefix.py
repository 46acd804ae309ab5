"""The IPv6 prefix of an EC2 instance's primary interface: found in the metadata, or assigned. Only apply calls this."""

from __future__ import annotations

from collections.abc import Callable

from agents.clouds.protocol import Ec2, Metadata
from agents.errors import TransientError


def ensure_ipv6_prefix(metadata: Metadata, ec2: Callable[[], Ec2]) -> str:
    """Return the prefix of the primary interface, the first of several; where it has none, EC2 is asked for one.

    Source: kops upup/pkg/fi/nodeup/nodetasks/prefix.go. Two runs at once could assign two, of which one is never used.
    """
    mac = _need(metadata, "mac")
    interface = f"network/interfaces/macs/{mac}"
    prefixes = (metadata.get(f"{interface}/ipv6-prefix") or "").split()
    if prefixes:
        return prefixes[0]
    return ec2().assign_ipv6_prefix(_need(metadata, f"{interface}/interface-id"))


def _need(metadata: Metadata, path: str) -> str:
    value = (metadata.get(path) or "").strip()
    if not value:
        raise TransientError(f"the metadata service has no {path}, which an IPv6 prefix is assigned by")
    return value
