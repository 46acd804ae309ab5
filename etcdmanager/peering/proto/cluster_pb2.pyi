from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PingRequest(_message.Message):
    __slots__ = ("info",)
    INFO_FIELD_NUMBER: _ClassVar[int]
    info: PeerInfo
    def __init__(self, info: _Optional[_Union[PeerInfo, _Mapping]] = ...) -> None: ...

class PingResponse(_message.Message):
    __slots__ = ("info",)
    INFO_FIELD_NUMBER: _ClassVar[int]
    info: PeerInfo
    def __init__(self, info: _Optional[_Union[PeerInfo, _Mapping]] = ...) -> None: ...

class PeerInfo(_message.Message):
    __slots__ = ("id", "endpoints", "capabilities")
    ID_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    id: str
    endpoints: _containers.RepeatedScalarFieldContainer[str]
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., endpoints: _Optional[_Iterable[str]] = ..., capabilities: _Optional[_Iterable[str]] = ...) -> None: ...

class View(_message.Message):
    __slots__ = ("leader", "leadership_token", "healthy", "leadership_epoch", "promise_ms")
    LEADER_FIELD_NUMBER: _ClassVar[int]
    LEADERSHIP_TOKEN_FIELD_NUMBER: _ClassVar[int]
    HEALTHY_FIELD_NUMBER: _ClassVar[int]
    LEADERSHIP_EPOCH_FIELD_NUMBER: _ClassVar[int]
    PROMISE_MS_FIELD_NUMBER: _ClassVar[int]
    leader: PeerInfo
    leadership_token: str
    healthy: _containers.RepeatedCompositeFieldContainer[PeerInfo]
    leadership_epoch: int
    promise_ms: int
    def __init__(self, leader: _Optional[_Union[PeerInfo, _Mapping]] = ..., leadership_token: _Optional[str] = ..., healthy: _Optional[_Iterable[_Union[PeerInfo, _Mapping]]] = ..., leadership_epoch: _Optional[int] = ..., promise_ms: _Optional[int] = ...) -> None: ...

class LeaderNotificationRequest(_message.Message):
    __slots__ = ("view",)
    VIEW_FIELD_NUMBER: _ClassVar[int]
    view: View
    def __init__(self, view: _Optional[_Union[View, _Mapping]] = ...) -> None: ...

class LeaderNotificationResponse(_message.Message):
    __slots__ = ("accepted", "view", "highest_epoch", "refusal", "promised_ms")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    VIEW_FIELD_NUMBER: _ClassVar[int]
    HIGHEST_EPOCH_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    PROMISED_MS_FIELD_NUMBER: _ClassVar[int]
    accepted: bool
    view: View
    highest_epoch: int
    refusal: str
    promised_ms: int
    def __init__(self, accepted: _Optional[bool] = ..., view: _Optional[_Union[View, _Mapping]] = ..., highest_epoch: _Optional[int] = ..., refusal: _Optional[str] = ..., promised_ms: _Optional[int] = ...) -> None: ...
