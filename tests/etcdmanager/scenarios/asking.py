"""What an operator asks of a group of managers in these scenarios, and how a test looks at what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from etcdmanager.control.commands import BackupRequest, Failure, Receipt
from etcdmanager.spec import ClusterSpec
from tests.support.managers import ManagerGroup

VERSION = "3.5.16"


def want(group: ManagerGroup, count: int, *, version: str = VERSION) -> None:
    """Ask for so many members."""
    group.control.write_spec(ClusterSpec(member_count=count, etcd_version=version))


def queue_restore(group: ManagerGroup, backup: str, *, count: int = 0, version: str = VERSION) -> str:
    """Queue a restore as Go's ctl does, which checks nothing; return the command's name."""
    spec = ClusterSpec(member_count=count or len(group.names), etcd_version=version)
    return group.control.queue_restore(backup=backup, spec=spec, queued_at=datetime.now(UTC)).name


async def backed_up(group: ManagerGroup, request: str, *, within: float = 30) -> str:
    """Ask for a backup and return its name."""
    group.control.request_backup(BackupRequest(id=request, requested_by="test", requested_at=datetime.now(UTC)))
    await group.until(lambda: group.control.backup_answer(request) is not None, within=within)
    answer = group.control.backup_answer(request)
    assert answer is not None
    assert answer.backup, answer.error
    return answer.backup


async def restored(group: ManagerGroup, command: str, *, within: float = 60) -> Receipt:
    """Return the receipt of a restore, or fail with the reason why there is none."""
    await group.until(lambda: group.control.receipt(command) is not None or group.control.failure(command) is not None, within=within)
    receipt = group.control.receipt(command)
    assert receipt is not None, group.control.failure(command)
    return receipt


async def refused(group: ManagerGroup, command: str, *, within: float = 60) -> Failure:
    """Return why a restore was given up."""
    await group.until(lambda: group.control.receipt(command) is not None or group.control.failure(command) is not None, within=within)
    failure = group.control.failure(command)
    assert failure is not None, group.control.receipt(command)
    return failure


async def value(group: ManagerGroup, name: str, key: bytes = b"key") -> bytes | None:
    """Return what one member says is at the key, with a quorum's agreement."""
    async with group.client(name) as client:
        found = await client.get(key)
        return None if found is None else found.value


async def cluster_id(group: ManagerGroup, name: str) -> int:
    """Return etcd's own number of the cluster: another one is another cluster."""
    async with group.client(name) as client:
        return (await client.status()).cluster_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What must not change where nothing may be done: the processes, and what lies on the disks beside etcd's own files."""

    pids: tuple[int | None, ...]
    states: tuple[bytes, ...]
    directories: tuple[str, ...]
    trash: tuple[str, ...]


def ground(group: ManagerGroup) -> Ground:
    """Return how it is now."""
    bases = [group.managers[name].data_dir for name in group.names]
    return Ground(
        pids=tuple(group.managers[name].etcd_pid() for name in group.names),
        states=tuple((base / "state").read_bytes() for base in bases),
        directories=tuple(str(path.relative_to(base)) for base in bases for path in sorted((base / "data").iterdir())),
        trash=tuple(str(path.relative_to(base)) for base in bases for path in sorted((base / "data-trashcan").glob("*"))),
    )


def store_path(group: ManagerGroup, *parts: str) -> Path:
    """Return where something lies in a store of files."""
    return Path(group.store_url.removeprefix("file://")).joinpath(*parts)
