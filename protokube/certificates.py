"""Which certificates of this node expire when. It only looks; renewing is a later issue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from agents.errors import AgentError, ConflictError, NotFoundError
from agents.host.protocol import FileKind, Host

#: Where nodeup and kubelet keep them.
DIRECTORIES = ("/srv/kubernetes", "/etc/kubernetes/pki", "/var/lib/kubelet/pki", "/var/lib/kube-proxy")
#: Two weekends and a holiday: from then on it is a finding.
WARN_BEFORE = timedelta(days=14)
_SUFFIXES = (".crt", ".pem")
_DEPTH = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """When the certificate in a file ends."""

    path: str
    not_after: datetime


def expiries(host: Host) -> tuple[Expiry, ...]:
    """Return the certificates of this node, the next to expire first; files that hold no certificate are left out."""
    from agents.pki.expiry import not_after

    found = []
    for path in (path for directory in DIRECTORIES for path in _files(host, directory, _DEPTH)):
        try:
            found.append(Expiry(path=path, not_after=not_after(host.read(path))))
        except AgentError:
            continue
    return tuple(sorted(found, key=lambda one: (one.not_after, one.path)))


def _files(host: Host, directory: str, depth: int) -> Iterator[str]:
    try:
        names = host.list(directory)
    except (NotFoundError, ConflictError):
        return
    for name in names:
        path = f"{directory}/{name}"
        found = host.stat(path)
        if found is None:
            continue
        if found.kind is FileKind.DIRECTORY and depth > 1:
            yield from _files(host, path, depth - 1)
        elif found.kind is FileKind.FILE and name.endswith(_SUFFIXES):
            yield path
