"""What a real etcd wrote, read from its snapshot without an etcd: against what that etcd itself answers, at every revision."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agents.errors import NotFoundError
from agents.exit_codes import ExitCode
from etcdmanager.backups.keyspace import keyspace
from etcdmanager.cli import main_with
from etcdmanager.etcd.client import EtcdClient
from tests.support.etcd_server import running_etcd

pytestmark = pytest.mark.etcd


@dataclass
class Written:
    """What was written: at each revision, the keys with their values."""

    snapshot: Path
    history: dict[int, dict[bytes, bytes]] = field(default_factory=dict)
    compacted: int = 0
    lease: int = 0


@pytest.fixture(scope="module", params=["3.4.23", "3.5.16"])
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    directory = tmp_path_factory.mktemp("etcd")
    found = Written(snapshot=directory / "snapshot.db")

    async def fill(url: str) -> None:
        chance, state = random.Random(7), dict[bytes, bytes]()
        async with EtcdClient([url]) as client:
            found.lease = await client.grant(3600)
            await client.put(b"/registry/leased", b"1", lease_id=found.lease)
            state[b"/registry/leased"] = b"1"
            for _ in range(120):
                key = b"/registry/%s/%d" % (chance.choice([b"pods/a", b"pods/b", b"secrets/a"]), chance.randrange(12))
                if key in state and chance.random() < 0.3:
                    await client.delete(key)
                    del state[key]
                else:
                    state[key] = chance.randbytes(chance.choice([0, 3, 5000]))
                    await client.put(key, state[key])
                found.history[(await client.status()).revision] = dict(state)
            found.compacted = max(found.history) - 40
            await client.compact(found.compacted, physical=True)

    with running_etcd(directory, version=request.param) as etcd:
        asyncio.run(fill(etcd.url))
        subprocess.run(
            [etcd.binaries / "etcdctl", "--endpoints", etcd.url, "snapshot", "save", found.snapshot], check=True, env={"ETCDCTL_API": "3"}
        )
        yield found


def database_size(snapshot: Path) -> int:
    return snapshot.stat().st_size - 32


def test_every_revision_since_the_compaction_is_as_it_was(written: Written) -> None:
    for revision in range(written.compacted, max(written.history) + 1):
        with written.snapshot.open("rb") as file, keyspace(file, size_bytes=database_size(written.snapshot), revision=revision) as keys:
            assert {key: keys.get(key).value for key in keys.keys()} == written.history[revision]  # noqa: SIM118 (it is no mapping)


def test_a_leased_key_has_its_lease_and_revisions(written: Written) -> None:
    with written.snapshot.open("rb") as file, keyspace(file, size_bytes=database_size(written.snapshot)) as keys:
        stored = keys.get(b"/registry/leased")

    assert (stored.lease, stored.version, stored.create_revision, stored.mod_revision) == (written.lease, 1, 2, 2)


@pytest.mark.parametrize("offset", [-10_000, 10_000])
def test_a_revision_that_is_not_there_is_said_with_those_that_are(written: Written, offset: int) -> None:
    wanted = max(1, written.compacted + offset)
    with (
        written.snapshot.open("rb") as file,
        pytest.raises(NotFoundError, match=f"revisions {written.compacted} to {max(written.history)}, wanted {wanted}"),
        keyspace(file, size_bytes=database_size(written.snapshot), revision=wanted),
    ):
        pass


def test_the_verbs_read_a_snapshot_file_where_no_cluster_is(
    written: Written, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    def run(*words: str) -> tuple[int, bytes]:
        code = main_with(words)
        told = capsysbinary.readouterr()
        assert not told.err or code != ExitCode.OK, told.err
        return code, told.out

    snapshot, final = str(written.snapshot), written.history[max(written.history)]
    key = max(final)

    code, out = run("browse", snapshot, "/registry/", "--depth", "1", "--json")
    assert (code, json.loads(out)["keys"]) == (ExitCode.OK, len(final))
    assert run("get", snapshot, key.decode(), "--print-value-only") == (ExitCode.OK, final[key])
    assert run("get", snapshot, "/registry/absent")[0] == ExitCode.NOT_FOUND
    assert run("diff", snapshot, snapshot)[0] == ExitCode.OK

    out_directory = tmp_path / "out"
    assert run("extract", snapshot, "/registry/pods/", "--out", str(out_directory))[0] == ExitCode.OK
    for path in out_directory.rglob("*.value"):
        assert path.read_bytes() == final[b"/" + str(path.relative_to(out_directory)).removesuffix(".value").encode()]
        assert path.stat().st_mode & 0o777 == 0o600
    assert len(list(out_directory.rglob("*.value"))) == sum(name.startswith(b"/registry/pods/") for name in final)
    assert run("extract", snapshot, "/registry/", "--out", str(out_directory))[0] == ExitCode.REFUSED


def test_a_damaged_snapshot_is_not_read_from(written: Written, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged = tmp_path / "damaged.db"
    content = bytearray(written.snapshot.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)

    assert main_with(["browse", str(damaged)]) == ExitCode.VERIFICATION
    assert "SHA-256" in capsys.readouterr().err
