"""How what a member tells of itself becomes a peer that rules decide on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NoReturn

import pytest

from agents.errors import SpecError
from agents.stores.memory import MemoryStore
from agents.versions import Version
from etcdmanager.backups.retention import Retention
from etcdmanager.backups.store import BackupStore
from etcdmanager.control.store import ControlStore
from etcdmanager.etcd.answers import Member
from etcdmanager.leader.group import Surroundings
from etcdmanager.leader.memory import Memory
from etcdmanager.leader.observe import Observer, peer_from_description, peer_from_info
from etcdmanager.leader.view import BackupPolicy, ClusterView, Holding
from etcdmanager.peering import messages as m
from etcdmanager.spec import EtcdNode

NODE = EtcdNode(name="etcd-a", peer_urls=("https://a:2380",), client_urls=("https://a:4001",), quarantined_client_urls=("https://a:3994",))
STATE = m.EtcdState(cluster=m.EtcdCluster(token="T1", nodes=(NODE,)), etcd_version="3.5.16")
LIVE = m.LiveStatus(
    member_id=1,
    cluster_id=7,
    leader_id=1,
    raft_index=9,
    raft_applied_index=9,
    raft_term=2,
    revision=5,
    db_size_bytes=4096,
    version="3.5.16",
)
BLANK = m.Description(peer_id="etcd-a", info=m.Info(cluster_name="etcd", node=NODE, state=None, disk_empty=True))
SERVING = replace(
    BLANK,
    info=replace(BLANK.info, state=STATE, disk_empty=False),
    disk=m.DiskReport(has_state=True, data_tokens=("T1",)),
    process=m.ProcessReport(running=True, cluster_token="T1", quarantined=False),
    etcd=LIVE,
    binaries=(m.BinariesReport(version="3.5.16", directory="/opt"), m.BinariesReport(version="unreadable", directory="/x")),
)


class Nobody:
    """A group of nobody: only the store is looked at."""

    def known(self) -> tuple[str, ...]:
        return ()

    def info(self, peer_id: str) -> None:
        raise KeyError(peer_id)

    def silence(self, peer_id: str) -> str:
        raise KeyError(peer_id)

    def addresses(self, peer_id: str) -> tuple[str, ...]:
        raise KeyError(peer_id)

    def twins(self, peer_id: str) -> tuple[str, ...]:
        raise KeyError(peer_id)

    async def answers_at(self, member: Member, node: EtcdNode | None, addresses: Sequence[str], *, deadline: timedelta) -> str:
        raise KeyError(member.id, node, addresses, deadline)

    def connection(self, peer_id: str) -> None:
        raise KeyError(peer_id)

    def client(self, node: EtcdNode, *, quarantined: bool) -> NoReturn:
        raise KeyError(node.name, quarantined)


def observed(store: MemoryStore) -> ClusterView:
    around = Surroundings(
        cluster_name="etcd", me="etcd-a", group=Nobody(), etcds=Nobody(), control=ControlStore(store), backups=BackupStore(store)
    )
    observer = Observer(around, retention=Retention(), policy=BackupPolicy(interval=timedelta(minutes=15)))
    return asyncio.run(observer.observe(Memory(), epoch=1, now=datetime(2026, 1, 1, tzinfo=UTC)))


def test_a_spec_that_cannot_be_read_stops_neither_backups_nor_supervision() -> None:
    store = MemoryStore()
    store.write("control/etcd-cluster-spec", b'{"memberCount": "three"')
    view = observed(store)
    assert view.spec is None
    assert "etcd-cluster-spec" in view.spec_problem


def test_an_emptied_marker_is_a_marker() -> None:
    store = MemoryStore()
    store.write("control/etcd-cluster-created", b"")
    assert observed(store).marker


def test_a_formation_that_cannot_be_read_forbids_every_decision_until_there_is_a_marker() -> None:
    store = MemoryStore()
    store.write("control/_formation.json", b"{")
    with pytest.raises(SpecError):
        observed(store)
    ControlStore(store).write_created(datetime(2026, 1, 1, tzinfo=UTC))
    assert observed(store).formation is None


def test_a_blank_disk_is_empty() -> None:
    assert peer_from_description(BLANK).holds is Holding.EMPTY


def test_trash_alone_is_no_blank_disk() -> None:
    described = replace(BLANK, info=replace(BLANK.info, disk_empty=False), disk=m.DiskReport(trash=("T0",)))
    assert peer_from_description(described).holds is Holding.REMAINS


def test_a_serving_member_serves_with_the_versions_that_it_has() -> None:
    peer = peer_from_description(SERVING)
    assert peer.holds is Holding.CLUSTER
    assert peer.serves
    assert peer.exposed
    assert peer.versions == (Version.parse("3.5.16"),)


@pytest.mark.parametrize("code", ["EM-M0-state-damaged", "EM-M1-data-without-state", "EM-M2-idle-with-data", "EM-M6-journal-damaged"])
def test_a_disk_that_nobody_can_explain_is_damaged_whatever_the_state_says(code: str) -> None:
    peer = peer_from_description(replace(SERVING, hold=m.Hold(code=code, reason="torn")))
    assert peer.holds is Holding.DAMAGED
    assert peer.etcd is None
    assert "torn" in peer.problem


def test_a_member_whose_data_is_gone_belongs_to_its_cluster_and_says_why_it_does_not_run() -> None:
    described = replace(SERVING, etcd=None, process=m.ProcessReport(), hold=m.Hold(code="EM-M3-data-missing", reason="gone"))
    peer = peer_from_description(described)
    assert peer.holds is Holding.CLUSTER
    assert not peer.serves
    assert "EM-M3" in peer.problem


@pytest.mark.parametrize(
    "process",
    [
        m.ProcessReport(running=True, cluster_token="T1", quarantined=True),
        m.ProcessReport(running=True, cluster_token="T0", quarantined=False),
    ],
    ids=["still in quarantine", "still the old data"],
)
def test_an_etcd_that_is_about_to_be_restarted_does_not_count_as_serving(process: m.ProcessReport) -> None:
    assert not peer_from_description(replace(SERVING, process=process)).serves


def test_only_a_finished_preparation_counts() -> None:
    for phase in m.RestorePhase:
        described = replace(SERVING, restore=m.RestoreReport(phase=phase, cluster_token="T2", backup_name="x"))
        assert (peer_from_description(described).prepared_token == "T2") == (phase is m.RestorePhase.PREPARED)


def test_an_etcd_that_keeps_ending_tells_its_last_line() -> None:
    process = m.ProcessReport(failures=3, last_exit="exit status 1", last_log_lines=("first", "panic: no space"))
    problem = peer_from_description(replace(SERVING, etcd=None, process=process)).problem
    assert "3 times" in problem
    assert "panic: no space" in problem


def test_a_go_manager_is_seen_as_far_as_it_tells() -> None:
    assert peer_from_info("etcd-a", SERVING.info).holds is Holding.CLUSTER
    assert peer_from_info("etcd-a", BLANK.info).holds is Holding.EMPTY
    assert peer_from_info("etcd-a", replace(BLANK.info, disk_empty=False)).holds is Holding.REMAINS
