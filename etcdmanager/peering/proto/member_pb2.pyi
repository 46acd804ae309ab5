from etcdmanager.peering.proto import manager_pb2 as _manager_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class DescribeRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class DescribeResponse(_message.Message):
    __slots__ = ("peer_id", "manager_version", "capabilities", "info", "disk", "process", "etcd", "binaries", "restore", "hold_code", "hold_reason", "hold_hint", "leader_id", "leadership_epoch", "prepared_token", "now_unix_ms")
    PEER_ID_FIELD_NUMBER: _ClassVar[int]
    MANAGER_VERSION_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    DISK_FIELD_NUMBER: _ClassVar[int]
    PROCESS_FIELD_NUMBER: _ClassVar[int]
    ETCD_FIELD_NUMBER: _ClassVar[int]
    BINARIES_FIELD_NUMBER: _ClassVar[int]
    RESTORE_FIELD_NUMBER: _ClassVar[int]
    HOLD_CODE_FIELD_NUMBER: _ClassVar[int]
    HOLD_REASON_FIELD_NUMBER: _ClassVar[int]
    HOLD_HINT_FIELD_NUMBER: _ClassVar[int]
    LEADER_ID_FIELD_NUMBER: _ClassVar[int]
    LEADERSHIP_EPOCH_FIELD_NUMBER: _ClassVar[int]
    PREPARED_TOKEN_FIELD_NUMBER: _ClassVar[int]
    NOW_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    peer_id: str
    manager_version: str
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    info: _manager_pb2.GetInfoResponse
    disk: Disk
    process: Process
    etcd: LiveStatus
    binaries: _containers.RepeatedCompositeFieldContainer[Binaries]
    restore: Restore
    hold_code: str
    hold_reason: str
    hold_hint: str
    leader_id: str
    leadership_epoch: int
    prepared_token: str
    now_unix_ms: int
    def __init__(self, peer_id: _Optional[str] = ..., manager_version: _Optional[str] = ..., capabilities: _Optional[_Iterable[str]] = ..., info: _Optional[_Union[_manager_pb2.GetInfoResponse, _Mapping]] = ..., disk: _Optional[_Union[Disk, _Mapping]] = ..., process: _Optional[_Union[Process, _Mapping]] = ..., etcd: _Optional[_Union[LiveStatus, _Mapping]] = ..., binaries: _Optional[_Iterable[_Union[Binaries, _Mapping]]] = ..., restore: _Optional[_Union[Restore, _Mapping]] = ..., hold_code: _Optional[str] = ..., hold_reason: _Optional[str] = ..., hold_hint: _Optional[str] = ..., leader_id: _Optional[str] = ..., leadership_epoch: _Optional[int] = ..., prepared_token: _Optional[str] = ..., now_unix_ms: _Optional[int] = ...) -> None: ...

class Disk(_message.Message):
    __slots__ = ("has_state", "data_tokens", "trash", "incoming", "free_bytes", "total_bytes", "trash_bytes")
    HAS_STATE_FIELD_NUMBER: _ClassVar[int]
    DATA_TOKENS_FIELD_NUMBER: _ClassVar[int]
    TRASH_FIELD_NUMBER: _ClassVar[int]
    INCOMING_FIELD_NUMBER: _ClassVar[int]
    FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    TRASH_BYTES_FIELD_NUMBER: _ClassVar[int]
    has_state: bool
    data_tokens: _containers.RepeatedScalarFieldContainer[str]
    trash: _containers.RepeatedScalarFieldContainer[str]
    incoming: _containers.RepeatedScalarFieldContainer[str]
    free_bytes: int
    total_bytes: int
    trash_bytes: int
    def __init__(self, has_state: _Optional[bool] = ..., data_tokens: _Optional[_Iterable[str]] = ..., trash: _Optional[_Iterable[str]] = ..., incoming: _Optional[_Iterable[str]] = ..., free_bytes: _Optional[int] = ..., total_bytes: _Optional[int] = ..., trash_bytes: _Optional[int] = ...) -> None: ...

class Process(_message.Message):
    __slots__ = ("running", "pid", "started_unix_ms", "version", "cluster_token", "quarantined", "failures", "next_start_unix_ms", "last_exit", "last_log_lines", "adopted")
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    STARTED_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_TOKEN_FIELD_NUMBER: _ClassVar[int]
    QUARANTINED_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    NEXT_START_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    LAST_EXIT_FIELD_NUMBER: _ClassVar[int]
    LAST_LOG_LINES_FIELD_NUMBER: _ClassVar[int]
    ADOPTED_FIELD_NUMBER: _ClassVar[int]
    running: bool
    pid: int
    started_unix_ms: int
    version: str
    cluster_token: str
    quarantined: bool
    failures: int
    next_start_unix_ms: int
    last_exit: str
    last_log_lines: _containers.RepeatedScalarFieldContainer[str]
    adopted: bool
    def __init__(self, running: _Optional[bool] = ..., pid: _Optional[int] = ..., started_unix_ms: _Optional[int] = ..., version: _Optional[str] = ..., cluster_token: _Optional[str] = ..., quarantined: _Optional[bool] = ..., failures: _Optional[int] = ..., next_start_unix_ms: _Optional[int] = ..., last_exit: _Optional[str] = ..., last_log_lines: _Optional[_Iterable[str]] = ..., adopted: _Optional[bool] = ...) -> None: ...

class LiveStatus(_message.Message):
    __slots__ = ("member_id", "cluster_id", "leader_id", "raft_index", "raft_applied_index", "raft_term", "revision", "db_size_bytes", "db_in_use_bytes", "version", "is_learner", "errors", "storage_version", "downgrade_target", "quota_bytes")
    MEMBER_ID_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    LEADER_ID_FIELD_NUMBER: _ClassVar[int]
    RAFT_INDEX_FIELD_NUMBER: _ClassVar[int]
    RAFT_APPLIED_INDEX_FIELD_NUMBER: _ClassVar[int]
    RAFT_TERM_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    DB_SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DB_IN_USE_BYTES_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    IS_LEARNER_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    STORAGE_VERSION_FIELD_NUMBER: _ClassVar[int]
    DOWNGRADE_TARGET_FIELD_NUMBER: _ClassVar[int]
    QUOTA_BYTES_FIELD_NUMBER: _ClassVar[int]
    member_id: int
    cluster_id: int
    leader_id: int
    raft_index: int
    raft_applied_index: int
    raft_term: int
    revision: int
    db_size_bytes: int
    db_in_use_bytes: int
    version: str
    is_learner: bool
    errors: _containers.RepeatedScalarFieldContainer[str]
    storage_version: str
    downgrade_target: str
    quota_bytes: int
    def __init__(self, member_id: _Optional[int] = ..., cluster_id: _Optional[int] = ..., leader_id: _Optional[int] = ..., raft_index: _Optional[int] = ..., raft_applied_index: _Optional[int] = ..., raft_term: _Optional[int] = ..., revision: _Optional[int] = ..., db_size_bytes: _Optional[int] = ..., db_in_use_bytes: _Optional[int] = ..., version: _Optional[str] = ..., is_learner: _Optional[bool] = ..., errors: _Optional[_Iterable[str]] = ..., storage_version: _Optional[str] = ..., downgrade_target: _Optional[str] = ..., quota_bytes: _Optional[int] = ...) -> None: ...

class Binaries(_message.Message):
    __slots__ = ("version", "directory", "has_etcdctl", "has_etcdutl")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    HAS_ETCDCTL_FIELD_NUMBER: _ClassVar[int]
    HAS_ETCDUTL_FIELD_NUMBER: _ClassVar[int]
    version: str
    directory: str
    has_etcdctl: bool
    has_etcdutl: bool
    def __init__(self, version: _Optional[str] = ..., directory: _Optional[str] = ..., has_etcdctl: _Optional[bool] = ..., has_etcdutl: _Optional[bool] = ...) -> None: ...

class Restore(_message.Message):
    __slots__ = ("phase", "cluster_token", "backup_name", "prepared")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_TOKEN_FIELD_NUMBER: _ClassVar[int]
    BACKUP_NAME_FIELD_NUMBER: _ClassVar[int]
    PREPARED_FIELD_NUMBER: _ClassVar[int]
    phase: str
    cluster_token: str
    backup_name: str
    prepared: Prepared
    def __init__(self, phase: _Optional[str] = ..., cluster_token: _Optional[str] = ..., backup_name: _Optional[str] = ..., prepared: _Optional[_Union[Prepared, _Mapping]] = ...) -> None: ...

class PrepareRestoreRequest(_message.Message):
    __slots__ = ("header", "storage", "backup_name", "cluster_token", "nodes", "etcd_version", "bump_revision", "mark_compacted")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    STORAGE_FIELD_NUMBER: _ClassVar[int]
    BACKUP_NAME_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_TOKEN_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    ETCD_VERSION_FIELD_NUMBER: _ClassVar[int]
    BUMP_REVISION_FIELD_NUMBER: _ClassVar[int]
    MARK_COMPACTED_FIELD_NUMBER: _ClassVar[int]
    header: _manager_pb2.CommonRequestHeader
    storage: str
    backup_name: str
    cluster_token: str
    nodes: _containers.RepeatedCompositeFieldContainer[_manager_pb2.EtcdNode]
    etcd_version: str
    bump_revision: int
    mark_compacted: bool
    def __init__(self, header: _Optional[_Union[_manager_pb2.CommonRequestHeader, _Mapping]] = ..., storage: _Optional[str] = ..., backup_name: _Optional[str] = ..., cluster_token: _Optional[str] = ..., nodes: _Optional[_Iterable[_Union[_manager_pb2.EtcdNode, _Mapping]]] = ..., etcd_version: _Optional[str] = ..., bump_revision: _Optional[int] = ..., mark_compacted: _Optional[bool] = ...) -> None: ...

class RestoreProgress(_message.Message):
    __slots__ = ("stage", "done_bytes", "total_bytes", "message", "result")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    DONE_BYTES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    stage: str
    done_bytes: int
    total_bytes: int
    message: str
    result: Prepared
    def __init__(self, stage: _Optional[str] = ..., done_bytes: _Optional[int] = ..., total_bytes: _Optional[int] = ..., message: _Optional[str] = ..., result: _Optional[_Union[Prepared, _Mapping]] = ...) -> None: ...

class Prepared(_message.Message):
    __slots__ = ("revision", "keys", "leases", "db_size_bytes", "revision_bumped", "marked_compacted", "tool", "duration_ms")
    REVISION_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    LEASES_FIELD_NUMBER: _ClassVar[int]
    DB_SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    REVISION_BUMPED_FIELD_NUMBER: _ClassVar[int]
    MARKED_COMPACTED_FIELD_NUMBER: _ClassVar[int]
    TOOL_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    revision: int
    keys: int
    leases: int
    db_size_bytes: int
    revision_bumped: bool
    marked_compacted: bool
    tool: str
    duration_ms: int
    def __init__(self, revision: _Optional[int] = ..., keys: _Optional[int] = ..., leases: _Optional[int] = ..., db_size_bytes: _Optional[int] = ..., revision_bumped: _Optional[bool] = ..., marked_compacted: _Optional[bool] = ..., tool: _Optional[str] = ..., duration_ms: _Optional[int] = ...) -> None: ...

class CommitRestoreRequest(_message.Message):
    __slots__ = ("header", "cluster_token")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_TOKEN_FIELD_NUMBER: _ClassVar[int]
    header: _manager_pb2.CommonRequestHeader
    cluster_token: str
    def __init__(self, header: _Optional[_Union[_manager_pb2.CommonRequestHeader, _Mapping]] = ..., cluster_token: _Optional[str] = ...) -> None: ...

class CommitRestoreResponse(_message.Message):
    __slots__ = ("archived_token",)
    ARCHIVED_TOKEN_FIELD_NUMBER: _ClassVar[int]
    archived_token: str
    def __init__(self, archived_token: _Optional[str] = ...) -> None: ...

class AbortRestoreRequest(_message.Message):
    __slots__ = ("header", "cluster_token")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_TOKEN_FIELD_NUMBER: _ClassVar[int]
    header: _manager_pb2.CommonRequestHeader
    cluster_token: str
    def __init__(self, header: _Optional[_Union[_manager_pb2.CommonRequestHeader, _Mapping]] = ..., cluster_token: _Optional[str] = ...) -> None: ...

class AbortRestoreResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TakeBackupRequest(_message.Message):
    __slots__ = ("header", "storage", "info", "reason", "label")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    STORAGE_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    header: _manager_pb2.CommonRequestHeader
    storage: str
    info: _manager_pb2.BackupInfo
    reason: str
    label: str
    def __init__(self, header: _Optional[_Union[_manager_pb2.CommonRequestHeader, _Mapping]] = ..., storage: _Optional[str] = ..., info: _Optional[_Union[_manager_pb2.BackupInfo, _Mapping]] = ..., reason: _Optional[str] = ..., label: _Optional[str] = ...) -> None: ...

class BackupProgress(_message.Message):
    __slots__ = ("stage", "done_bytes", "total_bytes", "result")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    DONE_BYTES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    stage: str
    done_bytes: int
    total_bytes: int
    result: TakenBackup
    def __init__(self, stage: _Optional[str] = ..., done_bytes: _Optional[int] = ..., total_bytes: _Optional[int] = ..., result: _Optional[_Union[TakenBackup, _Mapping]] = ...) -> None: ...

class TakenBackup(_message.Message):
    __slots__ = ("name", "size_bytes", "db_size_bytes", "revision", "keys", "duration_ms", "verified")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DB_SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    VERIFIED_FIELD_NUMBER: _ClassVar[int]
    name: str
    size_bytes: int
    db_size_bytes: int
    revision: int
    keys: int
    duration_ms: int
    verified: bool
    def __init__(self, name: _Optional[str] = ..., size_bytes: _Optional[int] = ..., db_size_bytes: _Optional[int] = ..., revision: _Optional[int] = ..., keys: _Optional[int] = ..., duration_ms: _Optional[int] = ..., verified: _Optional[bool] = ...) -> None: ...
