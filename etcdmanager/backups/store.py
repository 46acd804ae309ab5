"""The backups in a backup store: what lies there, and reading, adding and deleting single ones.

A backup exists when its metadata does; data without it is an orphan of an interrupted capture, never listed, and deleted after a day. The
control store inside (`control/`) is none of our business. Methods block, as a Store does.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from agents.errors import NotFoundError, RefusedError, SpecError, VerificationError
from agents.stores.protocol import Entry, Store
from etcdmanager.backups.encryption import KeySource, no_keys, unsealed
from etcdmanager.backups.manifest import MANIFEST, Manifest, parse_manifest, render_manifest
from etcdmanager.backups.meta import META, SNAPSHOT, BackupMeta, parse_meta, render_meta
from etcdmanager.backups.name import BackupName, checked
from etcdmanager.backups.retention import Retention, to_delete

log = logging.getLogger(__name__)

#: Pins a backup against retention; empty, and ours alone.
KEEP = "_keep.json"
#: How far ahead of the store's clock ours may be before it is not believed.
CLOCKS_MAY_DIFFER = timedelta(hours=1)
#: No capture takes so long: the largest, 8 GiB at 10 MB/s, takes a quarter of an hour.
ORPHAN_AFTER = timedelta(days=1)
#: Rule S6.
_LAST_VERIFIED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A backup as a listing shows it, before any of its documents is read."""

    text: str
    #: None for a name that does not parse; such a backup is usable all the same.
    name: BackupName | None
    #: Compressed; 0 where the data is missing, which makes it useless.
    size_bytes: int
    has_manifest: bool
    #: Whether it is pinned.
    kept: bool
    modified: datetime

    @property
    def taken_at(self) -> datetime:
        """When it was taken: by its name, else when its metadata was written."""
        return self.name.taken_at if self.name else self.modified


class BackupStore:
    """One backup store, by URL; `keys` say with what its snapshots are encrypted, by default with nothing."""

    def __init__(self, store: Store, *, keys: KeySource = no_keys) -> None:
        self.store = store
        self.keys = keys

    @property
    def url(self) -> str:
        """The URL, for messages."""
        return self.store.url

    def list(self) -> tuple[Listed, ...]:
        """Return all backups, oldest first; one listing, and nothing is read."""
        return _backups_in(self.store.list())

    def meta(self, name: str) -> BackupMeta:
        """Return what the Go tools know of a backup; NotFoundError for one that does not exist, VerificationError for a damaged one."""
        key = f"{checked(name)}/{META}"
        content = self.store.read(key)
        try:
            return parse_meta(content, where=f"{self.url}/{key}")
        except SpecError as error:
            hint = "no tool can restore it; choose another one (list-backups)"
            raise VerificationError(f"the metadata of backup {name} is damaged: {error}", code="backup-meta-damaged", hint=hint) from error

    def manifest(self, name: str) -> Manifest | None:
        """Return what we know of a backup; None where it has no manifest, or one that does not parse: it is a hint, no authority."""
        key = f"{checked(name)}/{MANIFEST}"
        try:
            return parse_manifest(self.store.read(key), where=f"{self.url}/{key}")
        except (NotFoundError, SpecError):
            return None

    def stream(self, name: str) -> Iterator[bytes]:
        """Yield the compressed snapshot as it is stored, encrypted or not; NotFoundError where it is missing."""
        return self.store.stream(f"{checked(name)}/{SNAPSHOT}")

    def unsealed(self, name: str, stored: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the compressed snapshot that `stored` is; AccessError without its key, VerificationError where it was changed."""
        return unsealed(stored, self.keys(), where=f"backup {name}")

    def write_snapshot(self, name: str, pieces: Iterable[bytes]) -> None:
        """Store the compressed snapshot, already encrypted if it is to be. The backup does not exist yet: `commit` makes it one."""
        self.store.write(f"{checked(name)}/{SNAPSHOT}", pieces)

    def commit(self, name: str, meta: BackupMeta, manifest: Manifest) -> None:
        """Make a stored snapshot a backup. The metadata comes last: it is the commit mark for everybody."""
        self.write_manifest(name, manifest)
        self.store.write(f"{checked(name)}/{META}", render_meta(meta))

    def write_manifest(self, name: str, manifest: Manifest) -> None:
        """Replace what we know of a backup."""
        self.store.write(f"{checked(name)}/{MANIFEST}", render_manifest(manifest))

    def pin(self, name: str) -> None:
        """Keep a backup whatever retention says; NotFoundError where there is none of that name."""
        self.meta(name)
        self.store.write(f"{checked(name)}/{KEEP}", b"{}\n")

    def unpin(self, name: str) -> None:
        """Let retention decide again."""
        self.store.delete(f"{checked(name)}/{KEEP}")

    def delete(self, name: str) -> None:
        """Delete a backup, metadata first, so that half of one is never listed. RefusedError for the last verified ones (rule S6)."""
        self.forbid_last_verified(name)
        self.discard(name)

    def discard(self, name: str) -> None:
        """Delete everything of that name without asking: what an interrupted capture left."""
        entries = self.store.list(checked(name))
        for entry in sorted(entries, key=lambda entry: not entry.key.endswith(f"/{META}")):
            self.store.delete(entry.key)

    def forbid_last_verified(self, name: str) -> None:
        """Raise RefusedError where `name` is one of the last verified backups."""
        if name in {kept.text for kept in self.verified(self.list(), at_most=_LAST_VERIFIED)}:
            raise RefusedError(
                f"{name} is one of the last {_LAST_VERIFIED} verified backups; these are never deleted", code="S6-last-verified-backups"
            )

    def verified(self, listed: Sequence[Listed], *, at_most: int) -> tuple[Listed, ...]:
        """Return the newest of `listed` that were proven good, newest first; reads manifests only until it has `at_most`."""
        found: list[Listed] = []
        for backup in reversed(listed):
            if len(found) == at_most:
                break
            manifest = self.manifest(backup.text) if backup.has_manifest else None
            if manifest is not None and manifest.verified:
                found.append(backup)
        return tuple(found)

    def expired(self, now: datetime, keep: Retention, *, protected: Iterable[str] = ()) -> tuple[str, ...]:
        """Return the names that retention would delete now, oldest first. Pinned ones and `protected` are not among them.

        A clock that is far ahead would delete nearly all: it is believed only as far as the store's own, which is known by what
        was written last. While managers run that is their lock, a few seconds ago.
        """
        entries = self.store.list()
        now = min(now, max((entry.modified for entry in entries), default=now) + CLOCKS_MAY_DIFFER)
        listed = _backups_in(entries)
        names = [backup.name for backup in listed if backup.name is not None]
        if not to_delete(names, now, keep):
            return ()
        good = [backup.name for backup in self.verified(listed, at_most=keep.keep_verified) if backup.name is not None]
        pinned = [backup.text for backup in listed if backup.kept]
        return tuple(name.text for name in to_delete(names, now, keep, verified=good, protected=[*pinned, *protected]))

    def orphans(self) -> tuple[str, ...]:
        """Return the names under which interrupted captures left data without metadata, a day ago or earlier, oldest first.

        Times are the store's own, by what was written last in it: no clock of a machine makes a capture that is under way an orphan. What
        holds a file that we do not know, or has a name that no backup has, is not ours to judge.
        """
        entries = self.store.list()
        newest = max((entry.modified for entry in entries), default=datetime.min.replace(tzinfo=UTC))
        return tuple(
            name
            for name, files in sorted(_by_name(entries).items())
            if BackupName.parse(name) is not None and _is_orphan(files) and newest - max(f.modified for f in files.values()) > ORPHAN_AFTER
        )

    def discard_orphan(self, name: str) -> bool:
        """Delete what `orphans` named; return False, and do nothing, where it is a backup by now, or something else than an orphan."""
        files = {entry.key.rpartition("/")[2]: entry for entry in self.store.list(checked(name))}
        if not _is_orphan(files):
            return False
        self.discard(name)
        log.info("deleted what an interrupted capture left of backup %s: %d bytes", name, sum(file.size_bytes for file in files.values()))
        return True

    def resolve(self, wanted: str) -> Listed:
        """Return the backup that an operator means: a name, `latest` or `oldest`; NotFoundError that names the nearest ones."""
        return choose(wanted, self.list(), where=self.url)


def choose(wanted: str, listed: Sequence[Listed], *, where: str) -> Listed:
    """Return which of `listed` an operator means by a name, a beginning that only one has, `latest` or `oldest`; pure."""
    if not listed:
        raise NotFoundError(f"{where} holds no backups", code="backup-not-found", hint="check --state and --name, or --backup-store")
    if wanted in {"latest", "oldest"}:
        return listed[-1 if wanted == "latest" else 0]
    exact = [backup for backup in listed if backup.text == checked(wanted)]
    beginning = exact or [backup for backup in listed if backup.text.startswith(wanted)]
    if len(beginning) == 1:
        return beginning[0]
    names = [backup.text for backup in listed]
    near = [backup.text for backup in beginning[:3]] or difflib.get_close_matches(wanted, names, n=3, cutoff=0.0)
    problem = "is ambiguous" if beginning else "does not exist"
    raise NotFoundError(f"backup {wanted!r} {problem} in {where}; the nearest are {', '.join(near)}", code="backup-not-found")


def _by_name(entries: Iterable[Entry]) -> dict[str, dict[str, Entry]]:
    """Return the files of each directory that lies directly in the store, by their names."""
    found: dict[str, dict[str, Entry]] = {}
    for entry in entries:
        directory, _, file = entry.key.rpartition("/")
        if directory and "/" not in directory:
            found.setdefault(directory, {})[file] = entry
    return found


def _backups_in(entries: Iterable[Entry]) -> tuple[Listed, ...]:
    return tuple(_listed(text, files) for text, files in sorted(_by_name(entries).items()) if META in files)


def _is_orphan(files: Collection[str]) -> bool:
    """Return whether these are the files of a capture that did not come to its metadata."""
    return bool(files) and set(files) <= {SNAPSHOT, MANIFEST, KEEP}


def _listed(text: str, files: dict[str, Entry]) -> Listed:
    data = files.get(SNAPSHOT)
    return Listed(
        text=text,
        name=BackupName.parse(text),
        size_bytes=data.size_bytes if data else 0,
        has_manifest=MANIFEST in files,
        kept=KEEP in files,
        modified=files[META].modified,
    )
