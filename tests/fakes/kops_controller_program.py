"""The stand-in of kops-controller as a program: a cluster's state store in front, a file that says what the world is like behind.

    python -m tests.fakes.kops_controller --cluster C --store URL --world FILE [--log FILE] [--listen ADDRESS] [--port 3988]

The world is JSON, read anew for each request, so that a test changes it by writing the file (atomically):

    {"machines": {"worker-a": {"publicKey": "<PEM>", "instanceGroup": "nodes-main"}},
     "iam":      {"ASIA…": {"secret": "…", "session_token": "…", "instance_id": "i-…", "instance_group": "nodes-main"}},
     "servers":  {"x-hetzner-id 4711": {"node_name": "worker-a", "instance_group": "nodes-main", "callback_port": 3987, …}},
     "ready":    ["worker-a"],
     "registered": [],
     "answer":   {"status": 503, "body": "", "headers": {"Retry-After": "2"}}}        instead of any other answer

The log has a JSON line for each request: when, from where, what was asked, what was answered, and why.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from agents.pki.keyset import Keyset
from agents.stores.protocol import Store
from agents.stores.url import open_store
from nodeup.load import decode_secret
from tests.fakes.issued_certificates import CILIUM_CA, CLUSTER_CA, Signer
from tests.fakes.kops_controller import KopsController, Reply
from tests.fakes.node_tokens import IamKey, Identity, Inventory


class WorldController(KopsController):
    """A kops-controller whose surroundings are a store and a file."""

    def __init__(self, *, cluster_name: str, store: Store, world: Path, addresses: Sequence[str]) -> None:
        keyset = _keyset(store, CLUSTER_CA)
        super().__init__(cluster_name=cluster_name, now=lambda: datetime.now(UTC), ca=keyset.primary.keypair())
        self.keypair_ids = {CLUSTER_CA: keyset.primary.id}
        if store.exists(f"pki/private/{CILIUM_CA}/keyset.yaml"):
            cilium = _keyset(store, CILIUM_CA)
            self.signers[CILIUM_CA] = Signer(cilium.primary.keypair())
            self.keypair_ids[CILIUM_CA] = cilium.primary.id
        self.server_names = (*self.server_names, *addresses)
        self.node_config_of = self._config_in_store
        self._store, self._world = store, world

    def reply(self, token: str, body: bytes, remote: str = "") -> Reply:
        world = json.loads(self._world.read_text())
        if scripted := world.get("answer"):
            return Reply(status=scripted["status"], body=scripted.get("body", "").encode(), headers=scripted.get("headers", {}))
        self.inventory = _inventory(self.inventory, world)
        self.ready = set(world.get("ready", ()))
        self.node_secrets = (
            {"dockerconfig": decode_secret(self._store.read("secrets/dockerconfig"), where="dockerconfig").reveal()}
            if self._store.exists("secrets/dockerconfig")
            else {}
        )
        return super().reply(token, body, remote)

    def _config_in_store(self, identity: Identity) -> str:
        key = f"igconfig/node/{identity.instance_group}/nodeupconfig.yaml"
        if not self._store.exists(key):
            raise KeyError(key)
        return self._store.read(key).decode()


def _inventory(before: Inventory, world: Mapping[str, dict[str, dict[str, object]]]) -> Inventory:
    """Return what the clouds know in this world."""
    found = Inventory(now=before.now, region=before.region, account=before.account, node_roles=before.node_roles)
    for name, machine in world.get("machines", {}).items():
        found.machines[name] = str(machine["publicKey"]).encode()
        found.instance_groups[name] = str(machine["instanceGroup"])
    for key_id, key in world.get("iam", {}).items():
        found.iam[key_id] = IamKey(**key)  # type: ignore[arg-type]
    for token, server in world.get("servers", {}).items():
        scheme, _, rest = token.partition(" ")
        found.servers[scheme, rest] = Identity(**{**server, "addresses": frozenset(server.get("addresses", ()))})  # type: ignore[arg-type,call-overload]
    found.registered = set(world.get("registered", ()))
    return found


def _keyset(store: Store, name: str) -> Keyset:
    key = f"pki/private/{name}/keyset.yaml"
    return Keyset.parse(store.read(key), where=key)


def _asked(body: bytes) -> list[str]:
    try:
        request = json.loads(body)
        return sorted(request.get("certs") or ()) + (["configuration"] if request.get("includeNodeConfig") else [])
    except (ValueError, AttributeError):
        return ["?"]


def main() -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description="A stand-in of kops-controller.")
    parser.add_argument("--cluster", required=True)
    parser.add_argument("--store", required=True, metavar="URL")
    parser.add_argument("--world", required=True, type=Path, metavar="FILE")
    parser.add_argument("--log", type=Path, metavar="FILE")
    parser.add_argument("--listen", default="127.0.0.1", metavar="ADDRESS")
    parser.add_argument("--port", type=int, default=3988)
    options = parser.parse_args()
    store = open_store(options.store, environment=os.environ)
    controller = WorldController(cluster_name=options.cluster, store=store, world=options.world, addresses=(options.listen,))

    def record(remote: str, body: bytes, reply: Reply) -> None:
        line = {"at": datetime.now(UTC).isoformat(), "from": remote, "asked": _asked(body), "status": reply.status, "why": controller.log}
        if options.log is not None:
            with options.log.open("a") as out:
                out.write(json.dumps(line) + "\n")
        controller.log = []

    controller.on_reply = record
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    with controller.serve(options.listen, options.port) as url:
        print(url, flush=True)
        ended.wait()
    return 0
