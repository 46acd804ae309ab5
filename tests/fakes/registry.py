"""A container registry with one image, for `tests.support.http`: what it answers, not how it is served."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile

from tests.support.http import Answer, Request

IMAGE = "registry.example.com/library/etcd:3.5.16-0"
ETCD, ETCDCTL = b"the etcd binary", b"the etcdctl binary"


def a_layer(files: dict[str, bytes], *, compressed: bool = True) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0) if compressed else buffer.getvalue()


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Registry:
    """One image of two layers for two architectures, with tokens if it asks for them."""

    def __init__(self, *, token: str = "") -> None:
        self.token = token
        layers = [
            a_layer({"usr/local/bin/etcd": b"old", "etc/x": b"y"}),
            a_layer({"usr/local/bin/etcd": ETCD, "usr/local/bin/etcdctl": ETCDCTL}),
        ]
        manifest = json.dumps({"layers": [{"digest": digest(layer), "size": len(layer)} for layer in layers]}).encode()
        index = {"manifests": [{"digest": digest(manifest), "platform": {"os": "linux", "architecture": "amd64"}}]}
        self.index = json.dumps(index).encode()
        self.blobs = {digest(content): content for content in (*layers, manifest)}
        self.url = ""

    def answer(self, request: Request) -> Answer:
        if request.path.startswith("/token"):
            return Answer(body=json.dumps({"token": self.token}).encode())
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            challenge = f'Bearer realm="{self.url}/token",service="registry",scope="repository:library/etcd:pull"'
            return Answer(status=401, headers={"WWW-Authenticate": challenge})
        *_, kind, name = request.path.split("/")
        if kind == "manifests" and name in {"3.5.16-0", digest(self.index)}:
            return Answer(body=self.index)
        return Answer(body=self.blobs[name]) if name in self.blobs else Answer(status=404)
