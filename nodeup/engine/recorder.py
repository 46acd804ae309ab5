"""Writes down what a step is about to change: how it was goes into the history before the first byte of it is touched."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace

from agents.errors import NotFoundError
from agents.host.protocol import FileKind, Host
from nodeup.engine.diff import Difference
from nodeup.engine.graph import Step
from nodeup.engine.history import Change, Run, write_change, write_run
from nodeup.resources.archive import ArchiveMembers
from nodeup.resources.content import Content, Found, FromAsset
from nodeup.resources.file import File, Symlink, content_bytes
from nodeup.resources.former import VERSIONS, FormerFile, FormerUnit, Version, link_signature
from nodeup.resources.image import ImageFiles
from nodeup.resources.protocol import RunContext
from nodeup.resources.unit import Unit

#: Smaller files are read whole; of larger ones the remembered digest is believed, and checked when they are put back.
_SMALL_BYTES = 1 << 20


class Recorder:
    """The history of one run, while it runs; safe for several threads. `run` has its changes only once they are read again."""

    def __init__(self, host: Host, run: Run) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._is_written = False
        self.run = run

    def before(self, step: Step, difference: Difference, context: RunContext) -> None:
        """Record what the step is about to change; it is on disk when this returns."""
        for change in changes_of(step, difference, self._host, context):
            kept = replace(change, before=self._keep(change.path, context)) if change.path else change
            self._begin()
            write_change(self._host, self.run, kept)

    def end(self, *, complete: bool) -> None:
        """Record how the run ended; a run that changed nothing leaves nothing."""
        self.run = replace(self.run, complete=complete)
        if self._is_written:
            write_run(self._host, self.run)

    @property
    def has_changes(self) -> bool:
        """Whether the run changed anything so far."""
        return self._is_written

    def _begin(self) -> None:
        with self._lock:
            if not self._is_written:
                self._host.make_directory(VERSIONS, mode=0o700)
                write_run(self._host, self.run)
                self._is_written = True

    def _keep(self, path: str, context: RunContext) -> Version | None:
        """Keep what stands at a path, and return how to find it; None where there is no file and no symlink."""
        stat = self._host.stat(path)
        if stat is None or stat.kind not in {FileKind.FILE, FileKind.SYMLINK}:
            return None
        if stat.target is not None:
            return Version(target=stat.target, mode=stat.mode, owner=stat.owner, group=stat.group)
        self._begin()
        if stat.size_bytes <= _SMALL_BYTES:
            content = self._host.read(path)
            digest = hashlib.sha256(content).hexdigest()
            if self._host.stat(f"{VERSIONS}/{digest}") is None:
                self._host.write(f"{VERSIONS}/{digest}", content, mode=0o600)
        else:
            digest = context.digest(path)
            if self._host.stat(f"{VERSIONS}/{digest}") is None:
                self._host.install(path, f"{VERSIONS}/{digest}", mode=0o600)
        return Version(sha256=digest, mode=stat.mode, owner=stat.owner, group=stat.group)


def changes_of(step: Step, difference: Difference, host: Host, context: RunContext) -> Iterator[Change]:
    """Yield what applying a step changes that can be taken back: files, symlinks and units; without what was there before.

    Not among them: packages, users, mounts, images, the block in /etc/hosts (protokube's, too), and what is only our own state.
    """
    match step:
        case File():
            after = _signature_of(step.content, context)
            yield Change(id=step.id, path=step.path, after=after, owned=not step.only_if_absent, on_change=step.on_change)
        case Symlink():
            yield Change(id=step.id, path=step.path, after=link_signature(step.target), owned=True)
        case Unit():
            yield _unit_change(step, difference, context)
        case ArchiveMembers():
            changing = step.differing_members(host, context)
            yield from (Change(id=step.id, path=step.destination(member), after=member.sha256) for member in changing)
        case ImageFiles():
            yield from (Change(id=step.id, path=step.destination(path)) for path in step.paths)
        case FormerFile():
            after = step.version.signature if step.version is not None else ""
            yield Change(id=step.id, path=step.path, after=after, owned=step.owned, on_change=step.on_change)
        case FormerUnit():
            found = difference.actual.found if isinstance(difference.actual, FormerUnit) else ""
            yield Change(
                id=step.id,
                path=step.path,
                unit=step.name,
                after=step.version.signature if step.version is not None else "",
                owned=True,
                was_enabled="it is enabled" in found,
                was_running="it runs" in found,
            )
        case _:
            return


def _unit_change(unit: Unit, difference: Difference, context: RunContext) -> Change:
    actual = difference.actual if isinstance(difference.actual, Unit) else None
    return Change(
        id=unit.id,
        path=unit.path(context) if unit.definition is not None else "",
        unit=unit.full_name,
        after=hashlib.sha256(unit.definition.encode()).hexdigest() if unit.definition is not None else "",
        owned=unit.definition is not None or unit.is_instance,
        was_enabled=bool(actual and actual.enabled) if unit.enabled is not None else None,
        was_running=bool(actual and actual.running) if unit.running is not None else None,
    )


def _signature_of(content: Content | Found, context: RunContext) -> str:
    """Return the digest of what a file is going to hold; "" where that is not known yet."""
    if isinstance(content, FromAsset):
        return context.asset_digest(content.key, content.path) or ""
    try:
        return hashlib.sha256(content_bytes(content, context)).hexdigest()
    except NotFoundError:
        return ""
