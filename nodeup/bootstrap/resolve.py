"""From kops-controller's name to its addresses, and whether they are worth a connection."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence

#: What kops writes into DNS before the control plane has published its own addresses (kops#13236 and many more).
PLACEHOLDERS = frozenset({ipaddress.ip_address("203.0.113.123"), ipaddress.ip_address("fd00:dead:add::")})

#: From a name and a port to addresses, best first; nothing where the name is not known.
Resolver = Callable[[str, int], tuple[str, ...]]


def resolve(name: str, port: int) -> tuple[str, ...]:
    """Return what the system's resolver, /etc/hosts included, says of a name; an address is itself."""
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except OSError:
        return ()
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def usable(addresses: Sequence[str]) -> tuple[str, ...]:
    """Return the addresses that are not placeholders."""
    return tuple(address for address in addresses if ipaddress.ip_address(address.split("%")[0]) not in PLACEHOLDERS)


def reason_to_wait(name: str, addresses: Sequence[str]) -> str | None:
    """Return why a name is of no use yet, as a sentence; None where there is an address to connect to."""
    if not addresses:
        return f"{name} has no address yet: DNS does not know the name, and /etc/hosts does not have it"
    if not usable(addresses):
        return f"{name} has only the placeholder {', '.join(addresses)}: the control plane has not published its addresses in DNS yet"
    return None
