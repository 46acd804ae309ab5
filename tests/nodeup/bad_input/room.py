"""What bad input is given to: an example state store that a case spoils, a directory that stands for a machine, and nodeup as a program."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from agents.pki.issue import self_signed_ca
from agents.pki.keypair import Keypair, generate_ec_key, generate_rsa_key, public_key_pem
from agents.pki.keyset import Keyset, KeysetItem
from agents.stores.url import open_store
from examples.state_store.assets import find_assets
from examples.state_store.stand_ins import make_stand_in_assets
from examples.state_store.write import example_cluster, write_boot_configs, write_state_store
from nodeup.bootstrap.tokens import MACHINE_KEY
from tests.support.http import Answer, Request, http_server

ROOT = Path(__file__).resolve().parents[3]
CLUSTER = "demo.example.com"
CONTROL_PLANE, WORKER = "control-plane-main", "nodes-main"
_ROLES = {CONTROL_PLANE: "control-plane", WORKER: "node"}


@dataclass(slots=True, kw_only=True)
class Room:
    """One cluster and one machine; `reset` makes both as they were."""

    directory: Path
    #: What the assets' server answers: the file, unless a case says otherwise.
    serve: Callable[[Request], Answer] = field(default=lambda _request: Answer(status=404))
    #: What a case sets in nodeup's environment.
    environment: dict[str, str] = field(default_factory=dict)

    # --- making

    def make(self, asset_url: str, now: datetime) -> None:
        assets = self.directory / "assets"
        make_stand_in_assets(assets)
        template = self.directory / "template"
        cluster = example_cluster(CLUSTER, base=f"file://{self.store}", now=now, assets=find_assets(assets, asset_url))
        store = open_store(f"file://{template}/{CLUSTER}", environment={})
        write_boot_configs(template / "boot", write_state_store(store, cluster))

    def reset(self) -> None:
        for name in ("current", "machine"):
            shutil.rmtree(self.directory / name, ignore_errors=True)
        shutil.copytree(self.directory / "template", self.directory / "current")
        (self.root / "etc").mkdir(parents=True)
        (self.root / "etc/os-release").write_text('ID=debian\nVERSION_ID="12"\n')
        (self.root / "etc/hostname").write_text("machine-a\n")
        self.serve = self.whole
        self.environment = {}

    def whole(self, request: Request) -> Answer:
        path = self.directory / "assets" / request.path.lstrip("/")
        return Answer(body=path.read_bytes()) if path.is_file() else Answer(status=404)

    # --- what a case spoils

    @property
    def root(self) -> Path:
        return self.directory / "machine"

    @property
    def store(self) -> Path:
        return self.directory / "current" / CLUSTER

    def conf(self, group: str = CONTROL_PLANE) -> Path:
        return self.directory / "current/boot" / group / "kube_env.yaml"

    def config(self, group: str = CONTROL_PLANE) -> Path:
        return self.store / f"igconfig/{_ROLES[group]}/{group}/nodeupconfig.yaml"

    def edit_boot(self, group: str = CONTROL_PLANE, **fields: object) -> None:
        """Set fields of user data; None removes one."""
        document = {**yaml.safe_load(self.conf(group).read_text()), **fields}
        self.conf(group).write_text(yaml.safe_dump({name: value for name, value in document.items() if value is not None}))

    def edit_config(self, change: Callable[[dict[str, Any]], object], group: str = CONTROL_PLANE) -> None:
        """Change the configuration, and give user data its new hash."""
        document = yaml.safe_load(self.config(group).read_text())
        change(document)
        content = yaml.safe_dump(document).encode()
        self.config(group).write_bytes(content)
        self.edit_boot(group, NodeupConfigHash=base64.b64encode(hashlib.sha256(content).digest()).decode())

    def replace_ca(self, *, not_before: datetime, not_after: datetime) -> Keypair:
        """Give the cluster another CA of the same id, valid at these times, and tell the configuration and user data of it."""
        path = self.store / "pki/private/kubernetes-ca/keyset.yaml"
        before = Keyset.parse(path.read_bytes(), where=str(path))
        key = generate_rsa_key()
        certificate = self_signed_ca("kubernetes-ca", key=key, not_before=not_before, not_after=not_after, serial=int(before.primary.id))
        items = (KeysetItem(id=before.primary.id, certificate_pem=certificate, key=key),)
        path.write_bytes(Keyset(name="kubernetes-ca", primary_id=before.primary.id, items=items).dump())
        self.edit_config(lambda config: config["CAs"].update({"kubernetes-ca": certificate.decode()}))
        servers = yaml.safe_load(self.conf(WORKER).read_text())["ConfigServer"]
        self.edit_boot(WORKER, ConfigServer={**servers, "CACertificates": certificate.decode()})
        return Keypair(certificate_pem=certificate, key=key)

    def add_machine_key(self) -> bytes:
        """Enrol the machine, and return its public key."""
        key = generate_ec_key()
        path = self.root / MACHINE_KEY.lstrip("/")
        path.parent.mkdir(parents=True)
        path.write_bytes(key.reveal())
        return public_key_pem(key)

    # --- nodeup

    def argv(self, verb: str, *words: str, group: str = CONTROL_PLANE) -> list[str]:
        return [sys.executable, "-m", "nodeup.cli", verb, "--conf", str(self.conf(group)), "--root", str(self.root), *words]

    def run(self, argv: list[str], *, before: str = "", timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command line; with `before`, in a mount namespace of its own in which that shell text was run first."""
        if before:
            argv = ["unshare", "--mount", "--propagation", "private", "bash", "-ec", f'{before}\nexec "$@"', "bash", *argv]
        return subprocess.run(
            argv, cwd=ROOT, env=self.env(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=timeout
        )

    def env(self) -> Mapping[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("KOPS_", "S3_", "AWS_"))}
        return kept | self.environment

    # --- what is left

    def tree(self) -> dict[str, str]:
        """Return the digest of each file of the machine, but for what is gone after a reboot."""
        return {
            str(path.relative_to(self.root)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and not path.is_symlink() and path.relative_to(self.root).parts[0] != "run"
        }

    def half_done(self) -> list[str]:
        """Return what no run may leave: temporary files of writers, and downloads under their final name that are not what it says."""
        left = []
        for path in sorted(self.root.rglob("*")):
            if path.name.endswith(".node-agents-new"):
                left.append(str(path))
            if path.is_file() and path.name.startswith("sha256:"):
                named = path.name.removeprefix("sha256:").partition("_")[0]
                if hashlib.sha256(path.read_bytes()).hexdigest() != named:
                    left.append(str(path))
        return left


@contextmanager
def open_room(directory: Path, now: datetime) -> Iterator[Room]:
    room = Room(directory=directory)
    with http_server(lambda request: room.serve(request)) as server:  # noqa: PLW0108 - cases put another one in its place
        room.make(server.url, now)
        yield room
