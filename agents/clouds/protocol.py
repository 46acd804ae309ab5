"""What a machine can ask its cloud, as small Protocols; there is never one big cloud object.

`Metadata` is what the machine is told about itself, `Ec2` and `AutoScaling` the few calls that a node on AWS makes for itself.
Volumes and discovery follow with the agents that need them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol


class Metadata(Protocol):
    """The metadata service of the instance: link-local, without credentials."""

    def get(self, path: str) -> str | None:
        """Return the value at a path of the service ("placement/region"); None where it has none (404).

        TransientError when the service does not answer: on a machine of that cloud it will.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceTypeAnswer:
    """What EC2 says about an instance type."""

    has_nvidia_gpu: bool
    #: The most network interfaces it may have.
    interfaces: int
    #: IPv4 addresses, the interface's own included.
    addresses_per_interface: int


class Ec2(Protocol):
    """EC2's API in one region. AccessError where the role does not allow a call, TransientError where it may work later."""

    def instance_types(self, names: Iterable[str]) -> Mapping[str, InstanceTypeAnswer]:
        """Return what is known of these types; one that EC2 does not know is missing."""
        ...

    def assign_ipv6_prefix(self, interface_id: str) -> str:
        """Give a network interface one more IPv6 prefix, and return it."""
        ...


class AutoScaling(Protocol):
    """Auto Scaling's API in one region. AccessError where the role does not allow a call, TransientError where it may work later."""

    def complete_lifecycle_action(self, *, group: str, hook: str, instance_id: str) -> bool:
        """Let an instance go on that waits in a hook; return whether it waited."""
        ...
