"""A leading manager as the control store sees it: it carries restores out on paper, and answers backup requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from etcdmanager.backups.meta import BackupMeta
from etcdmanager.backups.store import BackupStore
from etcdmanager.control.commands import BackupAnswer, Claim, Failure, MemberProgress, Progress, Receipt, RestoreCommand
from etcdmanager.control.store import ControlStore
from etcdmanager.spec import ClusterSpec

PRE_RESTORE = "2026-01-01T00:00:00Z-000099"


class FakeLeader:
    """Acts on what it finds; `failure_code` makes it give restores up."""

    def __init__(self, control: ControlStore, *, failure_code: str = "") -> None:
        self._control = control
        self._failure_code = failure_code
        self._stop = threading.Event()

    def run(self) -> None:
        """Look again and again until told to stop."""
        while not self._stop.wait(0.02):
            view = self._control.observe()
            for request in view.requests:
                self._control.answer_backup(BackupAnswer(id=request.id, answered_at=datetime.now(UTC), backup=PRE_RESTORE))
            for queued in view.open_commands:
                self._restore(queued.command)

    def stop(self) -> None:
        """End `run`."""
        self._stop.set()

    def _restore(self, command: RestoreCommand) -> None:
        now = datetime.now(UTC)
        if self._failure_code:
            failure = Failure(command=command.name, backup=command.backup, failed_at=now, code=self._failure_code, reason="no", hint="try")
            self._control.fail(failure)
            return
        claim = Claim(command=command.name, backup=command.backup, holder="a", epoch=1, token="t", members=("a",), claimed_at=now)
        self._control.create_claim(claim)
        members = {"a": MemberProgress(step="restore", done=1, total=2)}
        took = {"prepare": 0.1}
        for phase, fraction in (("prepare", 0.2), ("commit", 0.8)):
            self._control.write_progress(
                command.name, Progress(phase=phase, updated_at=now, fraction=fraction, members=members, took=took if fraction > 0.5 else {})
            )
        self._control.finish(
            Receipt(
                command=command.name,
                backup=command.backup,
                finished_at=now,
                members=("a",),
                revision=1_000_000_123,
                keys=7,
                pre_restore_backup=PRE_RESTORE,
                bumped=True,
                took={"prepare": 0.1, "commit": 0.2},
            )
        )


@contextmanager
def leading(backups: BackupStore, *, failure_code: str = "") -> Iterator[None]:
    """Have a leader act on the store while the block runs."""
    leader = FakeLeader(ControlStore(backups.store), failure_code=failure_code)
    thread = threading.Thread(target=leader.run)
    thread.start()
    try:
        yield
    finally:
        leader.stop()
        thread.join()


def bare_meta(version: str = "3.5.16") -> BackupMeta:
    """Return the metadata that a Go tool would have written."""
    return BackupMeta(
        etcd_version=version, taken_at=datetime(2026, 1, 1, tzinfo=UTC), spec=ClusterSpec(member_count=1, etcd_version=version)
    )
