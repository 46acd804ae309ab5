"""OpenStack on loopback: Keystone (version 3) and Swift with one container; tokens end when a test says so."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from tests.support.http import Answer, Request, http_server
from tests.support.objects import Bucket, Target, content_answer

CONTAINER = "state"
PAGE = 3


@dataclass(slots=True, kw_only=True)
class SwiftServer:
    url: str = f"swift://{CONTAINER}"
    environment: Mapping[str, str] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    requests: list[Request] = field(default_factory=list)
    bucket: Bucket = field(default_factory=Bucket)


@contextmanager
def swift_server() -> Iterator[SwiftServer]:
    found = SwiftServer()
    base: list[str] = []

    def answer(request: Request) -> Answer:
        target = Target.of(request)
        if target.path[:2] == ("v3", "auth"):
            return _keystone(found, request, base[0])
        if request.headers.get("x-auth-token") not in found.tokens:
            return Answer(status=401)
        if target.path[:2] != ("v1", "AUTH_p") or target.path[2] != CONTAINER:
            return Answer(status=404)
        with found.bucket.lock:
            name = "/".join(target.path[3:])
            return _object(found.bucket, name, request) if name else _container(found.bucket, request, target.query)

    with http_server(answer) as server:
        base.append(server.url)
        found.requests = server.requests
        found.environment = {
            "OS_AUTH_URL": f"{server.url}/v3",
            "OS_USERNAME": "kops",
            "OS_PASSWORD": "swordfish",
            "OS_PROJECT_NAME": "p",
            "OS_DOMAIN_NAME": "Default",
            "OS_REGION_NAME": "one",
        }
        yield found


def _keystone(found: SwiftServer, request: Request, base: str) -> Answer:
    identity = json.loads(request.body)["auth"]["identity"]
    secrets = [identity.get("password", {}).get("user", {}).get("password"), identity.get("application_credential", {}).get("secret")]
    if "swordfish" not in secrets:
        return Answer(status=401)
    token = uuid4().hex
    found.tokens.add(token)
    endpoints = [
        {"interface": interface, "region": region, "url": f"{base}/v1/{account}"}
        for interface, region, account in (("internal", "one", "x"), ("public", "two", "y"), ("public", "one", "AUTH_p"))
    ]
    document = {"token": {"catalog": [{"type": "compute", "endpoints": []}, {"type": "object-store", "endpoints": endpoints}]}}
    return Answer(status=201, body=json.dumps(document).encode(), headers={"X-Subject-Token": token})


def _object(bucket: Bucket, name: str, request: Request) -> Answer:
    there = bucket.objects.get(name)
    if request.method == "PUT":
        if request.headers.get("if-none-match") == "*" and there is not None:
            return Answer(status=412)
        return Answer(status=201, headers={"ETag": bucket.put(name, request.body).etag})
    if there is None:
        return Answer(status=404)
    if request.method == "DELETE":
        del bucket.objects[name]
        return Answer(status=204)
    return content_answer(there, {"ETag": there.etag})


def _container(bucket: Bucket, request: Request, query: Mapping[str, str]) -> Answer:
    if request.method == "HEAD":
        return Answer(status=204)
    names = sorted(name for name in bucket.objects if name.startswith(query.get("prefix", "")) and name > query.get("marker", ""))
    entries = [
        {"name": name, "bytes": len(found.content), "last_modified": found.modified.strftime("%Y-%m-%dT%H:%M:%S.%f")}
        for name, found in ((name, bucket.objects[name]) for name in names[:PAGE])
    ]
    return Answer(body=json.dumps(entries).encode())
