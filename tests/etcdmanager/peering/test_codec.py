"""The wire: what is said is what is heard, and the numbers are the Go program's."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcdmanager.peering import codec
from etcdmanager.peering import messages as m
from etcdmanager.peering.proto import cluster_pb2, manager_pb2
from etcdmanager.spec import ClusterSpec, EtcdNode

NODE = EtcdNode(
    name="etcd-a",
    peer_urls=("https://a:2380",),
    client_urls=("https://a:4001",),
    quarantined_client_urls=("https://a:3994",),
    tls_enabled=True,
)
texts = st.text(max_size=12)
nodes = st.builds(EtcdNode, name=texts, peer_urls=st.tuples(texts), client_urls=st.tuples(texts), tls_enabled=st.booleans())
states = st.builds(
    m.EtcdState,
    cluster=st.none() | st.builds(m.EtcdCluster, token=st.text(min_size=1, max_size=8), nodes=st.lists(nodes, max_size=3).map(tuple)),
    new_cluster=st.booleans(),
    etcd_version=texts,
    quarantined=st.booleans(),
    joining=st.booleans(),
    archive_token=texts,
    restored=st.booleans(),
)


@given(states)
def test_a_state_survives_the_wire(state: m.EtcdState) -> None:
    data = codec.state_to_wire(state).SerializeToString()
    assert codec.state_from_wire(manager_pb2.EtcdState.FromString(data)) == state


def test_a_description_survives_the_wire() -> None:
    moment = datetime(2026, 8, 22, 2, 57, 11, tzinfo=UTC)
    description = m.Description(
        peer_id="etcd-a",
        info=m.Info(cluster_name="etcd", node=NODE, state=m.EtcdState(cluster=m.EtcdCluster(token="t", nodes=(NODE,))), disk_empty=False),
        manager_version="0.1.0",
        capabilities=(m.CAPABILITY,),
        disk=m.DiskReport(
            has_state=True, data_tokens=("t",), trash=("old",), incoming=("new",), free_bytes=7, total_bytes=9, trash_bytes=1
        ),
        process=m.ProcessReport(running=True, pid=7, started=moment, version="3.5.16", cluster_token="t", failures=2, next_start=moment),
        etcd=m.LiveStatus(
            member_id=2**64 - 1, cluster_id=3, leader_id=4, raft_index=5, raft_applied_index=5, raft_term=6, revision=7, db_size_bytes=8
        ),
        binaries=(m.BinariesReport(version="3.5.16", directory="/opt/etcd-v3.5.16", has_etcdutl=False),),
        restore=m.RestoreReport(
            phase=m.RestorePhase.PREPARED, cluster_token="new", backup_name="b", prepared=m.PreparedRestore(revision=9, keys=3)
        ),
        hold=m.Hold(code="M1", reason="because", hint="do"),
        leader_id="etcd-b",
        leadership_epoch=12,
        prepared_token="p",
        now=moment,
    )
    assert codec.description_from_wire(codec.description_to_wire(description)) == description


def test_a_backup_info_survives_the_wire() -> None:
    info = m.BackupInfo(
        etcd_version="3.5.31",
        timestamp=datetime(2024, 1, 1, tzinfo=UTC),
        cluster_spec=ClusterSpec(member_count=3, etcd_version="3.5.31"),
    )
    assert codec.backup_info_from_wire(codec.backup_info_to_wire(info)) == info


@pytest.mark.parametrize("phase", list(m.JoinPhase))
def test_a_join_request_survives_the_wire(phase: m.JoinPhase) -> None:
    request = m.JoinRequest(phase=phase, cluster_token="t", nodes=(NODE,), etcd_version="3.5.16", start_open=True)
    header = m.Header(leadership_token="x", cluster_name="etcd", epoch=3)
    message = codec.join_to_wire(request, header)
    assert (codec.join_from_wire(message), codec.header_from_wire(message.header)) == (request, header)


def test_an_idle_go_state_has_no_cluster() -> None:
    assert codec.state_from_wire(manager_pb2.EtcdState.FromString(b"")) == m.EtcdState()


def test_the_bytes_of_the_go_messages_are_as_the_contract_numbers_them() -> None:
    # tag = number << 3 | wire type; 2 is length-delimited, 0 a varint.
    assert codec.state_to_wire(
        m.EtcdState(cluster=m.EtcdCluster(token="T"), new_cluster=True, etcd_version="V", quarantined=True)
    ).SerializeToString(deterministic=True) == bytes([0x08, 1, 0x12, 3, 5 << 3 | 2, 1, ord("T"), 0x1A, 1, ord("V"), 0x20, 1])
    assert manager_pb2.DoBackupRequest(storage="s", info=manager_pb2.BackupInfo(etcd_version="v")).SerializeToString(
        deterministic=True
    ) == bytes([0x12, 1, ord("s"), 10 << 3 | 2, 3, 0x0A, 1, ord("v")])
    assert manager_pb2.GetInfoResponse(cluster_name="c", disk_empty=True).SerializeToString(deterministic=True) == bytes(
        [0x12, 1, ord("c"), 0x38, 1]
    )


def test_a_go_peer_skips_what_is_ours() -> None:
    message = codec.peer_info_to_wire(m.PeerInfo(id="a", endpoints=("1:2",), capabilities=(m.CAPABILITY,)))
    message.ClearField("capabilities")
    assert codec.peer_info_from_wire(cluster_pb2.PeerInfo.FromString(message.SerializeToString())) == m.PeerInfo(id="a", endpoints=("1:2",))
