"""Azure's Blob service on loopback, as much of it as obstore speaks: one account, one container; signatures are not checked."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import format_datetime
from urllib.parse import unquote
from xml.sax.saxutils import escape

from tests.support.http import Answer, Request, http_server
from tests.support.objects import Bucket, Object, Target, content_answer

ACCOUNT = "account"
CONTAINER = "state"
PAGE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureServer:
    url: str
    environment: Mapping[str, str]
    requests: list[Request]


@contextmanager
def azure_server() -> Iterator[AzureServer]:
    bucket = Bucket()

    def answer(request: Request) -> Answer:
        target = Target.of(request)
        with bucket.lock:
            if target.path[0] != CONTAINER:
                return _error(404, "ContainerNotFound")
            name = "/".join(target.path[1:])
            if target.query.get("comp") == "batch":
                return _batch(bucket, request)
            return _list(bucket, target.query) if not name else _blob(bucket, name, request, target.query)

    key = base64.b64encode(b"a key of the account").decode()
    with http_server(answer) as server:
        environment = {"AZURE_STORAGE_ENDPOINT": server.url, "AZURE_STORAGE_ACCOUNT_KEY": key}
        yield AzureServer(url=f"azureblob://{ACCOUNT}/{CONTAINER}", environment=environment, requests=server.requests)


def _blob(bucket: Bucket, name: str, request: Request, query: Mapping[str, str]) -> Answer:
    found = bucket.objects.get(name)
    match request.method, query.get("comp"):
        case "PUT", "block":
            bucket.parts.setdefault(name, {})[query["blockid"]] = request.body
            return Answer(status=201)
        case "PUT", "blocklist":
            blocks = bucket.parts.pop(name, {})
            wanted = re.findall(rb"<Uncommitted>([^<]*)<", request.body) + re.findall(rb"<Latest>([^<]*)<", request.body)
            return Answer(status=201, headers=_headers(bucket.put(name, b"".join(blocks[block.decode()] for block in wanted))))
        case "PUT", _:
            return _put(bucket, name, request, found)
        case "DELETE", _:
            return Answer(status=202) if bucket.objects.pop(name, None) else _error(404, "BlobNotFound")
        case _ if found is None:
            return _error(404, "BlobNotFound")
        case _:
            return content_answer(found, _headers(found))


def _batch(bucket: Bucket, request: Request) -> Answer:
    """Delete many: the only way in which obstore deletes, even one."""
    answers = []
    for number, line in enumerate(re.findall(rb"\r\nDELETE (\S+) HTTP/1.1\r\n", request.body)):
        name = "/".join(unquote(part) for part in line.decode().split("?")[0].split("/")[2:])
        there = bucket.objects.pop(name, None) is not None
        status = "202 Accepted" if there else "404 The specified blob does not exist."
        code = "" if there else "x-ms-error-code: BlobNotFound\r\n"
        head = f"--b\r\nContent-Type: application/http\r\nContent-ID: {number}\r\n\r\n"
        answers.append(f"{head}HTTP/1.1 {status}\r\n{code}x-ms-version: 2023-11-03\r\n\r\n")
    return Answer(status=202, body=("".join(answers) + "--b--\r\n").encode(), headers={"Content-Type": "multipart/mixed; boundary=b"})


def _put(bucket: Bucket, name: str, request: Request, found: Object | None) -> Answer:
    if request.headers.get("if-none-match") == "*" and found is not None:
        return _error(409, "BlobAlreadyExists")
    wanted = request.headers.get("if-match")
    if wanted is not None and (found is None or wanted != f'"{found.generation}"'):
        return _error(412, "ConditionNotMet")
    return Answer(status=201, headers=_headers(bucket.put(name, request.body)))


def _list(bucket: Bucket, query: Mapping[str, str]) -> Answer:
    names = sorted(name for name in bucket.objects if name.startswith(query.get("prefix", "")) and name > query.get("marker", ""))
    page = names[:PAGE]
    marker = escape(page[-1]) if len(names) > PAGE else ""
    blobs = "".join(_entry(name, bucket.objects[name]) for name in page)
    return Answer(body=f"<EnumerationResults><Blobs>{blobs}</Blobs><NextMarker>{marker}</NextMarker></EnumerationResults>".encode())


def _entry(name: str, found: Object) -> str:
    properties = (
        f"<Last-Modified>{format_datetime(found.modified, usegmt=True)}</Last-Modified><Etag>{found.generation}</Etag>"
        f"<Content-Length>{len(found.content)}</Content-Length><Content-Type>application/octet-stream</Content-Type>"
    )
    return f"<Blob><Name>{escape(name)}</Name><Properties>{properties}</Properties></Blob>"


def _headers(found: Object) -> dict[str, str]:
    return {"ETag": f'"{found.generation}"', "x-ms-version": "2023-11-03"}


def _error(status: int, code: str) -> Answer:
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>"
    return Answer(status=status, body=text.encode(), headers={"x-ms-error-code": code})
