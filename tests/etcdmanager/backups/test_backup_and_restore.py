from __future__ import annotations

import asyncio
import base64
import json
import random
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agents.clock import SystemClock
from agents.errors import AccessError, NotFoundError, RefusedError, TransientError, VerificationError
from agents.stores.local import LocalStore
from etcdmanager.backups.bolt import read_contents
from etcdmanager.backups.encryption import MAGIC, keys_of, read_key_file
from etcdmanager.backups.restore import RestoreOrder, prepare
from etcdmanager.backups.scratch import SCRATCH_PEER_URL
from etcdmanager.backups.store import BackupStore
from etcdmanager.backups.take import BackupOrder, BackupTaker
from etcdmanager.backups.verify import boot, compare_booted, record, unpack, verify_light
from etcdmanager.etcd.client import EtcdClient
from etcdmanager.peering.messages import BinariesReport, Progress, TakenBackup
from etcdmanager.spec import ClusterSpec
from tests.support.etcd_binaries import etcd_binaries
from tests.support.etcd_server import RunningEtcd, running_etcd

pytestmark = pytest.mark.etcd
SPEC = ClusterSpec(member_count=1, etcd_version="3.5.16")
ORDER = BackupOrder(etcd_cluster="etcd", spec=SPEC, reason="schedule", cluster="prod.example.com", hash_keys=True)
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEtcd]:
    async def fill(url: str) -> None:
        async with EtcdClient([url]) as client:
            lease = await client.grant(3600)
            await client.put(b"leased", b"1", lease_id=lease)
            chance = random.Random(4)
            for batch in range(30):
                await client.put_many([(b"key/%d" % number, chance.randbytes(900)) for number in range(batch * 50, batch * 50 + 50)])
            for number in range(0, 200, 2):
                await client.delete(b"key/%d" % number)
            status = await client.status()
            await client.compact(status.revision - 20, physical=True)

    with running_etcd(tmp_path_factory.mktemp("etcd"), version="3.5.16") as running:
        asyncio.run(fill(running.url))
        yield running


@pytest.fixture
def backups(tmp_path: Path) -> BackupStore:
    return BackupStore(LocalStore(tmp_path / "store"))


def take(etcd: RunningEtcd, backups: BackupStore, scratch: Path, order: BackupOrder = ORDER) -> TakenBackup:
    async def main() -> TakenBackup:
        taker = BackupTaker(scratch=scratch, clock=SystemClock(), by="one")
        async with EtcdClient([etcd.url]) as client:
            return await taker.take(client, backups, order)

    return asyncio.run(main())


def report_of(directory: Path) -> BinariesReport:
    return BinariesReport(version=directory.name, directory=str(directory), has_etcdutl=(directory / "etcdutl").exists())


def restore(backups: BackupStore, name: str, incoming: Path, *, version: str = "3.5.16", bump: int = 1_000_000) -> object:
    order = RestoreOrder(
        backup=name,
        incoming=incoming,
        name="scratch",
        initial_cluster={"scratch": (SCRATCH_PEER_URL,)},
        token="t",
        etcd_version=version,
        bump_revision=bump,
    )
    seen: list[Progress] = []
    prepared = asyncio.run(
        prepare(order, backups=backups, binaries=[report_of(etcd_binaries(version))], deadline=MINUTE, report=seen.append)
    )
    assert {progress.stage for progress in seen} >= {"download", "verify", "restore"}
    return prepared


def test_a_backup_is_what_etcds_own_tool_counts(etcd: RunningEtcd, backups: BackupStore, tmp_path: Path) -> None:
    taken = take(etcd, backups, tmp_path / "scratch")

    with (tmp_path / "snapshot.db").open("w+b") as file:
        verified = unpack(backups, taken.name, file, room=tmp_path)
    told = subprocess.run(
        [etcd.binaries / "etcdutl", "snapshot", "status", tmp_path / "snapshot.db", "-w", "json"], capture_output=True, check=True
    )
    status = json.loads(told.stdout)
    assert verified.contents.revision == status["revision"] == taken.revision
    with (tmp_path / "snapshot.db").open("rb") as file:
        assert read_contents(file, size_bytes=verified.snapshot.db_size_bytes).entries == status["totalKey"]
    assert verified.contents.keys == taken.keys == 1 + 1500 - 100
    assert verified.contents.leases == 1
    assert verified.contents.compacted_revision > 0
    assert taken.verified


class ForgetfulStore(LocalStore):
    """A store that keeps one bit of a snapshot otherwise than it was given."""

    def write(self, key: str, content: bytes | Iterable[bytes]) -> None:
        whole = content if isinstance(content, bytes) else b"".join(content)
        super().write(key, whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:] if key.endswith(".gz") else whole)


def test_what_the_store_does_not_keep_as_it_was_given_is_no_backup(etcd: RunningEtcd, tmp_path: Path) -> None:
    forgetful = BackupStore(ForgetfulStore(tmp_path / "store"))
    with pytest.raises(TransientError, match="holds"):
        take(etcd, forgetful, tmp_path / "scratch")
    assert forgetful.store.list() == ()


def test_a_backup_is_encrypted_while_it_is_taken_and_restored_with_its_key_only(etcd: RunningEtcd, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(base64.b64encode(b"k" * 32).decode())
    (tmp_path / "keys").chmod(0o600)
    store = LocalStore(tmp_path / "store")
    backups = BackupStore(store, keys=keys_of(str(tmp_path / "keys")))

    taken = take(etcd, backups, tmp_path / "scratch")

    manifest = backups.manifest(taken.name)
    assert manifest is not None
    assert manifest.encryption_key == read_key_file(str(tmp_path / "keys")).id
    assert store.read(f"{taken.name}/etcd.backup.gz").startswith(MAGIC)
    restore(backups, taken.name, tmp_path / "restored")
    with pytest.raises(AccessError):
        restore(BackupStore(store), taken.name, tmp_path / "other")
    (tmp_path / "keys").unlink()
    with pytest.raises(NotFoundError):
        take(etcd, backups, tmp_path / "scratch")
    assert len(backups.list()) == 1


def test_a_backup_lies_in_the_store_as_the_go_tools_want_it(etcd: RunningEtcd, backups: BackupStore, tmp_path: Path) -> None:
    taken = take(etcd, backups, tmp_path / "scratch")

    files = sorted(path.name for path in (tmp_path / "store" / taken.name).iterdir())
    assert files == ["_etcd_backup.ext.json", "_etcd_backup.meta", "etcd.backup.gz"]
    meta = json.loads((tmp_path / "store" / taken.name / "_etcd_backup.meta").read_bytes())
    assert meta["etcdVersion"] == "3.5.16"
    assert meta["clusterSpec"] == {"memberCount": 1, "etcdVersion": "3.5.16"}
    whole = subprocess.run(["gzip", "-t", tmp_path / "store" / taken.name / "etcd.backup.gz"], check=False)
    assert whole.returncode == 0
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_manifest_tells_everything_known(etcd: RunningEtcd, backups: BackupStore, tmp_path: Path) -> None:
    taken = take(etcd, backups, tmp_path / "scratch")

    manifest = backups.manifest(taken.name)

    assert manifest is not None
    assert (manifest.cluster, manifest.reason, manifest.server_version) == ("prod.example.com", "schedule", "3.5.16")
    assert [member.name for member in manifest.members] == ["one"]
    assert manifest.hash_kv != 0
    assert [check.kind for check in manifest.checks] == ["capture"]


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        pytest.param(lambda content: content[: len(content) // 2], "gzip-truncated", id="truncated"),
        pytest.param(lambda content: content[:-1], "gzip-truncated", id="one byte short"),
        pytest.param(lambda _: b"", "gzip-truncated", id="empty"),
        pytest.param(lambda _: b"no gzip at all" * 100, "gzip-damaged", id="something else"),
    ],
)
def test_a_damaged_backup_is_never_verified(etcd: RunningEtcd, backups: BackupStore, tmp_path: Path, damage: object, code: str) -> None:
    taken = take(etcd, backups, tmp_path / "scratch")
    path = tmp_path / "store" / taken.name / "etcd.backup.gz"
    assert callable(damage)
    path.write_bytes(damage(path.read_bytes()))

    with pytest.raises(VerificationError) as error:
        verify_light(backups, taken.name, scratch=tmp_path)
    assert error.value.code == code
    with pytest.raises(VerificationError):
        restore(backups, taken.name, tmp_path / "incoming")
    assert not (tmp_path / "incoming").exists()
    assert not list(tmp_path.glob(".incoming*"))


def test_any_flipped_bit_is_noticed(etcd: RunningEtcd, backups: BackupStore, tmp_path: Path) -> None:
    taken = take(etcd, backups, tmp_path / "scratch")
    path = tmp_path / "store" / taken.name / "etcd.backup.gz"
    whole = path.read_bytes()
    chance = random.Random(1)

    for _ in range(30):
        position = chance.randrange(20, len(whole))
        path.write_bytes(whole[:position] + bytes([whole[position] ^ (1 << chance.randrange(8))]) + whole[position + 1 :])
        with pytest.raises(VerificationError):
            verify_light(backups, taken.name, scratch=tmp_path)


def test_a_sound_backup_under_another_ones_name_is_noticed(etcd: RunningEtcd, backups: BackupStore, tmp_path: Path) -> None:
    first = take(etcd, backups, tmp_path / "scratch")

    async def write() -> None:
        async with EtcdClient([etcd.url]) as client:
            await client.put(b"leased", b"1")

    asyncio.run(write())
    second = take(etcd, backups, tmp_path / "scratch")
    shutil.copy(tmp_path / "store" / second.name / "etcd.backup.gz", tmp_path / "store" / first.name / "etcd.backup.gz")

    with pytest.raises(VerificationError) as error:
        verify_light(backups, first.name, scratch=tmp_path)
    assert error.value.code == "backup-differs"


def test_a_snapshot_that_ends_early_leaves_no_backup(etcd: RunningEtcd, backups: BackupStore, tmp_path: Path) -> None:
    class Cut(EtcdClient):
        async def snapshot(self, **_: object):  # type: ignore[no-untyped-def, override]  # noqa: ANN202
            async for piece in super().snapshot():
                yield piece[:-100]

    async def main() -> None:
        taker = BackupTaker(scratch=tmp_path / "scratch", clock=SystemClock(), by="one")
        async with Cut([etcd.url]) as client:
            await taker.take(client, backups, ORDER)

    with pytest.raises(VerificationError):
        asyncio.run(main())
    assert backups.list() == ()
    assert backups.store.list() == ()


def test_a_restored_directory_serves_the_same_keys_and_leases_at_a_raised_revision(
    etcd: RunningEtcd, backups: BackupStore, tmp_path: Path
) -> None:
    taken = take(etcd, backups, tmp_path / "scratch")

    prepared = restore(backups, taken.name, tmp_path / "incoming")
    booted = asyncio.run(boot(tmp_path / "incoming", etcd=etcd.binaries / "etcd", name="scratch"))

    assert booted.keys == taken.keys
    assert booted.leases == 1
    assert booted.revision >= taken.revision + 1_000_000
    assert prepared.revision_bumped
    assert not list(tmp_path.glob(".incoming*"))


def test_a_deep_check_finds_the_hash_that_the_cluster_had(etcd: RunningEtcd, backups: BackupStore, tmp_path: Path) -> None:
    taken = take(etcd, backups, tmp_path / "scratch")
    verified = verify_light(backups, taken.name, scratch=tmp_path)

    restore(backups, taken.name, tmp_path / "incoming", bump=0)
    booted = asyncio.run(boot(tmp_path / "incoming", etcd=etcd.binaries / "etcd", name="scratch"))
    compare_booted(verified, booted)

    assert verified.manifest is not None
    assert (booted.hash_kv, booted.hash_compact_revision) == (verified.manifest.hash_kv, verified.manifest.hash_compact_revision)
    record(backups, verified, kind="deep", now=datetime.now(UTC), by="test")
    manifest = backups.manifest(taken.name)
    assert manifest is not None
    assert [check.kind for check in manifest.checks] == ["capture", "deep"]


def test_a_tool_that_cannot_bump_says_so(etcd: RunningEtcd, backups: BackupStore, tmp_path: Path) -> None:
    taken = take(etcd, backups, tmp_path / "scratch")

    prepared = restore(backups, taken.name, tmp_path / "incoming", version="3.5.1")

    assert not getattr(prepared, "revision_bumped")  # noqa: B009


def test_a_backup_of_a_later_minor_line_is_refused(etcd: RunningEtcd, backups: BackupStore, tmp_path: Path) -> None:
    taken = take(etcd, backups, tmp_path / "scratch")

    with pytest.raises(RefusedError) as error:
        restore(backups, taken.name, tmp_path / "incoming", version="3.4.23")
    assert error.value.code == "S9-etcd-version"


def test_an_unknown_backup_names_the_nearest(etcd: RunningEtcd, backups: BackupStore, tmp_path: Path) -> None:
    taken = take(etcd, backups, tmp_path / "scratch")

    with pytest.raises(NotFoundError, match=taken.name):
        backups.resolve(taken.name.replace("Z", "X"))
    with pytest.raises(NotFoundError):
        restore(backups, "2001-01-01T00:00:00Z-000001", tmp_path / "incoming")
    assert not list(tmp_path.glob("*incoming*"))


def test_an_existing_directory_is_never_overwritten(etcd: RunningEtcd, backups: BackupStore, tmp_path: Path) -> None:
    taken = take(etcd, backups, tmp_path / "scratch")
    (tmp_path / "incoming").mkdir()

    with pytest.raises(RefusedError):
        restore(backups, taken.name, tmp_path / "incoming")


def test_a_damaged_page_is_noticed_though_no_hash_is_asked(etcd: RunningEtcd, backups: BackupStore, tmp_path: Path) -> None:
    taken = take(etcd, backups, tmp_path / "scratch")
    with (tmp_path / "snapshot.db").open("w+b") as file:
        size = unpack(backups, taken.name, file, room=tmp_path).snapshot.db_size_bytes
        chance = random.Random(2)
        noticed = 0
        for _ in range(40):
            page = chance.randrange(0, size // 4096)
            file.seek(page * 4096)
            saved = file.read(16)
            file.seek(page * 4096)
            file.write(chance.randbytes(16))
            file.flush()
            try:
                read_contents(file, size_bytes=size)
            except VerificationError:
                noticed += 1
            file.seek(page * 4096)
            file.write(saved)
        file.flush()
        assert read_contents(file, size_bytes=size).keys == taken.keys
    # Free pages and the freelist are not walked; every page that holds something is.
    assert noticed > 20
