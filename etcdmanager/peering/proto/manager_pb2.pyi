from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Phase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PHASE_UNKNOWN: _ClassVar[Phase]
    PHASE_PREPARE: _ClassVar[Phase]
    PHASE_INITIAL_CLUSTER: _ClassVar[Phase]
    PHASE_JOIN_EXISTING: _ClassVar[Phase]
    PHASE_CANCEL_PREPARE: _ClassVar[Phase]
PHASE_UNKNOWN: Phase
PHASE_PREPARE: Phase
PHASE_INITIAL_CLUSTER: Phase
PHASE_JOIN_EXISTING: Phase
PHASE_CANCEL_PREPARE: Phase

class ClusterSpec(_message.Message):
    __slots__ = ("member_count", "etcd_version")
    MEMBER_COUNT_FIELD_NUMBER: _ClassVar[int]
    ETCD_VERSION_FIELD_NUMBER: _ClassVar[int]
    member_count: int
    etcd_version: str
    def __init__(self, member_count: _Optional[int] = ..., etcd_version: _Optional[str] = ...) -> None: ...

class Command(_message.Message):
    __slots__ = ("timestamp", "restore_backup")
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    RESTORE_BACKUP_FIELD_NUMBER: _ClassVar[int]
    timestamp: int
    restore_backup: RestoreBackupCommand
    def __init__(self, timestamp: _Optional[int] = ..., restore_backup: _Optional[_Union[RestoreBackupCommand, _Mapping]] = ...) -> None: ...

class RestoreBackupCommand(_message.Message):
    __slots__ = ("cluster_spec", "backup")
    CLUSTER_SPEC_FIELD_NUMBER: _ClassVar[int]
    BACKUP_FIELD_NUMBER: _ClassVar[int]
    cluster_spec: ClusterSpec
    backup: str
    def __init__(self, cluster_spec: _Optional[_Union[ClusterSpec, _Mapping]] = ..., backup: _Optional[str] = ...) -> None: ...

class CommonRequestHeader(_message.Message):
    __slots__ = ("leadership_token", "cluster_name", "leadership_epoch")
    LEADERSHIP_TOKEN_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_NAME_FIELD_NUMBER: _ClassVar[int]
    LEADERSHIP_EPOCH_FIELD_NUMBER: _ClassVar[int]
    leadership_token: str
    cluster_name: str
    leadership_epoch: int
    def __init__(self, leadership_token: _Optional[str] = ..., cluster_name: _Optional[str] = ..., leadership_epoch: _Optional[int] = ...) -> None: ...

class EtcdNode(_message.Message):
    __slots__ = ("name", "peer_urls", "client_urls", "quarantined_client_urls", "tls_enabled")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PEER_URLS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_URLS_FIELD_NUMBER: _ClassVar[int]
    QUARANTINED_CLIENT_URLS_FIELD_NUMBER: _ClassVar[int]
    TLS_ENABLED_FIELD_NUMBER: _ClassVar[int]
    name: str
    peer_urls: _containers.RepeatedScalarFieldContainer[str]
    client_urls: _containers.RepeatedScalarFieldContainer[str]
    quarantined_client_urls: _containers.RepeatedScalarFieldContainer[str]
    tls_enabled: bool
    def __init__(self, name: _Optional[str] = ..., peer_urls: _Optional[_Iterable[str]] = ..., client_urls: _Optional[_Iterable[str]] = ..., quarantined_client_urls: _Optional[_Iterable[str]] = ..., tls_enabled: _Optional[bool] = ...) -> None: ...

class EtcdCluster(_message.Message):
    __slots__ = ("desired_cluster_size", "cluster_token", "nodes")
    DESIRED_CLUSTER_SIZE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_TOKEN_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    desired_cluster_size: int
    cluster_token: str
    nodes: _containers.RepeatedCompositeFieldContainer[EtcdNode]
    def __init__(self, desired_cluster_size: _Optional[int] = ..., cluster_token: _Optional[str] = ..., nodes: _Optional[_Iterable[_Union[EtcdNode, _Mapping]]] = ...) -> None: ...

class EtcdState(_message.Message):
    __slots__ = ("new_cluster", "cluster", "etcd_version", "quarantined", "joining", "archive_token", "restored")
    NEW_CLUSTER_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    ETCD_VERSION_FIELD_NUMBER: _ClassVar[int]
    QUARANTINED_FIELD_NUMBER: _ClassVar[int]
    JOINING_FIELD_NUMBER: _ClassVar[int]
    ARCHIVE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    RESTORED_FIELD_NUMBER: _ClassVar[int]
    new_cluster: bool
    cluster: EtcdCluster
    etcd_version: str
    quarantined: bool
    joining: bool
    archive_token: str
    restored: bool
    def __init__(self, new_cluster: _Optional[bool] = ..., cluster: _Optional[_Union[EtcdCluster, _Mapping]] = ..., etcd_version: _Optional[str] = ..., quarantined: _Optional[bool] = ..., joining: _Optional[bool] = ..., archive_token: _Optional[str] = ..., restored: _Optional[bool] = ...) -> None: ...

class GetInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetInfoResponse(_message.Message):
    __slots__ = ("cluster_name", "node_configuration", "etcd_state", "disk_empty")
    CLUSTER_NAME_FIELD_NUMBER: _ClassVar[int]
    NODE_CONFIGURATION_FIELD_NUMBER: _ClassVar[int]
    ETCD_STATE_FIELD_NUMBER: _ClassVar[int]
    DISK_EMPTY_FIELD_NUMBER: _ClassVar[int]
    cluster_name: str
    node_configuration: EtcdNode
    etcd_state: EtcdState
    disk_empty: bool
    def __init__(self, cluster_name: _Optional[str] = ..., node_configuration: _Optional[_Union[EtcdNode, _Mapping]] = ..., etcd_state: _Optional[_Union[EtcdState, _Mapping]] = ..., disk_empty: _Optional[bool] = ...) -> None: ...

class UpdateEndpointsRequest(_message.Message):
    __slots__ = ("member_map",)
    MEMBER_MAP_FIELD_NUMBER: _ClassVar[int]
    member_map: MemberMap
    def __init__(self, member_map: _Optional[_Union[MemberMap, _Mapping]] = ...) -> None: ...

class MemberMap(_message.Message):
    __slots__ = ("members",)
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    members: _containers.RepeatedCompositeFieldContainer[MemberMapInfo]
    def __init__(self, members: _Optional[_Iterable[_Union[MemberMapInfo, _Mapping]]] = ...) -> None: ...

class MemberMapInfo(_message.Message):
    __slots__ = ("name", "dns", "addresses")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DNS_FIELD_NUMBER: _ClassVar[int]
    ADDRESSES_FIELD_NUMBER: _ClassVar[int]
    name: str
    dns: str
    addresses: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., dns: _Optional[str] = ..., addresses: _Optional[_Iterable[str]] = ...) -> None: ...

class UpdateEndpointsResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class BackupInfo(_message.Message):
    __slots__ = ("etcd_version", "timestamp", "cluster_spec")
    ETCD_VERSION_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_SPEC_FIELD_NUMBER: _ClassVar[int]
    etcd_version: str
    timestamp: int
    cluster_spec: ClusterSpec
    def __init__(self, etcd_version: _Optional[str] = ..., timestamp: _Optional[int] = ..., cluster_spec: _Optional[_Union[ClusterSpec, _Mapping]] = ...) -> None: ...

class DoBackupRequest(_message.Message):
    __slots__ = ("header", "storage", "allow_offline_backup", "info")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    STORAGE_FIELD_NUMBER: _ClassVar[int]
    ALLOW_OFFLINE_BACKUP_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    header: CommonRequestHeader
    storage: str
    allow_offline_backup: bool
    info: BackupInfo
    def __init__(self, header: _Optional[_Union[CommonRequestHeader, _Mapping]] = ..., storage: _Optional[str] = ..., allow_offline_backup: _Optional[bool] = ..., info: _Optional[_Union[BackupInfo, _Mapping]] = ...) -> None: ...

class DoBackupResponse(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DoRestoreRequest(_message.Message):
    __slots__ = ("header", "storage", "backup_name")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    STORAGE_FIELD_NUMBER: _ClassVar[int]
    BACKUP_NAME_FIELD_NUMBER: _ClassVar[int]
    header: CommonRequestHeader
    storage: str
    backup_name: str
    def __init__(self, header: _Optional[_Union[CommonRequestHeader, _Mapping]] = ..., storage: _Optional[str] = ..., backup_name: _Optional[str] = ...) -> None: ...

class DoRestoreResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StopEtcdRequest(_message.Message):
    __slots__ = ("header",)
    HEADER_FIELD_NUMBER: _ClassVar[int]
    header: CommonRequestHeader
    def __init__(self, header: _Optional[_Union[CommonRequestHeader, _Mapping]] = ...) -> None: ...

class StopEtcdResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class JoinClusterRequest(_message.Message):
    __slots__ = ("header", "phase", "cluster_token", "nodes", "add_node", "etcd_version", "start_open")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_TOKEN_FIELD_NUMBER: _ClassVar[int]
    NODES_FIELD_NUMBER: _ClassVar[int]
    ADD_NODE_FIELD_NUMBER: _ClassVar[int]
    ETCD_VERSION_FIELD_NUMBER: _ClassVar[int]
    START_OPEN_FIELD_NUMBER: _ClassVar[int]
    header: CommonRequestHeader
    phase: Phase
    cluster_token: str
    nodes: _containers.RepeatedCompositeFieldContainer[EtcdNode]
    add_node: EtcdNode
    etcd_version: str
    start_open: bool
    def __init__(self, header: _Optional[_Union[CommonRequestHeader, _Mapping]] = ..., phase: _Optional[_Union[Phase, str]] = ..., cluster_token: _Optional[str] = ..., nodes: _Optional[_Iterable[_Union[EtcdNode, _Mapping]]] = ..., add_node: _Optional[_Union[EtcdNode, _Mapping]] = ..., etcd_version: _Optional[str] = ..., start_open: _Optional[bool] = ...) -> None: ...

class JoinClusterResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReconfigureRequest(_message.Message):
    __slots__ = ("header", "set_etcd_version", "quarantined", "enable_tls", "adopt_peer_urls")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    SET_ETCD_VERSION_FIELD_NUMBER: _ClassVar[int]
    QUARANTINED_FIELD_NUMBER: _ClassVar[int]
    ENABLE_TLS_FIELD_NUMBER: _ClassVar[int]
    ADOPT_PEER_URLS_FIELD_NUMBER: _ClassVar[int]
    header: CommonRequestHeader
    set_etcd_version: str
    quarantined: bool
    enable_tls: bool
    adopt_peer_urls: bool
    def __init__(self, header: _Optional[_Union[CommonRequestHeader, _Mapping]] = ..., set_etcd_version: _Optional[str] = ..., quarantined: _Optional[bool] = ..., enable_tls: _Optional[bool] = ..., adopt_peer_urls: _Optional[bool] = ...) -> None: ...

class ReconfigureResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
