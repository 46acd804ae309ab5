"""Images and a real containerd (Debian's): an archive that we made is imported, found again, and healed when it is taken away."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeup.assets.oci_archive import save_image
from tests.fakes.registry import digest
from tests.machines.harness.bed import Bed
from tests.machines.harness.machine import Machine
from tests.machines.harness.rootfs import CACHE
from tests.machines.harness.shell import eventually
from tests.support.http import Answer, Request, http_server

pytestmark = [pytest.mark.machine, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "registry.example.com/library/hello:1.0"

#: Runs one step of a plan with nodeup's own engine, and says what became of it.
CONVERGE = """\
import json, sys
sys.path.insert(0, "/opt/code")
from agents.clock import SystemClock
from agents.host.distribution import parse_os_release
from agents.host.local import LocalHost
from nodeup.assets.cache import AssetCache
from nodeup.engine.context import EngineContext
from nodeup.engine.converge import converge
from nodeup.engine.graph import build_graph
from nodeup.engine.journal import Digests, Journal
from nodeup.resources.image import ImageArchive, PulledImage
host = LocalHost()
digests = Digests(host)
context = EngineContext(
    distribution=parse_os_release(host.read("/etc/os-release").decode()), clock=SystemClock(), digests=digests, journal=Journal(host),
    assets=AssetCache(host, "/var/cache/nodeup", (), digest=digests.digest), keysets={},
)
image = ImageArchive(sources=("file:///root/hello.tar",), hash=sys.argv[1])
result = converge(build_graph([image]), host, context)
pulled = PulledImage(name=sys.argv[2]).read(host, context)
outcome = result.outcomes[0]
print(json.dumps({"status": outcome.status.value, "error": str(outcome.error or ""), "found": pulled is not None}))
"""


def an_image() -> dict[str, bytes]:
    """Return a registry's blobs by digest, and its manifest under "manifest": one layer with one file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("hello.txt")
        info.size = 6
        tar.addfile(info, io.BytesIO(b"hello\n"))
    layer = gzip.compress(buffer.getvalue(), mtime=0)
    rootfs = {"type": "layers", "diff_ids": [digest(buffer.getvalue())]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode()
    kinds = ("config.v1+json", "layer.v1.tar+gzip")
    described = [
        {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest(blob), "size": len(blob)}
        for kind, blob in zip(kinds, (config, layer), strict=True)
    ]
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described[0],
        "layers": [described[1]],
    }
    return {digest(config): config, digest(layer): layer, "manifest": json.dumps(manifest).encode()}


def archive(directory: Path) -> Path:
    """Fetch the image from a registry on loopback, as `nodeup bundle create` does."""
    blobs = an_image()

    def answer(request: Request) -> Answer:
        name = request.path.rsplit("/", 1)[-1]
        return Answer(body=blobs["manifest"] if "/manifests/" in request.path else blobs[name])

    with http_server(answer) as server:
        mirrors = (("registry.example.com", server.url),)
        save_image(IMAGE, architecture="amd64", mirrors=mirrors, directory=directory, out=directory / "hello.tar")
    return directory / "hello.tar"


def debs() -> list[Path]:
    """Return Debian's containerd and runc; downloaded once."""
    sys.path.insert(0, str(ROOT / "packaging"))
    try:
        from private_apt import UnavailableError, download
    finally:
        sys.path.remove(str(ROOT / "packaging"))
    directory = CACHE / "containerd-bookworm"
    if len(list(directory.glob("*.deb"))) < 2:
        try:
            download(["containerd", "runc"], suite="bookworm", into=directory)
        except UnavailableError as error:
            pytest.skip(f"no containerd to test with: {error}")
    return sorted(directory.glob("*.deb"))


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    if platform.machine() != "x86_64":
        pytest.skip("the image is made for amd64")
    packages = debs()
    with Bed("containerd") as bed:
        machine = bed.machine("images")
        for package in ("agents", "nodeup"):
            for path in (ROOT / package).rglob("*.py"):
                machine.put(f"/opt/code/{path.relative_to(ROOT)}", path.read_bytes())
        machine.put("/root/hello.tar", archive(tmp_path).read_bytes())
        machine.put("/root/converge.py", CONVERGE)
        for package_file in packages:
            machine.put(f"/root/debs/{package_file.name}", package_file.read_bytes())
        machine.boot(user_data="#!/bin/sh\ntrue\n")
        machine.wait_for_boot()
        machine.run("dpkg --install /root/debs/*.deb && systemctl start containerd", timeout=120)
        eventually(lambda: machine.run("ctr version", check=False).returncode == 0, within=30, what="containerd", every=0.2)
        yield machine


def converged(machine: Machine, sha256: str) -> dict[str, object]:
    return json.loads(machine.run(f"python3 /root/converge.py sha256:{sha256} {IMAGE}", timeout=90).stdout)


def test_an_archive_is_imported_once_found_again_and_healed(machine: Machine, tmp_path: Path) -> None:
    sha256 = hashlib.sha256((tmp_path / "hello.tar").read_bytes()).hexdigest()

    assert converged(machine, sha256) == {"status": "changed", "error": "", "found": True}
    assert converged(machine, sha256) == {"status": "unchanged", "error": "", "found": True}

    assert IMAGE in machine.run("ctr --namespace k8s.io images list --quiet").stdout.split()
    machine.run(f"mkdir /tmp/m && ctr --namespace k8s.io images mount {IMAGE} /tmp/m")
    assert machine.run("cat /tmp/m/hello.txt").stdout == "hello\n"
    machine.run(f"ctr --namespace k8s.io images unmount /tmp/m && ctr --namespace k8s.io images remove {IMAGE}")

    assert converged(machine, sha256) == {"status": "changed", "error": "", "found": True}
    machine.run("systemctl stop containerd")
    assert converged(machine, sha256)["status"] == "failed"
