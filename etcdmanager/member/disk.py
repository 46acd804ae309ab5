"""The member's data directory: what lies in it, and the moves that steps ask for.

It decides nothing; every move is one rename, or may be repeated.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass

from agents.errors import NotFoundError
from agents.host.os_errors import os_errors
from agents.host.protocol import FileKind, Host
from etcdmanager.member.layout import INCOMING_PREFIX, UNFINISHED_PREFIX, UNFINISHED_SUFFIX, Layout
from etcdmanager.member.state import DamagedState, KeptState, StateFile
from etcdmanager.member.trash import TrashEntry, bare_token, free_name, to_delete
from etcdmanager.peering.messages import DiskReport

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskView:
    """Names in the data directory: data directories by token (those with a log of etcd again in `logged`), prepared data, trash.

    `unfinished` are tokens for which a preparation is, or was, at work.
    """

    data: frozenset[str]
    logged: frozenset[str]
    incoming: frozenset[str]
    unfinished: frozenset[str]
    trash: frozenset[str]


class MemberDisk:
    """The data directory of one member."""

    def __init__(self, host: Host, layout: Layout) -> None:
        self._host = host
        self._layout = layout

    def view(self) -> DiskView:
        """Return what lies there. AccessError and TransientError come through: what cannot be read is not empty."""
        names = self._names(self._layout.data)
        data = frozenset(name for name in names if not name.startswith("."))
        return DiskView(
            data=data,
            logged=frozenset(token for token in data if self._has_log(token)),
            incoming=frozenset(name.removeprefix(INCOMING_PREFIX) for name in names if name.startswith(INCOMING_PREFIX)),
            unfinished=frozenset(
                name.removeprefix(UNFINISHED_PREFIX).removesuffix(UNFINISHED_SUFFIX) for name in names if name.startswith(UNFINISHED_PREFIX)
            ),
            trash=frozenset(self._names(self._layout.trash)),
        )

    def report(self, *, trash_bytes: int = 0) -> DiskReport:
        """Return what a leader is told, with the room that is left."""
        view = self.view()
        room = self._room()
        return DiskReport(
            has_state=self._host.stat(self._layout.state) is not None,
            data_tokens=tuple(sorted(view.data)),
            trash=tuple(sorted(view.trash)),
            incoming=tuple(sorted(view.incoming)),
            free_bytes=room.f_bavail * room.f_frsize,
            total_bytes=room.f_blocks * room.f_frsize,
            trash_bytes=trash_bytes,
        )

    def is_empty(self) -> bool:
        """Return whether the Go program would call this disk empty: no state, and nothing in data and trash."""
        nothing = not self._names(self._layout.data) and not self._names(self._layout.trash)
        return nothing and self._host.stat(self._layout.state) is None

    def archive(self, token: str) -> str:
        """Move a data directory to the trash and return its name there; nothing happens where it is gone already."""
        source = self._layout.data_of(token)
        if self._host.stat(source) is None:
            return token
        self._host.make_directory(self._layout.trash)
        name = free_name(token, self._names(self._layout.trash))
        self._host.rename(source, f"{self._layout.trash}/{name}")
        log.info("moved data of cluster %s to %s/%s", token, self._layout.trash, name)
        return name

    def swap_in(self, token: str) -> None:
        """Make prepared data the data directory, in one rename."""
        self._host.rename(self._layout.incoming_of(token), self._layout.data_of(token))
        log.info("swapped in the restored data of cluster %s", token)

    def drop_incoming(self, token: str) -> None:
        """Delete prepared data."""
        self._delete(self._layout.unfinished_of(token))
        self._delete(self._layout.incoming_of(token))
        log.info("deleted prepared data of cluster %s", token)

    def prepare_data(self) -> None:
        """Make the directory of data directories; etcd makes its own below with 0700."""
        if self._host.stat(self._layout.data) is None:
            self._host.make_directory(self._layout.data, mode=0o700)

    def collect_trash(self, *, keep: int, free_bytes_wanted: int) -> tuple[str, ...]:
        """Delete the oldest trash beyond the newest `keep`, and the keys of what is gone; return the trash's names.

        See `etcdmanager.member.trash` for the rule.
        """
        entries = self.trash_entries()
        room = self._room()
        doomed = to_delete(entries, keep=keep, free_bytes=room.f_bavail * room.f_frsize, free_bytes_wanted=free_bytes_wanted)
        for entry in doomed:
            self._delete(f"{self._layout.trash}/{entry.name}")
            log.info("deleted %s/%s (%d bytes, of %s)", self._layout.trash, entry.name, entry.size_bytes, entry.modified_ns)
        self._collect_certificates()
        return tuple(entry.name for entry in doomed)

    def _collect_certificates(self) -> None:
        """Delete the certificates and keys of incarnations of which nothing lies here any more; none where the state cannot be read."""
        stored = StateFile(self._host, self._layout).read()
        if isinstance(stored, DamagedState):
            return
        view = self.view()
        wanted = view.data | view.incoming | view.unfinished | {bare_token(name) for name in view.trash} | view.trash
        if isinstance(stored, KeptState) and stored.state.cluster is not None:
            wanted |= {stored.state.cluster.token}
        for token in self._names(self._layout.pki):
            if token not in wanted:
                self._delete(f"{self._layout.pki}/{token}")
                log.info("deleted %s/%s: nothing of that cluster lies here any more", self._layout.pki, token)

    def trash_entries(self) -> tuple[TrashEntry, ...]:
        """Return what is in the trash, with sizes; it walks the directories."""
        entries = []
        for name in self._names(self._layout.trash):
            path = f"{self._layout.trash}/{name}"
            stat = self._host.stat(path)
            if stat is not None:
                entries.append(TrashEntry(name=name, modified_ns=stat.mtime_ns, size_bytes=self._size(path)))
        return tuple(entries)

    def _room(self) -> os.statvfs_result:
        with os_errors("look at", self._layout.base):
            return os.statvfs(self._host.local_path(self._layout.base))

    def _names(self, path: str) -> tuple[str, ...]:
        try:
            return self._host.list(path)
        except NotFoundError:
            return ()

    def _has_log(self, token: str) -> bool:
        return any(name.endswith(".wal") for name in self._names(f"{self._layout.data}/{token}/member/wal"))

    def _size(self, path: str) -> int:
        stat = self._host.stat(path)
        if stat is None:
            return 0
        if stat.kind is not FileKind.DIRECTORY:
            return stat.size_bytes
        return sum(self._size(f"{path}/{name}") for name in self._names(path))

    def _delete(self, path: str) -> None:
        stat = self._host.stat(path)
        if stat is not None and stat.kind is FileKind.DIRECTORY:
            for name in self._names(path):
                self._delete(f"{path}/{name}")
        self._host.remove(path)
