"""Names in the block of /etc/hosts that kops' tools manage."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRecord:
    """A name and the addresses that it resolves to."""

    hostname: str
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostsBlock:
    """The managed block holds exactly these records."""

    name: str
    records: tuple[HostRecord, ...]

    @property
    def id(self) -> str:
        """The unique name."""
        return f"hosts:{self.name}"
