"""What lies in a data directory: state, journal, trash; on a fake or real directory, without etcd."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import NotFoundError, SpecError
from agents.host.local import LocalHost
from agents.versions import Version
from etcdmanager.member.binaries import BinaryShelf
from etcdmanager.member.disk import MemberDisk
from etcdmanager.member.intent import IntentFile, RestoreIntent, decode, encode
from etcdmanager.member.layout import Layout
from etcdmanager.member.state import DamagedState, KeptState, NoState, StateFile
from etcdmanager.member.trash import TrashEntry, free_name, to_delete
from etcdmanager.peering.messages import EtcdCluster, EtcdState, PreparedRestore, RestorePhase
from etcdmanager.peering.proto import manager_pb2
from etcdmanager.spec import EtcdNode

NODE = EtcdNode(name="a", peer_urls=("https://a:2380",), tls_enabled=True)
STATE = EtcdState(cluster=EtcdCluster(token="T", nodes=(NODE,)), etcd_version="3.5.16", new_cluster=True)
GIB = 1 << 30


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(str(tmp_path))


def test_a_state_is_read_as_it_was_written_and_only_root_reads_it(layout: Layout) -> None:
    file = StateFile(LocalHost(), layout)
    assert file.read() == NoState()
    file.write(STATE)
    file.write(EtcdState())
    assert file.read() == KeptState(EtcdState())
    file.write(STATE)
    assert file.read() == KeptState(STATE)
    assert Path(layout.state).stat().st_mode & 0o777 == 0o600


def test_the_state_before_is_kept(layout: Layout) -> None:
    file = StateFile(LocalHost(), layout)
    file.write(STATE)
    first = Path(layout.state).read_bytes()
    file.write(replace(STATE, new_cluster=False))
    assert Path(layout.state + ".previous").read_bytes() == first


def test_a_power_cut_between_checksum_and_state_leaves_a_vouched_state(layout: Layout) -> None:
    file = StateFile(LocalHost(), layout)
    file.write(STATE)
    before = Path(layout.state).read_bytes()
    file.write(replace(STATE, quarantined=True))
    Path(layout.state).write_bytes(before)
    assert file.read() == KeptState(STATE)


@pytest.mark.parametrize("cut", [0, 1, 5])
def test_a_cut_state_is_damaged(layout: Layout, cut: int) -> None:
    file = StateFile(LocalHost(), layout)
    file.write(STATE)
    path = Path(layout.state)
    path.write_bytes(path.read_bytes()[:cut])
    assert isinstance(file.read(), DamagedState)


def test_a_vanished_state_is_damage_not_a_new_disk(layout: Layout) -> None:
    file = StateFile(LocalHost(), layout)
    file.write(STATE)
    Path(layout.state).unlink()
    assert isinstance(file.read(), DamagedState)


def test_a_go_manager_may_write_the_state(layout: Layout) -> None:
    file = StateFile(LocalHost(), layout)
    file.write(STATE)
    go = manager_pb2.EtcdState.FromString(Path(layout.state).read_bytes())
    go.quarantined = True
    Path(layout.state).write_bytes(go.SerializeToString())
    assert file.read() == KeptState(replace(STATE, quarantined=True), vouched=False)


def test_fields_of_a_newer_manager_survive(layout: Layout) -> None:
    unknown = b"\xfa\xff\x07\x03new"  # field 16383, three bytes
    Path(layout.state).write_bytes(manager_pb2.EtcdState(etcd_version="1").SerializeToString() + unknown)
    StateFile(LocalHost(), layout).write(STATE)
    assert unknown in Path(layout.state).read_bytes()


@given(
    phase=st.sampled_from(RestorePhase),
    prepared=st.none() | st.builds(PreparedRestore, revision=st.integers(0, 2**62), tool=st.text(max_size=5)),
    backup=st.text(max_size=9),
)
def test_a_journal_is_read_as_it_was_written(phase: RestorePhase, prepared: PreparedRestore | None, backup: str) -> None:
    intent = RestoreIntent(
        phase=phase,
        cluster=EtcdCluster(token="N", nodes=(NODE,)),
        etcd_version="3.5.16",
        storage="file:///s",
        backup_name=backup,
        prepared=prepared,
    )
    assert decode(encode(intent), where="journal") == intent


@pytest.mark.parametrize("content", [b"", b"{}", b'{"phase": "dancing"}'])
def test_a_damaged_journal_is_named(layout: Layout, content: bytes) -> None:
    Path(layout.intent).write_bytes(content)
    with pytest.raises(SpecError, match="restore-intent"):
        IntentFile(LocalHost(), layout).read()


@pytest.mark.parametrize("token", ["", "..", ".hidden", "a/b", "x" * 200])
def test_a_token_never_leads_out_of_its_directory(layout: Layout, token: str) -> None:
    with pytest.raises(SpecError):
        layout.data_of(token)


def test_the_disk_tells_what_lies_there(layout: Layout) -> None:
    disk = MemberDisk(LocalHost(), layout)
    assert disk.is_empty()
    for name in ("T/member/wal", ".incoming-N/member", "..incoming-M.work", "U"):
        (Path(layout.data) / name).mkdir(parents=True)
    (Path(layout.data) / "T/member/wal/0.wal").touch()
    view = disk.view()
    assert (view.data, view.logged) == ({"T", "U"}, {"T"})
    assert (view.incoming, view.unfinished) == ({"N"}, {"M"})
    disk.archive("T")
    disk.archive("T")
    disk.swap_in("N")
    disk.drop_incoming("M")
    assert disk.view().trash == {"T"}
    assert disk.view().data == {"N", "U"}
    assert disk.view().unfinished == frozenset()
    assert not disk.is_empty()


def test_keys_stay_as_long_as_anything_of_their_cluster_and_no_longer(layout: Layout) -> None:
    disk = MemberDisk(LocalHost(), layout)
    StateFile(LocalHost(), layout).write(STATE)
    for name in ("data/D", "data/.incoming-I", "data/..incoming-U.work", "data-trashcan/X", "data-trashcan/Y-1"):
        (Path(layout.base) / name).mkdir(parents=True)
    for token in ("T", "D", "I", "U", "X", "Y", "gone", "gone-2"):
        (Path(layout.pki) / token / "peers").mkdir(parents=True)
        (Path(layout.pki) / token / "peers/me.key").touch()
    disk.collect_trash(keep=3, free_bytes_wanted=0)
    assert sorted(path.name for path in Path(layout.pki).iterdir()) == ["D", "I", "T", "U", "X", "Y"]
    Path(layout.state).write_bytes(b"")
    disk.archive("D")
    (Path(layout.base) / "data-trashcan/D").rmdir()
    disk.collect_trash(keep=3, free_bytes_wanted=0)
    assert (Path(layout.pki) / "D").exists(), "whose state cannot be read, of that nothing is thrown away"


entries = st.lists(
    st.builds(TrashEntry, name=st.text("abc", min_size=1), modified_ns=st.integers(0, 9), size_bytes=st.integers(0, GIB)),
    max_size=8,
    unique_by=lambda entry: entry.name,
)


@given(entries, st.integers(1, 4), st.integers(0, GIB), st.integers(0, GIB))
def test_the_newest_of_the_trash_is_never_deleted(found: list[TrashEntry], keep: int, free: int, wanted: int) -> None:
    doomed = to_delete(found, keep=keep, free_bytes=free, free_bytes_wanted=wanted)
    if found:
        assert max(found, key=lambda entry: (entry.modified_ns, entry.name)) not in doomed
    assert len(found) - len(doomed) <= max(keep, 1)


def test_with_room_enough_the_newest_three_stay() -> None:
    found = [TrashEntry(name=str(n), modified_ns=n, size_bytes=1) for n in range(5)]
    assert [entry.name for entry in to_delete(found, free_bytes=GIB, free_bytes_wanted=1)] == ["0", "1"]


def test_names_in_the_trash_are_never_taken_twice() -> None:
    assert free_name("T", ()) == "T"
    assert free_name("T", ("T", "T-1")) == "T-2"


def fake_etcd(directory: Path, version: str, *tools: str) -> None:
    directory.mkdir(parents=True)
    for name in ("etcd", *tools):
        (directory / name).write_text(f"#!/bin/sh\necho 'etcd Version: {version}'\n")
        (directory / name).chmod(0o755)


def test_an_etcd_is_known_by_what_it_says_not_by_where_it_lies(tmp_path: Path) -> None:
    fake_etcd(tmp_path / "etcd-v3.5.9", "3.5.31", "etcdctl")
    found = BinaryShelf(LocalHost(), [str(tmp_path)]).find("v3.5.9")
    assert found.version == Version.parse("3.5.31")
    assert (found.etcdctl is not None, found.etcdutl) == (True, None)


def test_another_minor_is_never_run_instead(tmp_path: Path) -> None:
    fake_etcd(tmp_path / "etcd-v3.5.9", "3.6.1")
    shelf = BinaryShelf(LocalHost(), [str(tmp_path)])
    with pytest.raises(NotFoundError, match=r"3\.6\.1"):
        shelf.find("3.5.9")
    assert str(tmp_path / "etcd-v3.5.9") in {found.directory for found in shelf.all()}


def test_the_exact_version_is_preferred(tmp_path: Path) -> None:
    fake_etcd(tmp_path / "a", "3.5.31")
    fake_etcd(tmp_path / "b/3.5.16", "3.5.16")
    assert BinaryShelf(LocalHost(), [str(tmp_path / "a"), str(tmp_path / "b")]).find("3.5.16").directory.endswith("3.5.16")
