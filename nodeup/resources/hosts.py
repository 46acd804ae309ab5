"""Names in the block of /etc/hosts that kops' tools manage."""

from __future__ import annotations

from dataclasses import dataclass, replace

from agents.errors import NotFoundError
from agents.host.protocol import Host
from nodeup.resources.protocol import RunContext

PATH = "/etc/hosts"
#: kops' own marker lines; other tools of kops look for them.
BEGIN = "# Begin host entries managed by kops - do not edit"
END = "# End host entries managed by kops"


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
        from agents.hosts_file import replace_block

        return replace_block(text, begin=BEGIN, end=END, lines=self.lines())

    def lines(self) -> tuple[str, ...]:
        """Return the block's lines: an address, a tab, its names; both sorted, as kops writes them."""
        names: dict[str, set[str]] = {}
        for record in self.records:
            for address in record.addresses:
                names.setdefault(address, set()).add(record.hostname)
        return tuple(f"{address}\t{' '.join(sorted(names[address]))}" for address in sorted(names))


def _hosts_text(host: Host) -> str:
    try:
        return host.read(PATH).decode(errors="surrogateescape")
    except NotFoundError:
        return ""


def _records_of(text: str) -> tuple[HostRecord, ...]:
    """Return the records of the block, for showing a difference; nothing where the markers are missing."""
    if BEGIN not in text or END not in text:
        return ()
    addresses: dict[str, list[str]] = {}
    for line in text.split(BEGIN, 1)[1].split(END, 1)[0].splitlines():
        address, *names = line.split() or [""]
        for name in names:
            addresses.setdefault(name, []).append(address)
    return tuple(HostRecord(hostname=name, addresses=tuple(found)) for name, found in sorted(addresses.items()))
