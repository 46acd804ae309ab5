"""What the stand-ins for object stores have in common: objects with versions in a dictionary, behind one lock."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.support.http import Answer, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Object:
    """One object."""

    content: bytes
    generation: int
    modified: datetime

    @property
    def etag(self) -> str:
        return hashlib.md5(self.content, usedforsecurity=False).hexdigest()


@dataclass(slots=True)
class Bucket:
    """Objects by name; `lock` is held while one request is decided."""

    objects: dict[str, Object] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    #: Parts of uploads by upload and part.
    parts: dict[str, dict[str, bytes]] = field(default_factory=dict)
    generations: int = 0

    def put(self, name: str, content: bytes) -> Object:
        self.generations += 1
        self.objects[name] = Object(content=content, generation=self.generations, modified=datetime.now(UTC))
        return self.objects[name]


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is about."""

    path: tuple[str, ...]
    query: dict[str, str]

    @classmethod
    def of(cls, request: Request) -> Target:
        where = urlsplit(request.path)
        path = tuple(unquote(part) for part in where.path.lstrip("/").split("/"))
        return cls(path, dict(parse_qsl(where.query, keep_blank_values=True)))


def content_answer(found: Object, headers: dict[str, str]) -> Answer:
    return Answer(body=found.content, headers={"Last-Modified": format_datetime(found.modified, usegmt=True), **headers})
