"""Names in the block of /etc/hosts that kops' tools manage."""

from __future__ import annotations

from dataclasses import dataclass, replace

from agents.errors import NotFoundError
from agents.host.protocol import Host
from agents.hosts_file import KOPS_BEGIN, KOPS_END, host_lines, replace_block
from nodeup.resources.protocol import RunContext

PATH = "/etc/hosts"


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

    def read(self, host: Host, context: RunContext) -> HostsBlock | None:
        """Return the records that the block has; the desired ones, unsorted as they are, where the block says just these."""
        text = _hosts_text(host)
        if self.wanted_text(text) == text:
            return self
        records = _records_of(text)
        return replace(self, records=records) if records else None

    def apply(self, host: Host, context: RunContext, actual: HostsBlock | None) -> None:
        """Rewrite the block in place: /etc/hosts may be bind-mounted into containers."""
        text = _hosts_text(host)
        wanted = self.wanted_text(text).encode()
        if host.stat(PATH) is None:
            host.write(PATH, wanted, mode=0o644)
        else:
            host.write_in_place(PATH, wanted)

    def wanted_text(self, text: str) -> str:
        """Return the whole file with this block; lines outside of it are kept as they are."""
        return replace_block(text, begin=KOPS_BEGIN, end=KOPS_END, lines=self.lines())

    def lines(self) -> tuple[str, ...]:
        """Return the block's lines: an address, a tab, its names; both sorted, as kops writes them."""
        names: dict[str, list[str]] = {}
        for record in self.records:
            names.setdefault(record.hostname, []).extend(record.addresses)
        return host_lines(names)


def _hosts_text(host: Host) -> str:
    try:
        return host.read(PATH).decode(errors="surrogateescape")
    except NotFoundError:
        return ""


def _records_of(text: str) -> tuple[HostRecord, ...]:
    """Return the records of the block, for showing a difference; nothing where the markers are missing."""
    if KOPS_BEGIN not in text or KOPS_END not in text:
        return ()
    addresses: dict[str, list[str]] = {}
    for line in text.split(KOPS_BEGIN, 1)[1].split(KOPS_END, 1)[0].splitlines():
        address, *names = line.split() or [""]
        for name in names:
            addresses.setdefault(name, []).append(address)
    return tuple(HostRecord(hostname=name, addresses=tuple(found)) for name, found in sorted(addresses.items()))
