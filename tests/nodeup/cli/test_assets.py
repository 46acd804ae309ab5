"""`nodeup assets` as a program, on the example state store."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.http import Answer, Request, http_server

ROOT = Path(__file__).resolve().parents[3]


def assets(store: Path, root: Path, *words: str) -> tuple[int, str]:
    argv = [sys.executable, "-m", "nodeup.cli", "assets", "--conf", str(store / "boot/control-plane-main/kube_env.yaml"), *words]
    done = subprocess.run([*argv, "--root", str(root)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stdout or done.stderr


def a_store(directory: Path, assets_base: str) -> Path:
    argv = [sys.executable, "examples/make_state_store.py", "--cluster", "demo.example.com", "--make-stand-ins"]
    argv += ["--store", f"file://{directory}/demo.example.com", "--boot-config-dir", f"{directory}/boot"]
    argv += ["--assets-dir", f"{directory}/assets", "--assets-base", assets_base]
    subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, timeout=120)
    return directory


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    root = tmp_path / "machine"
    (root / "etc").mkdir(parents=True)
    (root / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\n')
    (root / "etc/hostname").write_text("cp-a\n")
    return root


def test_the_list_says_what_is_needed_by_whom_and_what_is_there(tmp_path: Path, machine: Path) -> None:
    store = a_store(tmp_path / "example", "http://127.0.0.1:1")

    code, text = assets(store, machine, "--json")
    document = json.loads(text)

    assert code == 0
    by_name = {item["name"]: item for item in document["items"]}
    assert by_name["kubelet"]["usedBy"] == ["file:/usr/local/bin/kubelet"]
    assert by_name["kubelet"]["cached"] is False
    kubelet = by_name["kubelet"]["hash"].removeprefix("sha256:")
    (machine / "var/cache/nodeup").mkdir(parents=True)
    files = (path for path in store.rglob("kubelet") if path.is_file())
    served = next(path for path in files if hashlib.sha256(path.read_bytes()).hexdigest() == kubelet)
    (machine / f"var/cache/nodeup/sha256:{kubelet}_kubelet").write_bytes(served.read_bytes())
    again = {item["name"]: item for item in json.loads(assets(store, machine, "--json")[1])["items"]}
    assert again["kubelet"]["cached"] is True
    assert again["kubelet"]["sizeBytes"] == served.stat().st_size
    assert any(image["usedBy"] == ["sandbox"] for image in document["images"])


def test_a_check_names_what_no_mirror_delivers(tmp_path: Path, machine: Path) -> None:
    base = tmp_path / "example/assets"

    def serve(request: Request) -> Answer:
        found = next((path for path in base.rglob("*") if path.is_file() and request.path.endswith(path.name)), None)
        return Answer(status=404) if found is None or found.name == "runc.amd64" else Answer(body=found.read_bytes())

    with http_server(serve) as server:
        store = a_store(tmp_path / "example", server.url)
        code, text = assets(store, machine, "--check", "--json")

    document = json.loads(text)
    assert code == 2
    assert "runc.amd64" in document["unreachable"]
    assert "kubelet" not in document["unreachable"]
    (mirror,) = next(item for item in document["items"] if item["name"] == "runc.amd64")["mirrors"]
    assert (mirror["reachable"], "404" in mirror["error"]) == (False, True)
