"""Small parts: marker, publication, permission, hosts block, mount table, serial numbers, lock, status."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.documents import dump_json
from agents.errors import BusyError, SpecError
from protokube.claim import Claim
from protokube.hosts import PATH as HOSTS
from protokube.hosts import keep_hosts
from protokube.marker import DamagedMarker, Marker, dump_marker, foreignness, parse_marker
from protokube.permit import give_permit, is_permitted, use_up
from protokube.publish import read_publication, remove_publication, write_publication
from protokube.spec import HostRecord
from protokube.telling import describe
from protokube.volumes.devices import BlockDevices
from protokube.volumes.keeper import Turn
from protokube.volumes.mount_table import parse_mounts
from protokube.volumes.phase import Phase, Refuse, Rest, Wait
from tests.fakes.host import FakeHost
from tests.protokube.volumes.views import MARKER, NOW, PUBLICATION, WANTED

RECORDS = (HostRecord(hostname="api.internal", addresses=("127.0.0.1",)),)


@given(
    st.builds(Marker, cluster_name=st.text(), etcd_cluster=st.text(), member_name=st.text(), volume_id=st.text(), created_at=st.just(NOW))
)
def test_a_marker_is_read_as_it_was_written(marker: Marker) -> None:
    assert parse_marker(dump_marker(marker), where="x") == marker


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", dump_marker(MARKER).replace(b'"formatVersion": 1', b'"formatVersion": 2')])
def test_a_marker_that_cannot_be_read_is_foreign_to_everyone(content: bytes) -> None:
    found = parse_marker(content, where="x")
    assert isinstance(found, DamagedMarker)
    assert foreignness(found, WANTED)


def test_a_publication_is_read_as_it_was_written_and_taken_back() -> None:
    host = FakeHost()
    assert read_publication(host, "main") is None
    write_publication(host, PUBLICATION)
    assert read_publication(host, "main") == PUBLICATION
    remove_publication(host, "main")
    assert read_publication(host, "main") is None


def test_a_publication_of_another_version_is_an_error() -> None:
    host = FakeHost({"/run/node-agents/volumes/main.json": dump_json({"apiVersion": "v9", "kind": "EtcdVolume"}).encode()})
    with pytest.raises(SpecError):
        read_publication(host, "main")


def test_a_permission_is_for_one_volume_of_one_cluster_and_is_used_up() -> None:
    host = FakeHost()
    give_permit(host, cluster_name="c", etcd_cluster="main", reason="INC-1", now=NOW)
    assert is_permitted(host, cluster_name="c", etcd_cluster="main")
    assert not is_permitted(host, cluster_name="d", etcd_cluster="main")
    assert not is_permitted(host, cluster_name="c", etcd_cluster="events")
    use_up(host, "main")
    assert not is_permitted(host, cluster_name="c", etcd_cluster="main")


def test_the_hosts_block_is_kept_and_everything_else_left_alone() -> None:
    host = FakeHost({HOSTS: b"127.0.0.1 localhost\n\xff user\n"})
    inode = host.stat(HOSTS)
    assert keep_hosts(host, RECORDS)
    text = host.read(HOSTS)
    assert text.startswith(b"127.0.0.1 localhost\n\xff user\n")
    assert b"127.0.0.1\tapi.internal\n" in text
    after = host.stat(HOSTS)
    assert inode is not None
    assert after is not None
    assert inode.inode == after.inode
    assert not keep_hosts(host, RECORDS)


def test_without_records_the_block_is_not_ours() -> None:
    host = FakeHost({HOSTS: b"x"})
    assert not keep_hosts(host, ())
    assert host.changes == []


def test_the_mount_table_is_read_with_its_escapes_and_errors() -> None:
    text = (
        "36 35 98:0 /root /mnt/a\\040b rw,noatime master:1 - ext4 /dev/root rw,errors=continue\n"
        "37 35 254:16 / /mnt/c rw - ext4 /dev/vdb ro\n"
        "garbage\n"
    )
    first, second = parse_mounts(text)
    assert (first.path, first.number, first.filesystem, first.read_only) == ("/mnt/a b", (98, 0), "ext4", False)
    assert (second.path, second.read_only) == ("/mnt/c", True)


@pytest.mark.parametrize(
    ("place", "content", "serial"),
    [
        ("serial", b"etcd-main-0\n", "etcd-main-0"),
        ("device/serial", b"vol0abc12  \n", "vol-0abc12"),
        ("device/vpd_pg80", b"\x00\x80\x00\x08SCSI0042", "SCSI0042"),
    ],
)
def test_a_disk_is_found_by_its_serial_number(place: str, content: bytes, serial: str) -> None:
    host = FakeHost({
        f"/sys/block/vdb/{place}": content, "/sys/block/vdb/dev": b"254:16\n", "/sys/dev/block/254:16/size": b"2048\n",
        "/sys/dev/block/254:16/ro": b"0\n", "/sys/block/vda/dev": b"254:0\n",
    })  # fmt: skip
    host.add_block_device("/dev/vdb", (254, 16))
    (found,) = BlockDevices(host).by_serial(serial)
    assert (found.path, found.number, found.size_bytes) == ("/dev/vdb", (254, 16), 1 << 20)
    assert BlockDevices(host).by_serial("other") == ()


def test_a_second_protokube_is_told_of_the_first(tmp_path: Path) -> None:
    from agents.host.local import LocalHost

    path = str(tmp_path / "lock")
    first = Claim(LocalHost(), path)
    with pytest.raises(BusyError, match="runs already, as process"):
        Claim(LocalHost(), path)
    first.release()
    Claim(LocalHost(), path).release()


WAIT = Wait(reason="device /dev/vdb", until=NOW + timedelta(minutes=2), hint="attach it")
TURN = Turn(wanted=WANTED, phase=Phase.PUBLISHED, step=Rest(), since=NOW)


@pytest.mark.parametrize(
    ("turn", "after", "state"),
    [
        (TURN, timedelta(), "running"),
        (replace(TURN, step=WAIT, phase=Phase.ATTACHED), timedelta(), "waiting"),
        (replace(TURN, step=WAIT, phase=Phase.ATTACHED), timedelta(minutes=3), "degraded"),
        (replace(TURN, step=Refuse(code="x", reason="r", hint="h")), timedelta(), "degraded"),
        (replace(TURN, error="no"), timedelta(), "degraded"),
    ],
)
def test_the_state_says_whether_someone_should_act(turn: Turn, after: timedelta, state: str) -> None:
    status = describe([turn], now=NOW + after)
    assert status.state == state
    assert all(one.reason for one in status.waiting)
    assert bool(status.waiting) == (state != "running")


def test_help_needs_no_root_and_no_configuration() -> None:
    done = subprocess.run([sys.executable, "-m", "protokube.cli", "--help"], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0
    for verb in ("run", "status", "volumes", "doctor", "permit-format"):
        assert verb in done.stdout


def test_a_permission_is_not_given_without_the_clusters_name(tmp_path: Path) -> None:
    config = tmp_path / "p.yaml"
    config.write_text(
        "apiVersion: node-agents/v1\nkind: ProtokubeConfig\nclusterName: c\nvolumes: [{etcdCluster: main, find: {path: /dev/null}}]\n"
    )
    argv = [sys.executable, "-m", "protokube.cli", "permit-format", "main", "--config", str(config)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 4
    assert "--i-really-want-an-empty-cluster c" in done.stderr
