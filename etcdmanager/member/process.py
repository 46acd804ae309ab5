"""One etcd process: started, watched, stopped, and taken over from a manager that is gone. It decides nothing about when.

etcd outlives its manager on purpose: a manager that crashes, is killed or upgraded must not cost the cluster a member. So
etcd is its own session, writes to a file instead of a pipe, gets no parent-death signal, and the manager's unit says
`KillMode=process`. The next manager finds it by `etcd.run.json`, which is believed only if boot, pid, start time and data
directory all agree, or else in /proc. Its end is noticed through a pidfd, which works for processes that are not our children.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agents.clock import Clock
from agents.documents import as_bool, as_int, as_mapping, as_str, dump_json, load_json
from agents.errors import NotFoundError, SpecError, TransientError
from agents.host.protocol import Host
from etcdmanager.member import proc
from etcdmanager.member.holders import is_anothers
from etcdmanager.member.step import SERVED

log = logging.getLogger(__name__)

#: What etcd is given to end: it hands raft leadership over, which takes up to an election time-out, and closes its database.
GRACE = timedelta(seconds=10)
#: For an etcd whose data goes to the trash. A raft leader whose followers stop too would wait 7 s for one to take over.
HURRY = timedelta(seconds=1)
#: After SIGKILL only a process in uninterruptible disk sleep is still there.
_AFTER_KILL = timedelta(seconds=5)
#: At a start, a log larger than this is put aside as `<log>.1`, for machines without logrotate.
LOG_LIMIT_BYTES = 64 << 20
_TAIL_BYTES = 16 << 10
_TAIL_LINES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What is known of a started etcd; kept in `etcd.run.json` for the next manager. `settings` is the digest of its command."""

    pid: int
    start_ticks: int
    boot_id: str
    started: datetime
    token: str
    version: str
    settings: str
    quarantined: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How an etcd ended: in words, with the last lines that it wrote, after how long."""

    reason: str
    lasted: timedelta
    last_lines: tuple[str, ...]


@dataclass(slots=True)
class _Running:
    record: RunRecord
    pidfd: int
    #: None for an adopted process, which the kernel's init reaps.
    child: subprocess.Popen[bytes] | None
    log_offset: int
    ended: asyncio.Event
    stopping: bool = False


class EtcdProcess:
    """At most one running etcd. All methods are to be called in the event loop; `on_exit` is called there when it ends by itself."""

    def __init__(self, *, host: Host, clock: Clock, run_file: str, log_file: str, on_exit: Callable[[], None]) -> None:
        self._host = host
        self._clock = clock
        self._run_file = run_file
        self._log_file = log_file
        self._on_exit = on_exit
        self._running: _Running | None = None
        self.last_exit: Exit | None = None
        self.last_exit_at: datetime | None = None
        #: Starts in a row that did not last; the step table makes pauses of it.
        self.failures = 0

    @property
    def record(self) -> RunRecord | None:
        """The etcd that runs, None while none does."""
        return self._running.record if self._running else None

    @property
    def adopted(self) -> bool:
        """Whether the running etcd was started by an earlier manager."""
        return self._running is not None and self._running.child is None

    def adopt(self, data_root: str) -> RunRecord | None:
        """Take over an etcd that an earlier manager of ours left running on our data; None where there is none.

        One that kops' manager supervises, or that runs in a container, is not taken over: it would be started again, or ended with it.
        One that the run file does not describe is found in /proc; its settings are unknown (""), so it will be restarted.
        """
        known = self._read_record()
        running = [found for found in proc.find_etcds(data_root) if not is_anothers(found)]
        for found in sorted(running, key=lambda item: known is None or not _same(known, item)):
            record = known if known is not None and _same(known, found) else _unknown_record(found, self._clock.now())
            for other in running:
                if other is not found:
                    log.warning("there is also an etcd on %s, pid %d; it is left alone", other.data_dir, other.pid)
            self._watch(record, child=None)
            if record is not known:
                self._write_record(record)
            log.info("adopted etcd %s of cluster %s, pid %d", record.version or "of unknown version", record.token, record.pid)
            return record
        return None

    def start(
        self, executable: str, environment: Mapping[str, str], *, token: str, version: str, settings: str, quarantined: bool
    ) -> RunRecord:
        """Start etcd; NotFoundError or TransientError where the system does not let us. Its output is appended to the log file."""
        self._rotate_log()
        try:
            with Path(self._host.local_path(self._log_file)).open("ab") as output:
                child = subprocess.Popen(
                    [executable],
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    cwd="/",
                )
        except FileNotFoundError as error:
            raise NotFoundError(f"cannot start {executable}: it is not there", code="etcd-binary-missing") from error
        except OSError as error:
            raise TransientError(f"cannot start {executable}: {error.strerror}", code="etcd-start") from error
        record = RunRecord(
            pid=child.pid,
            start_ticks=proc.start_ticks(child.pid) or 0,
            boot_id=proc.boot_id(),
            started=self._clock.now(),
            token=token,
            version=version,
            settings=settings,
            quarantined=quarantined,
        )
        self._write_record(record)
        self._watch(record, child=child)
        log.info("started etcd %s of cluster %s, pid %d%s", version, token, child.pid, ", in quarantine" if quarantined else "")
        return record

    async def stop(self, *, grace: timedelta = GRACE) -> None:
        """End etcd: SIGTERM, then SIGKILL after `grace`. Nothing happens where none runs. TransientError if it cannot be killed."""
        running = self._running
        if running is None:
            return
        running.stopping = True
        for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, _AFTER_KILL)):
            if not running.ended.is_set():
                log.info("sending %s to etcd, pid %d", number.name, running.record.pid)
                _signal(running.pidfd, number)
            if await _happens(running.ended, patience):
                return
        raise TransientError(f"etcd, pid {running.record.pid}, does not end even by SIGKILL: the disk may hang", code="etcd-unkillable")

    def let_go(self) -> None:
        """Stop watching; etcd runs on, and the next manager adopts it."""
        running, self._running = self._running, None
        if running is None:
            return
        _unwatch(running)
        if running.child is not None and running.child.returncode is None:
            # Popen would warn that it is still running, which is what we want of it.
            running.child.returncode = 0

    def log_tail(self) -> tuple[str, ...]:
        """Return the last lines that etcd wrote since it was started, oldest first."""
        return self._tail(self._running.log_offset if self._running else 0)

    def _watch(self, record: RunRecord, *, child: subprocess.Popen[bytes] | None) -> None:
        path = Path(self._host.local_path(self._log_file))
        offset = path.stat().st_size if path.exists() else 0
        running = _Running(record=record, pidfd=-1, child=child, log_offset=offset if child else 0, ended=asyncio.Event())
        self._running = running
        try:
            running.pidfd = os.pidfd_open(record.pid)
        except ProcessLookupError:
            asyncio.get_running_loop().call_soon(self._ended, running)
            return
        asyncio.get_running_loop().add_reader(running.pidfd, self._ended, running)

    def _ended(self, running: _Running) -> None:
        if running.ended.is_set():
            return
        _unwatch(running)
        status = running.child.wait() if running.child is not None else None
        lasted = self._clock.now() - running.record.started
        self.last_exit_at = self._clock.now()
        self.last_exit = Exit(reason=_reason(status), lasted=lasted, last_lines=self._tail(running.log_offset))
        if running.stopping:
            self.failures = 0
        else:
            self.failures = 1 if lasted >= SERVED else self.failures + 1
        log.log(
            logging.INFO if running.stopping else logging.WARNING,
            "etcd, pid %d, ended after %s: %s",
            running.record.pid,
            lasted,
            self.last_exit.reason,
        )
        self._running = None
        running.ended.set()
        self._on_exit()

    def _rotate_log(self) -> None:
        stat = self._host.stat(self._log_file)
        if stat is not None and stat.size_bytes > LOG_LIMIT_BYTES:
            self._host.rename(self._log_file, self._log_file + ".1")

    def _tail(self, offset: int) -> tuple[str, ...]:
        path = Path(self._host.local_path(self._log_file))
        try:
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                begin = max(offset if offset <= size else 0, size - _TAIL_BYTES)
                file.seek(begin)
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return ()
        return tuple(lines[-_TAIL_LINES:])

    def _write_record(self, record: RunRecord) -> None:
        document = {
            "pid": record.pid,
            "startTicks": record.start_ticks,
            "bootId": record.boot_id,
            "started": record.started.isoformat(),
            "clusterToken": record.token,
            "etcdVersion": record.version,
            "settings": record.settings,
            "quarantined": record.quarantined,
        }
        self._host.write(self._run_file, (dump_json(document) + "\n").encode(), mode=0o600)

    def _read_record(self) -> RunRecord | None:
        try:
            return _decode(self._host.read(self._run_file), where=self._run_file)
        except NotFoundError:
            return None
        except SpecError as error:
            log.warning("%s; looking for etcd in /proc instead", error)
            return None


def _decode(content: bytes, *, where: str) -> RunRecord:
    document = as_mapping(load_json(content, where=where), where=where)

    def text(name: str) -> str:
        return as_str(document.get(name), where=f"{where}: {name}")

    try:
        started = datetime.fromisoformat(text("started"))
    except ValueError as error:
        raise SpecError(f"{where}: started is no time") from error
    return RunRecord(
        pid=as_int(document.get("pid"), where=f"{where}: pid"),
        start_ticks=as_int(document.get("startTicks"), where=f"{where}: startTicks"),
        boot_id=text("bootId"),
        started=started.astimezone(UTC),
        token=text("clusterToken"),
        version=text("etcdVersion"),
        settings=text("settings"),
        quarantined=as_bool(document.get("quarantined"), where=f"{where}: quarantined"),
    )


def _same(record: RunRecord, found: proc.FoundProcess) -> bool:
    return (
        record.boot_id == proc.boot_id()
        and (record.pid, record.start_ticks) == (found.pid, found.start_ticks)
        and Path(found.data_dir).name == record.token
    )


def _unknown_record(found: proc.FoundProcess, now: datetime) -> RunRecord:
    return RunRecord(
        pid=found.pid,
        start_ticks=found.start_ticks,
        boot_id=proc.boot_id(),
        started=now,
        token=Path(found.data_dir).name,
        version="",
        settings="",
        quarantined=False,
    )


def _signal(pidfd: int, number: signal.Signals) -> None:
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return


async def _happens(event: asyncio.Event, patience: timedelta) -> bool:
    try:
        async with asyncio.timeout(patience.total_seconds()):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _unwatch(running: _Running) -> None:
    if running.pidfd >= 0:
        asyncio.get_running_loop().remove_reader(running.pidfd)
        os.close(running.pidfd)
        running.pidfd = -1


def _reason(status: int | None) -> str:
    if status is None:
        return "it was started by an earlier manager, so its exit status is not known"
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    return f"exit status {status}"
