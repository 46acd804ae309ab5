from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class ChallengeRequest(_message.Message):
    __slots__ = ("challenge_id", "challenge_random")
    CHALLENGE_ID_FIELD_NUMBER: _ClassVar[int]
    CHALLENGE_RANDOM_FIELD_NUMBER: _ClassVar[int]
    challenge_id: str
    challenge_random: bytes
    def __init__(self, challenge_id: _Optional[str] = ..., challenge_random: _Optional[bytes] = ...) -> None: ...

class ChallengeResponse(_message.Message):
    __slots__ = ("challenge_response",)
    CHALLENGE_RESPONSE_FIELD_NUMBER: _ClassVar[int]
    challenge_response: bytes
    def __init__(self, challenge_response: _Optional[bytes] = ...) -> None: ...
