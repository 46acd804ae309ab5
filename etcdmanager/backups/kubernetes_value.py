"""What a stored value is, for people: Kubernetes' protobuf envelope, its encryption, JSON, text; pure.

    "k8s", a zero byte, runtime.Unknown    field 1: TypeMeta (1: apiVersion, 2: kind), field 2: the object's own protobuf
    "k8s:enc:<provider>:v1:<key>:" + ciphertext

Objects inside the envelope are not decoded: that takes Kubernetes' own schema of that version.

Source: k8s.io/apimachinery's protobuf serializer, and "Encrypting Confidential Data at Rest" of Kubernetes' documentation.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum

_ENVELOPE = b"k8s\0"
_ENCRYPTED = b"k8s:enc:"
_LENGTH_DELIMITED = 2


class Encoding(Enum):
    """How a value is written."""

    EMPTY = "empty"
    KUBERNETES = "protobuf"
    ENCRYPTED = "encrypted"
    JSON = "json"
    TEXT = "text"
    BINARY = "binary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A value, recognised."""

    encoding: Encoding
    #: apiVersion and kind of a Kubernetes object, the encryption's provider and key; "" for others.
    what: str

    def __str__(self) -> str:
        return f"{self.what} ({self.encoding.value})" if self.what else self.encoding.value


def describe(value: bytes) -> Described:
    """Recognise a value; total: any bytes have an answer."""
    if not value:
        return Described(encoding=Encoding.EMPTY, what="")
    if value.startswith(_ENVELOPE):
        meta = _field(value[len(_ENVELOPE) :], 1)
        named = [_field(meta, number).decode(errors="replace") for number in (1, 2)]
        return Described(encoding=Encoding.KUBERNETES, what=" ".join(name for name in named if name))
    if value.startswith(_ENCRYPTED):
        provider, _, rest = value[len(_ENCRYPTED) :].partition(b":v1:")
        return Described(encoding=Encoding.ENCRYPTED, what=f"{_short(provider)} key {_short(rest.partition(b':')[0])}")
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return Described(encoding=Encoding.BINARY, what="")
    document = _json(text)
    if isinstance(document, dict):
        named = [str(document[name]) for name in ("apiVersion", "kind") if name in document]
        return Described(encoding=Encoding.JSON, what=" ".join(named))
    return Described(encoding=Encoding.TEXT if text.isprintable() or "\n" in text else Encoding.BINARY, what="")


def _json(text: str) -> object:
    try:
        return json.loads(text) if text.lstrip().startswith("{") else None
    except (ValueError, RecursionError):
        return None


def _short(word: bytes) -> str:
    return word[:40].decode(errors="replace")


def _field(message: bytes, wanted: int) -> bytes:
    """Return a length-delimited field from the beginning of a protobuf message; b"" where it is not among its leading such fields."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        length, at = _varint(message, at)
        if tag & 7 != _LENGTH_DELIMITED or at + length > len(message):
            return b""
        if tag >> 3 == wanted:
            return message[at : at + length]
        at += length
    return b""


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 64:
        value |= (message[at] & 0x7F) << shift
        shift += 7
        at += 1
        if message[at - 1] < 0x80:
            break
    return value, at
