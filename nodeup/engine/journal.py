"""What an interrupted run must be reminded of: actions begun and not seen to end, and files' digests.

A marker is written durably before the first effect of an action of several steps ("write a file, then run a command")
and removed after the last. Reading a resource that has a marker says that it differs, so the next run completes it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import posixpath
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from agents.errors import AccessError, NotFoundError
from agents.host.protocol import FileStat, Host
from nodeup.resources.protocol import STATE_DIRECTORY

log = logging.getLogger(__name__)

JOURNAL = f"{STATE_DIRECTORY}/journal"
DIGESTS = f"{STATE_DIRECTORY}/digests.json"
#: A file that changed this recently may change again within the same time stamp; its digest is not remembered (git's "racily clean").
RACY_NS = 2_000_000_000


#: Linux' own limit.
MOST_SYMLINKS = 40


class Journal:
    """The markers of actions in progress."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def is_pending(self, resource: str) -> bool:
        """Return whether an action on the resource was begun and not ended."""
        return self._host.stat(self._path(resource)) is not None

    def begin(self, resource: str, what: str) -> None:
        """Record that an action begins; it is on disk when this returns."""
        content = json.dumps({"resource": resource, "what": what}).encode() + b"\n"
        self._host.write(self._path(resource), content, mode=0o600)

    def end(self, resource: str) -> None:
        """Forget the action."""
        self._host.remove(self._path(resource))

    def forget_others(self, resources: Iterable[str]) -> None:
        """Forget actions on resources that are not among these: the plan has none of them any more, so nobody completes them."""
        kept = {self._path(resource) for resource in resources}
        try:
            names = self._host.list(JOURNAL)
        except NotFoundError:
            return
        for path in sorted({f"{JOURNAL}/{name}" for name in names} - kept):
            log.info(
                "forgot an interrupted action on what is not planned any more: %s", self._host.read(path).decode(errors="replace").strip()
            )
            self._host.remove(path)

    @staticmethod
    def _path(resource: str) -> str:
        return f"{JOURNAL}/{hashlib.sha256(resource.encode()).hexdigest()[:24]}.json"


@dataclass(frozen=True, slots=True)
class _Known:
    """A digest with the state of the file that it is of."""

    size_bytes: int
    mtime_ns: int
    inode: int
    sha256: str

    def is_of(self, stat: FileStat) -> bool:
        return (self.size_bytes, self.mtime_ns, self.inode) == (stat.size_bytes, stat.mtime_ns, stat.inode)


class Digests:
    """SHA-256 of files, computed once for each state of a file; `trusting=False` computes them always (verify).

    Hashing kubelet, containerd and etcd takes half a second a run, which is most of a run where nothing changed.
    """

    def __init__(self, host: Host, *, trusting: bool = True) -> None:
        self._host = host
        self._trusting = trusting
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = _load(host) if trusting else {}
        self._changed = False

    def digest(self, path: str) -> str:
        """Return the digest of a file; NotFoundError where there is none. Symlinks are followed."""
        path, stat = self._followed(path)
        if stat is None:
            raise NotFoundError(f"{path} does not exist")
        known = self._known.get(path)
        if self._trusting and known is not None and known.is_of(stat):
            return known.sha256
        hasher = hashlib.sha256()
        for piece in self._host.read_chunks(path):
            hasher.update(piece)
        if time.time_ns() - stat.mtime_ns > RACY_NS:
            with self._lock:
                self._known[path] = _Known(stat.size_bytes, stat.mtime_ns, stat.inode, hasher.hexdigest())
                self._changed = True
        return hasher.hexdigest()

    def _followed(self, path: str) -> tuple[str, FileStat | None]:
        stat = self._host.stat(path)
        for _ in range(MOST_SYMLINKS):
            if stat is None or stat.target is None:
                break
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), stat.target))
            stat = self._host.stat(path)
        return path, stat

    def save(self) -> None:
        """Write what was learned; the next run starts with it."""
        if self._changed:
            document = {path: [k.size_bytes, k.mtime_ns, k.inode, k.sha256] for path, k in sorted(self._known.items())}
            self._host.write(DIGESTS, json.dumps(document, indent=0).encode() + b"\n", mode=0o600)


def _load(host: Host) -> dict[str, _Known]:
    try:
        document = json.loads(host.read(DIGESTS))
        return {str(path): _Known(int(entry[0]), int(entry[1]), int(entry[2]), str(entry[3])) for path, entry in document.items()}
    except (AccessError, NotFoundError, ValueError, AttributeError, IndexError, TypeError):
        return {}
