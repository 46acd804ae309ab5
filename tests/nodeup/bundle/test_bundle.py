"""nodeup bundle as a program: made from the example state store, applied below a directory by a process that may open no socket."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nodeup.assets.oci_archive import TarEntry, write_tar
from tests.fakes.registry import a_layer, digest
from tests.support.http import Answer, Request, http_server

ROOT = Path(__file__).resolve().parents[3]
#: Ends the process at the first attempt to reach anybody, or to ask for a name.
WITHOUT_NETWORK = """\
import os, runpy, sys
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.gethostbyname"):
        os.write(2, f"NETWORK: {event} {arguments}\\n".encode())
        os._exit(99)
sys.addaudithook(watch)
sys.argv = ["nodeup", *sys.argv[1:]]
runpy.run_module("nodeup.cli", run_name="__main__")
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A state store, its assets and images on a server, and a bundle of its control-plane node."""

    conf: Path
    store: Path
    bundle: Path
    sha256: str
    mirror: str

    def create(self, out: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        argv = ["bundle", "create", "--conf", str(self.conf), "--out", str(out), "--registry-mirror", f"*={self.mirror}", *words]
        return nodeup(*argv, code=code)


def nodeup(*words: str, code: int = 0, online: bool = True) -> subprocess.CompletedProcess[str]:
    program = ["-m", "nodeup.cli"] if online else ["-c", WITHOUT_NETWORK]
    done = subprocess.run([sys.executable, *program, *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == code, f"{' '.join(words)}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done


def serving(directory: Path) -> Callable[[Request], Answer]:
    """Serve assets by their names, and any image: three programs of etcd in one layer."""
    layer = a_layer({f"usr/local/bin/{name}": name.encode() for name in ("etcd", "etcdctl", "etcdutl")})
    config = b"{}"
    manifest = json.dumps(
        {"config": {"digest": digest(config), "size": 2}, "layers": [{"digest": digest(layer), "size": len(layer)}]}
    ).encode()
    blobs = {digest(content): content for content in (layer, config)}

    def answer(request: Request) -> Answer:
        if "/manifests/" in request.path:
            return Answer(body=manifest)
        if "/blobs/" in request.path:
            return Answer(body=blobs[request.path.rsplit("/", 1)[-1]])
        found = next(
            (path for path in directory.rglob("*") if path.is_file() and request.path.endswith(str(path.relative_to(directory)))), None
        )
        return Answer(status=404) if found is None else Answer(body=found.read_bytes())

    return answer


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Example]:
    directory = tmp_path_factory.mktemp("example")
    with http_server(serving(directory / "assets")) as server:
        argv = [sys.executable, "examples/make_state_store.py", "--cluster", "demo.example.com", "--make-stand-ins"]
        argv += ["--store", f"file://{directory}/demo.example.com", "--boot-config-dir", f"{directory}/boot"]
        argv += ["--assets-dir", f"{directory}/assets", "--assets-base", server.url]
        subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, timeout=120)
        made = Example(
            conf=directory / "boot/control-plane-main/kube_env.yaml",
            store=directory / "demo.example.com",
            bundle=directory / "node.tar",
            sha256="",
            mirror=server.url,
        )
        document = json.loads(made.create(made.bundle, "--json").stdout)
        yield Example(conf=made.conf, store=made.store, bundle=made.bundle, sha256=document["sha256"], mirror=made.mirror)


def machine(root: Path) -> Path:
    (root / "etc").mkdir(parents=True)
    (root / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\n')
    (root / "etc/hostname").write_text("cp-a\n")
    return root


def made_files(root: Path) -> dict[str, tuple[int, bytes | str]]:
    """Everything that nodeup made for the node: not the cache, its own notes, nor the status."""
    ours = ("var/lib/node-agents/", "var/cache/nodeup/", "run/")
    return {
        name: (path.lstat().st_mode, str(path.readlink()) if path.is_symlink() else path.read_bytes())
        for path in sorted(root.rglob("*"))
        if (path.is_file() or path.is_symlink()) and not (name := str(path.relative_to(root))).startswith(ours)
    }


def test_a_bundle_makes_the_same_node_as_the_network_does_and_asks_nobody(example: Example, tmp_path: Path) -> None:
    direct, bundled = machine(tmp_path / "direct"), machine(tmp_path / "bundled")
    # etcd's programs come out of an image, whose registry no test has; below `direct` they are put where an earlier run had them.
    nodeup("bundle", "apply", str(example.bundle), "--root", str(bundled), "--with-assets", "--sha256", example.sha256, online=False)
    for kept in ("var/lib/node-agents/nodeup/certificates", "var/lib/node-agents/nodeup/image-files", "opt"):
        shutil.copytree(bundled / kept, direct / kept, symlinks=True, dirs_exist_ok=True)
    nodeup("apply", "--conf", str(example.conf), "--root", str(direct), "--with-assets")

    assert made_files(bundled) == made_files(direct)
    assert len(made_files(bundled)) > 100
    assert (bundled / "opt/etcd-v3.5.31/etcdctl").read_bytes() == b"etcdctl"
    nodeup("verify", "--bundle", "--root", str(bundled), "--with-assets", online=False)


def test_the_same_inputs_give_the_same_bytes(example: Example, tmp_path: Path) -> None:
    example.create(tmp_path / "again.tar")

    assert (tmp_path / "again.tar").read_bytes() == example.bundle.read_bytes()
    assert hashlib.sha256(example.bundle.read_bytes()).hexdigest() == example.sha256


def test_who_makes_a_bundle_with_keys_is_told_and_nobody_else_may_read_it(example: Example, tmp_path: Path) -> None:
    said = example.create(tmp_path / "x.tar").stdout

    assert "PRIVATE KEYS" in said
    assert (tmp_path / "x.tar").stat().st_mode & 0o777 == 0o600


def test_a_bundle_without_secrets_holds_no_key_and_reads_them_of_the_store(example: Example, tmp_path: Path) -> None:
    bundle, root = tmp_path / "x.tar", machine(tmp_path / "machine")
    said = example.create(bundle, "--without-secrets").stdout

    assert "PRIVATE KEYS" not in said
    with tarfile.open(bundle) as tar:
        assert not [name for name in tar.getnames() if "/pki/" in name or "/secrets/" in name]
    nodeup("bundle", "apply", str(bundle), "--root", str(root), "--with-assets", online=False)
    assert (root / "srv/kubernetes/kube-apiserver/service-account.key").is_file()


def test_what_was_seeded_is_for_root_alone(example: Example, tmp_path: Path) -> None:
    root = machine(tmp_path / "machine")
    nodeup("bundle", "apply", str(example.bundle), "--root", str(root), "--with-assets", online=False)

    seeded = root / "var/lib/node-agents/nodeup/bundle"
    assert seeded.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o077 for path in seeded.rglob("*")} == {0}


def entries_of(bundle: Path) -> list[TarEntry]:
    with tarfile.open(bundle) as tar:
        return [TarEntry(path=m.name, content=s.read() if (s := tar.extractfile(m)) else b"", mode=m.mode) for m in tar]


def rewritten(bundle: Path, out: Path, change: Callable[[list[TarEntry]], list[TarEntry]]) -> Path:
    buffer = io.BytesIO()
    write_tar(buffer, change(entries_of(bundle)))
    out.write_bytes(buffer.getvalue())
    return out


def other_bytes(entries: list[TarEntry]) -> list[TarEntry]:
    last = entries[-1]
    assert isinstance(last.content, bytes)
    return [*entries[:-1], TarEntry(path=last.path, content=last.content[:-1] + b"?")]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (other_bytes, "has SHA-256"),
        (lambda entries: entries[:-1], "is cut off: 1 files are missing"),
        (lambda entries: [*entries, TarEntry(path="../../etc/cron.d/x", content=b"")], "that its manifest does not list"),
        (lambda entries: [*entries, entries[-1]], "that its manifest does not list"),
        (lambda entries: entries[1:], "its first member is not manifest.json"),
    ],
    ids=["other bytes", "a file too few", "a file outside", "a file twice", "no manifest"],
)
def test_a_changed_bundle_changes_nothing(
    example: Example, tmp_path: Path, change: Callable[[list[TarEntry]], list[TarEntry]], said: str
) -> None:
    root = machine(tmp_path / "machine")

    done = nodeup(
        "bundle", "apply", str(rewritten(example.bundle, tmp_path / "bad.tar", change)), "--root", str(root), code=6, online=False
    )

    assert said in done.stderr
    files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert files == {"etc/os-release", "etc/hostname", "run/node-agents/nodeup.lock"}


@pytest.mark.parametrize("size", [0, 100, 5000, 20000])
def test_a_bundle_that_was_not_copied_whole_is_refused(example: Example, tmp_path: Path, size: int) -> None:
    (tmp_path / "cut.tar").write_bytes(example.bundle.read_bytes()[:size])

    nodeup("bundle", "verify", str(tmp_path / "cut.tar"), code=6)


def test_a_bundle_of_somebody_else_is_refused_by_its_hash(example: Example) -> None:
    assert "expected 00" in nodeup("bundle", "verify", str(example.bundle), "--sha256", "00" * 32, code=6).stderr


def test_a_bundle_for_another_architecture_is_refused(example: Example, tmp_path: Path) -> None:
    other = {"x86_64": "arm64"}.get(os.uname().machine, "amd64")
    example.create(tmp_path / "other.tar", "--architecture", other, "--without-images")

    said = nodeup("bundle", "apply", str(tmp_path / "other.tar"), "--root", str(machine(tmp_path / "m")), code=3, online=False).stderr

    assert f"is for {other}, and this machine is" in said


def test_without_a_bundle_there_is_nothing_to_work_from(tmp_path: Path) -> None:
    assert "no bundle was applied" in nodeup("plan", "--bundle", "--root", str(machine(tmp_path / "m")), code=5).stderr


def test_damage_to_what_was_seeded_is_found(example: Example, tmp_path: Path) -> None:
    root = machine(tmp_path / "machine")
    nodeup("bundle", "apply", str(example.bundle), "--root", str(root), "--with-assets", online=False)
    keyset = next((root / "var/lib/node-agents/nodeup/bundle/state").rglob("private/kubernetes-ca/keyset.yaml"))
    keyset.write_bytes(keyset.read_bytes() + b"\n")

    assert "is not what the bundle brought" in nodeup("plan", "--bundle", "--root", str(root), code=6, online=False).stderr
