"""Google Cloud Storage's XML API on loopback, as much of it as obstore speaks; conditions go by generation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4
from xml.sax.saxutils import escape

from tests.support.http import Answer, Request, http_server
from tests.support.objects import Bucket, Object, Target, content_answer

BUCKET = "state"
#: Small, so that listings have several pages.
PAGE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class GcsServer:
    url: str
    environment: Mapping[str, str]
    #: What was asked, to be looked at.
    requests: list[Request]


@contextmanager
def gcs_server() -> Iterator[GcsServer]:
    bucket = Bucket()

    def answer(request: Request) -> Answer:
        target = Target.of(request)
        with bucket.lock:
            if target.path[0] != BUCKET:
                return _error(404, "NoSuchBucket")
            name = "/".join(target.path[1:])
            return _list(bucket, target.query) if not name else _object(bucket, name, request, target.query)

    with http_server(answer) as server:
        yield GcsServer(url=f"gs://{BUCKET}", environment={"STORAGE_EMULATOR_HOST": server.url}, requests=server.requests)


def _object(bucket: Bucket, name: str, request: Request, query: Mapping[str, str]) -> Answer:
    found = bucket.objects.get(name)
    if "uploadId" in query or "uploads" in query:
        return _upload(bucket, name, request, query)
    match request.method:
        case "PUT":
            return _put(bucket, name, request, found)
        case "DELETE":
            return Answer(status=204) if bucket.objects.pop(name, None) else _error(404, "NoSuchKey")
        case _ if found is None:
            return _error(404, "NoSuchKey")
        case _:
            return content_answer(found, _headers(found))


def _put(bucket: Bucket, name: str, request: Request, found: Object | None) -> Answer:
    wanted = request.headers.get("x-goog-if-generation-match")
    if wanted is not None and int(wanted) != (found.generation if found else 0):
        return _error(412, "PreconditionFailed")
    return Answer(headers=_headers(bucket.put(name, request.body)))


def _upload(bucket: Bucket, name: str, request: Request, query: Mapping[str, str]) -> Answer:
    if request.method == "DELETE":
        bucket.parts.pop(query["uploadId"], None)
        return Answer(status=204)
    if request.method == "PUT":
        bucket.parts[query["uploadId"]][query["partNumber"]] = request.body
        return Answer(headers={"ETag": f'"{query["partNumber"]}"'})
    if "uploads" in query:
        upload = uuid4().hex
        bucket.parts[upload] = {}
        fields = f"<Bucket>{BUCKET}</Bucket><Key>k</Key><UploadId>{upload}</UploadId>"
        return Answer(body=f"<InitiateMultipartUploadResult>{fields}</InitiateMultipartUploadResult>".encode())
    parts = bucket.parts.pop(query["uploadId"])
    made = bucket.put(name, b"".join(parts[number] for number in sorted(parts, key=int)))
    text = f'<CompleteMultipartUploadResult><ETag>"{made.etag}"</ETag></CompleteMultipartUploadResult>'
    return Answer(body=text.encode(), headers=_headers(made))


def _list(bucket: Bucket, query: Mapping[str, str]) -> Answer:
    names = sorted(
        name for name in bucket.objects if name.startswith(query.get("prefix", "")) and name > query.get("continuation-token", "")
    )
    page, more = names[:PAGE], len(names) > PAGE
    token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
    return Answer(body=f"<ListBucketResult>{''.join(_entry(n, bucket.objects[n]) for n in page)}{token}</ListBucketResult>".encode())


def _entry(name: str, found: Object) -> str:
    modified = found.modified.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    fields = f"<Key>{escape(name)}</Key><LastModified>{modified}</LastModified><ETag>{found.etag}</ETag><Size>{len(found.content)}</Size>"
    return f"<Contents>{fields}</Contents>"


def _headers(found: Object) -> dict[str, str]:
    return {"ETag": f'"{found.etag}"', "x-goog-generation": str(found.generation)}


def _error(status: int, code: str) -> Answer:
    return Answer(status=status, body=f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode())
