"""Frozen messages to protobuf and back. It decides nothing: what a field means stands in `messages`, its number in the .proto files."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from etcdmanager.peering import messages as m
from etcdmanager.peering.proto import cluster_pb2, manager_pb2, member_pb2
from etcdmanager.spec import ClusterSpec, EtcdNode

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def peer_info_to_wire(info: m.PeerInfo) -> cluster_pb2.PeerInfo:
    """Return the message of a PeerInfo."""
    return cluster_pb2.PeerInfo(id=info.id, endpoints=info.endpoints, capabilities=info.capabilities)


def peer_info_from_wire(message: cluster_pb2.PeerInfo) -> m.PeerInfo:
    """Return the PeerInfo of a message."""
    return m.PeerInfo(id=message.id, endpoints=tuple(message.endpoints), capabilities=tuple(message.capabilities))


def view_to_wire(view: m.View) -> cluster_pb2.View:
    """Return the message of a View."""
    return cluster_pb2.View(
        leader=peer_info_to_wire(view.leader),
        leadership_token=view.leadership_token,
        healthy=[peer_info_to_wire(peer) for peer in view.healthy],
        leadership_epoch=view.epoch,
        promise_ms=_milliseconds(view.promise),
    )


def view_from_wire(message: cluster_pb2.View) -> m.View:
    """Return the View of a message."""
    return m.View(
        leader=peer_info_from_wire(message.leader),
        leadership_token=message.leadership_token,
        healthy=tuple(peer_info_from_wire(peer) for peer in message.healthy),
        epoch=message.leadership_epoch,
        promise=timedelta(milliseconds=message.promise_ms),
    )


def answer_to_wire(answer: m.LeadershipAnswer) -> cluster_pb2.LeaderNotificationResponse:
    """Return the message of an answer to a leader."""
    return cluster_pb2.LeaderNotificationResponse(
        accepted=answer.accepted,
        view=cluster_pb2.View(healthy=[peer_info_to_wire(peer) for peer in answer.healthy]),
        highest_epoch=answer.highest_epoch,
        refusal=answer.refusal,
        promised_ms=_milliseconds(answer.promised),
    )


def answer_from_wire(message: cluster_pb2.LeaderNotificationResponse) -> m.LeadershipAnswer:
    """Return the answer that a message holds."""
    return m.LeadershipAnswer(
        accepted=message.accepted,
        healthy=tuple(peer_info_from_wire(peer) for peer in message.view.healthy),
        highest_epoch=message.highest_epoch,
        refusal=message.refusal,
        promised=timedelta(milliseconds=message.promised_ms),
    )


def _milliseconds(duration: timedelta) -> int:
    """Return whole milliseconds, rounded up: a promise is never told shorter than it is."""
    return -(-duration // timedelta(milliseconds=1))


def header_to_wire(header: m.Header) -> manager_pb2.CommonRequestHeader:
    """Return the message of a header."""
    return manager_pb2.CommonRequestHeader(
        leadership_token=header.leadership_token, cluster_name=header.cluster_name, leadership_epoch=header.epoch
    )


def header_from_wire(message: manager_pb2.CommonRequestHeader) -> m.Header:
    """Return the header of a message."""
    return m.Header(leadership_token=message.leadership_token, cluster_name=message.cluster_name, epoch=message.leadership_epoch)


def node_to_wire(node: EtcdNode) -> manager_pb2.EtcdNode:
    """Return the message of a node."""
    return manager_pb2.EtcdNode(
        name=node.name,
        peer_urls=node.peer_urls,
        client_urls=node.client_urls,
        quarantined_client_urls=node.quarantined_client_urls,
        tls_enabled=node.tls_enabled,
    )


def node_from_wire(message: manager_pb2.EtcdNode) -> EtcdNode:
    """Return the node of a message."""
    return EtcdNode(
        name=message.name,
        peer_urls=tuple(message.peer_urls),
        client_urls=tuple(message.client_urls),
        quarantined_client_urls=tuple(message.quarantined_client_urls),
        tls_enabled=message.tls_enabled,
    )


def nodes_from_wire(nodes: Iterable[manager_pb2.EtcdNode]) -> tuple[EtcdNode, ...]:
    """Return the nodes of a repeated field, in its order."""
    return tuple(node_from_wire(node) for node in nodes)


def state_to_wire(state: m.EtcdState) -> manager_pb2.EtcdState:
    """Return the message of a member's desired state."""
    message = manager_pb2.EtcdState(
        new_cluster=state.new_cluster,
        etcd_version=state.etcd_version,
        quarantined=state.quarantined,
        joining=state.joining,
        archive_token=state.archive_token,
        restored=state.restored,
    )
    if state.cluster is not None:
        message.cluster.cluster_token = state.cluster.token
        message.cluster.nodes.extend(node_to_wire(node) for node in state.cluster.nodes)
    return message


def state_from_wire(message: manager_pb2.EtcdState) -> m.EtcdState:
    """Return the state of a message; a cluster without a token is none, as in the Go program's idle state."""
    cluster = None
    if message.HasField("cluster") and message.cluster.cluster_token:
        cluster = m.EtcdCluster(token=message.cluster.cluster_token, nodes=nodes_from_wire(message.cluster.nodes))
    return m.EtcdState(
        cluster=cluster,
        new_cluster=message.new_cluster,
        etcd_version=message.etcd_version,
        quarantined=message.quarantined,
        joining=message.joining,
        archive_token=message.archive_token,
        restored=message.restored,
    )


def info_to_wire(info: m.Info) -> manager_pb2.GetInfoResponse:
    """Return the message of GetInfo's answer."""
    message = manager_pb2.GetInfoResponse(
        cluster_name=info.cluster_name, node_configuration=node_to_wire(info.node), disk_empty=info.disk_empty
    )
    if info.state is not None:
        message.etcd_state.CopyFrom(state_to_wire(info.state))
    return message


def info_from_wire(message: manager_pb2.GetInfoResponse) -> m.Info:
    """Return GetInfo's answer; a state without a cluster is none."""
    state = state_from_wire(message.etcd_state) if message.HasField("etcd_state") else None
    return m.Info(
        cluster_name=message.cluster_name,
        node=node_from_wire(message.node_configuration),
        state=state if state is not None and state.cluster is not None else None,
        disk_empty=message.disk_empty,
    )


def join_to_wire(request: m.JoinRequest, header: m.Header) -> manager_pb2.JoinClusterRequest:
    """Return the message of a join request."""
    return manager_pb2.JoinClusterRequest(
        header=header_to_wire(header),
        phase=manager_pb2.Phase.Name(request.phase.value),
        cluster_token=request.cluster_token,
        nodes=[node_to_wire(node) for node in request.nodes],
        etcd_version=request.etcd_version,
        start_open=request.start_open,
    )


def join_from_wire(message: manager_pb2.JoinClusterRequest) -> m.JoinRequest:
    """Return the join request of a message; ValueError for a phase that we do not know."""
    return m.JoinRequest(
        phase=m.JoinPhase(message.phase),
        cluster_token=message.cluster_token,
        nodes=nodes_from_wire(message.nodes),
        etcd_version=message.etcd_version,
        start_open=message.start_open,
    )


def member_map_to_wire(members: Iterable[m.MemberMapEntry]) -> manager_pb2.MemberMap:
    """Return the message of a member map."""
    return manager_pb2.MemberMap(
        members=[manager_pb2.MemberMapInfo(name=entry.name, dns=entry.dns, addresses=entry.addresses) for entry in members]
    )


def member_map_from_wire(message: manager_pb2.MemberMap) -> tuple[m.MemberMapEntry, ...]:
    """Return the entries of a member map."""
    return tuple(m.MemberMapEntry(name=entry.name, dns=entry.dns, addresses=tuple(entry.addresses)) for entry in message.members)


def backup_info_to_wire(info: m.BackupInfo) -> manager_pb2.BackupInfo:
    """Return the message of a backup's metadata."""
    message = manager_pb2.BackupInfo(etcd_version=info.etcd_version)
    if info.timestamp is not None:
        message.timestamp = int(info.timestamp.timestamp())
    if info.cluster_spec is not None:
        message.cluster_spec.member_count = info.cluster_spec.member_count
        message.cluster_spec.etcd_version = info.cluster_spec.etcd_version
    return message


def backup_info_from_wire(message: manager_pb2.BackupInfo) -> m.BackupInfo:
    """Return a backup's metadata."""
    spec = None
    if message.HasField("cluster_spec"):
        spec = ClusterSpec(member_count=message.cluster_spec.member_count, etcd_version=message.cluster_spec.etcd_version)
    return m.BackupInfo(
        etcd_version=message.etcd_version,
        timestamp=_EPOCH + timedelta(seconds=message.timestamp) if message.timestamp else None,
        cluster_spec=spec,
    )


def unix_ms(moment: datetime | None) -> int:
    """Return milliseconds since 1970, 0 for None."""
    return 0 if moment is None else (moment - _EPOCH) // timedelta(milliseconds=1)


def from_unix_ms(value: int) -> datetime | None:
    """Return the moment, None for 0."""
    return _EPOCH + timedelta(milliseconds=value) if value else None


def description_to_wire(description: m.Description) -> member_pb2.DescribeResponse:
    """Return the message of a description."""
    hold = description.hold
    message = member_pb2.DescribeResponse(
        peer_id=description.peer_id,
        manager_version=description.manager_version,
        capabilities=description.capabilities,
        info=info_to_wire(description.info),
        disk=_disk_to_wire(description.disk),
        process=_process_to_wire(description.process),
        binaries=[_binaries_to_wire(found) for found in description.binaries],
        hold_code=hold.code if hold else "",
        hold_reason=hold.reason if hold else "",
        hold_hint=hold.hint if hold else "",
        leader_id=description.leader_id,
        leadership_epoch=description.leadership_epoch,
        prepared_token=description.prepared_token,
        now_unix_ms=unix_ms(description.now),
    )
    if description.etcd is not None:
        message.etcd.CopyFrom(_live_to_wire(description.etcd))
    if description.restore is not None:
        message.restore.CopyFrom(_restore_to_wire(description.restore))
    return message


def description_from_wire(message: member_pb2.DescribeResponse) -> m.Description:
    """Return the description of a message."""
    hold = m.Hold(code=message.hold_code, reason=message.hold_reason, hint=message.hold_hint) if message.hold_code else None
    return m.Description(
        peer_id=message.peer_id,
        manager_version=message.manager_version,
        capabilities=tuple(message.capabilities),
        info=info_from_wire(message.info),
        disk=_disk_from_wire(message.disk),
        process=_process_from_wire(message.process),
        etcd=_live_from_wire(message.etcd) if message.HasField("etcd") else None,
        binaries=tuple(_binaries_from_wire(found) for found in message.binaries),
        restore=_restore_from_wire(message.restore) if message.HasField("restore") else None,
        hold=hold,
        leader_id=message.leader_id,
        leadership_epoch=message.leadership_epoch,
        prepared_token=message.prepared_token,
        now=from_unix_ms(message.now_unix_ms),
    )


def prepare_to_wire(request: m.PrepareRestoreRequest, header: m.Header) -> member_pb2.PrepareRestoreRequest:
    """Return the message of a request to prepare a restore."""
    return member_pb2.PrepareRestoreRequest(
        header=header_to_wire(header),
        storage=request.storage,
        backup_name=request.backup_name,
        cluster_token=request.cluster_token,
        nodes=[node_to_wire(node) for node in request.nodes],
        etcd_version=request.etcd_version,
        bump_revision=request.bump_revision,
        mark_compacted=request.mark_compacted,
    )


def prepare_from_wire(message: member_pb2.PrepareRestoreRequest) -> m.PrepareRestoreRequest:
    """Return the request of a message."""
    return m.PrepareRestoreRequest(
        storage=message.storage,
        backup_name=message.backup_name,
        cluster_token=message.cluster_token,
        nodes=nodes_from_wire(message.nodes),
        etcd_version=message.etcd_version,
        bump_revision=message.bump_revision,
        mark_compacted=message.mark_compacted,
    )


def prepared_to_wire(prepared: m.PreparedRestore) -> member_pb2.Prepared:
    """Return the message of a prepared restore's figures."""
    return member_pb2.Prepared(
        revision=prepared.revision,
        keys=prepared.keys,
        leases=prepared.leases,
        db_size_bytes=prepared.db_size_bytes,
        revision_bumped=prepared.revision_bumped,
        marked_compacted=prepared.marked_compacted,
        tool=prepared.tool,
        duration_ms=prepared.duration_ms,
    )


def prepared_from_wire(message: member_pb2.Prepared) -> m.PreparedRestore:
    """Return a prepared restore's figures."""
    return m.PreparedRestore(
        revision=message.revision,
        keys=message.keys,
        leases=message.leases,
        db_size_bytes=message.db_size_bytes,
        revision_bumped=message.revision_bumped,
        marked_compacted=message.marked_compacted,
        tool=message.tool,
        duration_ms=message.duration_ms,
    )


def take_backup_to_wire(request: m.TakeBackupRequest, header: m.Header) -> member_pb2.TakeBackupRequest:
    """Return the message of a backup request."""
    return member_pb2.TakeBackupRequest(
        header=header_to_wire(header),
        storage=request.storage,
        info=backup_info_to_wire(request.info),
        reason=request.reason,
        label=request.label,
    )


def take_backup_from_wire(message: member_pb2.TakeBackupRequest) -> m.TakeBackupRequest:
    """Return the backup request of a message."""
    return m.TakeBackupRequest(
        storage=message.storage, info=backup_info_from_wire(message.info), reason=message.reason, label=message.label
    )


def taken_to_wire(taken: m.TakenBackup) -> member_pb2.TakenBackup:
    """Return the message of a taken backup."""
    return member_pb2.TakenBackup(
        name=taken.name,
        size_bytes=taken.size_bytes,
        db_size_bytes=taken.db_size_bytes,
        revision=taken.revision,
        keys=taken.keys,
        duration_ms=taken.duration_ms,
        verified=taken.verified,
    )


def taken_from_wire(message: member_pb2.TakenBackup) -> m.TakenBackup:
    """Return the taken backup of a message."""
    return m.TakenBackup(
        name=message.name,
        size_bytes=message.size_bytes,
        db_size_bytes=message.db_size_bytes,
        revision=message.revision,
        keys=message.keys,
        duration_ms=message.duration_ms,
        verified=message.verified,
    )


def restore_progress_to_wire(progress: m.Progress) -> member_pb2.RestoreProgress:
    """Return the message of news about a restore."""
    return member_pb2.RestoreProgress(
        stage=progress.stage, done_bytes=progress.done_bytes, total_bytes=progress.total_bytes, message=progress.message
    )


def backup_progress_to_wire(progress: m.Progress) -> member_pb2.BackupProgress:
    """Return the message of news about a backup."""
    return member_pb2.BackupProgress(stage=progress.stage, done_bytes=progress.done_bytes, total_bytes=progress.total_bytes)


def progress_from_wire(message: member_pb2.RestoreProgress | member_pb2.BackupProgress) -> m.Progress:
    """Return the news of a message."""
    text = message.message if isinstance(message, member_pb2.RestoreProgress) else ""
    return m.Progress(stage=message.stage, done_bytes=message.done_bytes, total_bytes=message.total_bytes, message=text)


def _disk_to_wire(disk: m.DiskReport) -> member_pb2.Disk:
    return member_pb2.Disk(
        has_state=disk.has_state,
        data_tokens=disk.data_tokens,
        trash=disk.trash,
        incoming=disk.incoming,
        free_bytes=disk.free_bytes,
        total_bytes=disk.total_bytes,
        trash_bytes=disk.trash_bytes,
    )


def _disk_from_wire(message: member_pb2.Disk) -> m.DiskReport:
    return m.DiskReport(
        has_state=message.has_state,
        data_tokens=tuple(message.data_tokens),
        trash=tuple(message.trash),
        incoming=tuple(message.incoming),
        free_bytes=message.free_bytes,
        total_bytes=message.total_bytes,
        trash_bytes=message.trash_bytes,
    )


def _process_to_wire(process: m.ProcessReport) -> member_pb2.Process:
    return member_pb2.Process(
        running=process.running,
        pid=process.pid,
        started_unix_ms=unix_ms(process.started),
        version=process.version,
        cluster_token=process.cluster_token,
        quarantined=process.quarantined,
        failures=process.failures,
        next_start_unix_ms=unix_ms(process.next_start),
        last_exit=process.last_exit,
        last_log_lines=process.last_log_lines,
        adopted=process.adopted,
    )


def _process_from_wire(message: member_pb2.Process) -> m.ProcessReport:
    return m.ProcessReport(
        running=message.running,
        pid=message.pid,
        started=from_unix_ms(message.started_unix_ms),
        version=message.version,
        cluster_token=message.cluster_token,
        quarantined=message.quarantined,
        failures=message.failures,
        next_start=from_unix_ms(message.next_start_unix_ms),
        last_exit=message.last_exit,
        last_log_lines=tuple(message.last_log_lines),
        adopted=message.adopted,
    )


def _live_to_wire(status: m.LiveStatus) -> member_pb2.LiveStatus:
    return member_pb2.LiveStatus(
        member_id=status.member_id,
        cluster_id=status.cluster_id,
        leader_id=status.leader_id,
        raft_index=status.raft_index,
        raft_applied_index=status.raft_applied_index,
        raft_term=status.raft_term,
        revision=status.revision,
        db_size_bytes=status.db_size_bytes,
        db_in_use_bytes=status.db_in_use_bytes,
        version=status.version,
        is_learner=status.is_learner,
        errors=status.errors,
        storage_version=status.storage_version,
        downgrade_target=status.downgrade_target,
        quota_bytes=status.quota_bytes,
    )


def _live_from_wire(message: member_pb2.LiveStatus) -> m.LiveStatus:
    return m.LiveStatus(
        member_id=message.member_id,
        cluster_id=message.cluster_id,
        leader_id=message.leader_id,
        raft_index=message.raft_index,
        raft_applied_index=message.raft_applied_index,
        raft_term=message.raft_term,
        revision=message.revision,
        db_size_bytes=message.db_size_bytes,
        db_in_use_bytes=message.db_in_use_bytes,
        version=message.version,
        is_learner=message.is_learner,
        errors=tuple(message.errors),
        storage_version=message.storage_version,
        downgrade_target=message.downgrade_target,
        quota_bytes=message.quota_bytes,
    )


def _binaries_to_wire(found: m.BinariesReport) -> member_pb2.Binaries:
    return member_pb2.Binaries(
        version=found.version, directory=found.directory, has_etcdctl=found.has_etcdctl, has_etcdutl=found.has_etcdutl
    )


def _binaries_from_wire(message: member_pb2.Binaries) -> m.BinariesReport:
    return m.BinariesReport(
        version=message.version, directory=message.directory, has_etcdctl=message.has_etcdctl, has_etcdutl=message.has_etcdutl
    )


def _restore_to_wire(restore: m.RestoreReport) -> member_pb2.Restore:
    message = member_pb2.Restore(phase=restore.phase.value, cluster_token=restore.cluster_token, backup_name=restore.backup_name)
    if restore.prepared is not None:
        message.prepared.CopyFrom(prepared_to_wire(restore.prepared))
    return message


def _restore_from_wire(message: member_pb2.Restore) -> m.RestoreReport:
    return m.RestoreReport(
        phase=m.RestorePhase(message.phase),
        cluster_token=message.cluster_token,
        backup_name=message.backup_name,
        prepared=prepared_from_wire(message.prepared) if message.HasField("prepared") else None,
    )
