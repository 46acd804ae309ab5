"""Looking at the backup store. It reads, and tries its permissions with one object of its own below control/_doctor/, which it deletes."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from agents.diagnosis import NOT_LOOKED_AT, Observed, Unknown, attempt
from agents.errors import AccessError, AgentError, NotFoundError, VerificationError
from agents.stores.protocol import Store
from etcdmanager.backups.freshness import Seen, Verdict, verdict
from etcdmanager.backups.store import BackupStore
from etcdmanager.commands.cluster_status import STALE_AFTER, ClusterReport, read_report
from etcdmanager.control.drills import DrillFile
from etcdmanager.control.history import History
from etcdmanager.control.store import CONTROL, ControlStore
from etcdmanager.doctor.view import LastDrill, Marker, ProbeStep, StoreView
from etcdmanager.leadership.claim import LockRecord
from etcdmanager.leadership.lock import LOCK_KEY, decode

#: Twice kops' interval of 15 minutes, and the time that a large backup takes.
BACKUP_AGE = timedelta(minutes=40)
_PROBES = "_doctor"
_LEFT_BEHIND = timedelta(hours=1)
_TELLER = "_status.json"


def look_at_store(store: Store, etcd: str, *, now: Callable[[], datetime], probe: bool) -> StoreView:
    """Return the view; with `probe`, permissions are tried by writing."""
    control, backups = ControlStore(store), BackupStore(store)
    looked = attempt(control.observe)
    if isinstance(looked, Unknown):
        # Everything else would say the same again, and each attempt takes its time.
        return StoreView(url=store.url, control=looked)
    report = attempt(lambda: read_report(store, etcd))
    told_at = None if isinstance(report, Unknown) else report.told_at
    tried = _probe(store.child(CONTROL), now) if probe else None
    return StoreView(
        url=store.url,
        control=looked,
        probe=tried.steps if tried is not None else NOT_LOOKED_AT,
        clock_ahead=tried.ahead if tried is not None else NOT_LOOKED_AT,
        teller_ahead=_teller_ahead(store, report),
        spec=attempt(control.spec),
        marker=attempt(lambda: _marker(control)),
        lock=attempt(lambda: _lock(store.child(CONTROL))),
        report=report,
        backups=attempt(lambda: _backups(backups, told_at, now())),
        leaderships=attempt(lambda: _leaderships(store, now())),
        drill=attempt(lambda: _drill(store.child(CONTROL))),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tried:
    steps: tuple[ProbeStep, ...]
    ahead: Observed[timedelta]


def _probe(control: Store, now: Callable[[], datetime]) -> _Tried:
    """Write, read, list and delete one small object; a step that fails does not keep the next from being tried."""
    key, content = f"{_PROBES}/{secrets.token_hex(8)}", secrets.token_bytes(16)
    ahead: list[timedelta] = []
    #: What a doctor left that was interrupted.
    left: list[str] = []

    def read() -> None:
        if control.read(key) != content:
            raise VerificationError("what was written is not what is read")

    def listed() -> None:
        entries = control.list(_PROBES)
        left.extend(entry.key for entry in entries if entry.key != key and written_at - entry.modified > _LEFT_BEHIND)
        entry = next((entry for entry in entries if entry.key == key), None)
        if entry is None:
            raise NotFoundError("what was written is not listed")
        ahead.append(written_at - entry.modified)

    def delete() -> None:
        for one in (key, *left):
            control.delete(one)

    written_at = now()
    steps = list(_steps([("write", lambda: control.write(key, content)), ("read", read), ("list", listed)]))
    if not steps[0].error:
        steps += _steps([("delete", delete)])
    return _Tried(steps=tuple(steps), ahead=ahead[0] if ahead else NOT_LOOKED_AT)


def _steps(tries: list[tuple[str, Callable[[], None]]]) -> Iterator[ProbeStep]:
    for name, do in tries:
        try:
            do()
        except AgentError as error:
            yield ProbeStep(name=name, error=str(error), denied=isinstance(error, AccessError))
            if name == "write":
                return
        else:
            yield ProbeStep(name=name)


def _teller_ahead(store: Store, report: Observed[ClusterReport]) -> Observed[timedelta]:
    """Return how far the clock of whoever told the status is ahead of the store's."""
    if isinstance(report, Unknown) or report.told_at is None:
        return NOT_LOOKED_AT
    told_at = report.told_at

    def difference() -> timedelta | None:
        entry = next((one for one in store.child(CONTROL).list() if one.key == _TELLER), None)
        return told_at - entry.modified if entry is not None else None

    found = attempt(difference)
    return NOT_LOOKED_AT if found is None else found


def _marker(control: ControlStore) -> Marker:
    try:
        return Marker.PRESENT if control.is_created() else Marker.MISSING
    except VerificationError:
        return Marker.EMPTY


def _lock(control: Store) -> LockRecord | None:
    try:
        return decode(control.read(LOCK_KEY))
    except NotFoundError:
        return None


def _backups(backups: BackupStore, told_at: datetime | None, now: datetime) -> Verdict:
    listed = backups.list()
    good = {backup.text for backup in backups.verified(listed, at_most=1)}
    seen = [Seen(name=backup.text, taken_at=backup.taken_at, verified=backup.text in good) for backup in listed]
    return verdict(seen, told_at=told_at, now=now, max_age=BACKUP_AGE, stale_after=STALE_AFTER)


def _leaderships(store: Store, now: datetime) -> tuple[datetime, ...]:
    events = History(store).events(since=now - timedelta(hours=1))
    return tuple(event.at for event in events if event.what == "leadership" and event.text.endswith(" leads"))


def _drill(control: Store) -> LastDrill | None:
    found = DrillFile(control).read()
    return LastDrill(at=found.at, backup=found.backup, problem=found.problem) if found is not None else None
