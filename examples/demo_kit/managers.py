"""Three etcd-managers on 127.0.0.1 to 127.0.0.3, started as their unit would, from what nodeup rendered; and gone afterwards.

The configuration file, the CAs and the API server's client certificate are nodeup's; only what cannot be on one
machine three times (directories, addresses, ports) is given on the command line.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from agents.errors import AgentError
from agents.secret import Secret
from etcdmanager.etcd.client import ClientTls, EtcdClient
from examples.demo_kit.story import NotAsItShouldBeError

_ROOT = Path(__file__).resolve().parents[2]
#: How long anything may take before the demo calls it broken.
PATIENCE = 60.0


def free_ports() -> tuple[int, int, int, int]:
    """Return four ports that are free on all three addresses right now."""
    found: list[int] = []
    with contextlib.ExitStack() as held:
        while len(found) < 4:
            first = held.enter_context(socket.socket())
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                for address in ("127.0.0.2", "127.0.0.3"):
                    held.enter_context(socket.socket()).bind((address, port))
            except OSError:
                continue
            found.append(port)
    return found[0], found[1], found[2], found[3]


@dataclass(slots=True, kw_only=True)
class Managers:
    """The three managers of the demo."""

    cluster: str
    #: Where everything of theirs goes.
    directory: Path
    #: What nodeup rendered.
    node: Path
    #: The directory with etcd's versions.
    binaries: Path
    store_url: str
    ports: tuple[int, int, int, int] = field(default_factory=free_ports)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The members' names, as nodeup's static configuration has them."""
        return tuple(f"{self.cluster}--main--{number}" for number in range(3))

    def address(self, name: str) -> str:
        """Return the address of a member."""
        return f"127.0.0.{self.names.index(name) + 1}"

    def start(self, name: str) -> None:
        """Start one manager; an etcd that its former life left running is adopted by it."""
        client, peer, quarantine, grpc = self.ports
        address = self.address(name)
        own_pki = self.directory / "pki" / name
        if not own_pki.exists():
            shutil.copytree(self.node / "etc/kubernetes/pki/etcd-manager-main", own_pki)
        arguments = [
            f"--config={self.node}/etc/node-agents/etcd-manager-main.yaml",
            f"--id={name}",
            f"--data-dir={self.directory}/data/{name}",
            f"--pki-dir={own_pki}",
            f"--address={address}",
            f"--etcd-address={address}",
            f"--client-urls=https://__address__:{client}",
            f"--peer-urls=https://__address__:{peer}",
            f"--quarantine-client-urls=https://__address__:{quarantine}",
            f"--grpc-port={grpc}",
            f"--binaries={self.binaries}",
            f"--status-file={self.directory}/{name}.status.json",
            f"--etcd-log-file={self.directory}/{name}.etcd.log",
            "--key-kind=ec",
            # One machine has no three volumes and no DNS.
            "--volume-provider=",
            "--volume-file=",
            "--dns-suffix=",
        ]
        with (self.directory / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "etcdmanager.cli", "run", *arguments],
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill(self, name: str) -> None:
        """Kill a manager and its etcd with SIGKILL, both at once, as a power cut would."""
        pid = self.etcd_pid(name)
        process = self.processes.pop(name)
        process.kill()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """End all managers, then their etcds, which survive them by design."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for name in self.names:
            pid = self.etcd_pid(name)
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.processes.clear()

    def etcd_pid(self, name: str) -> int | None:
        """Return the pid of a member's etcd, if that process is one; managers leave it to their successors in a file."""
        try:
            pid = int(json.loads((self.directory / "data" / name / "etcd.run.json").read_text())["pid"])
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError, KeyError):
            return None
        return pid if command.split(b"\0")[0].endswith(b"etcd") else None

    def leader(self) -> str:
        """Return the member whose manager holds the lock; "" for nobody."""
        path = Path(self.store_url.removeprefix("file://")) / "control/_lock.json"
        try:
            return str(json.loads(path.read_text())["holder"])
        except (OSError, ValueError, KeyError):
            return ""

    def client(self, name: str) -> EtcdClient:
        """Return a client with the API server's certificate."""
        return EtcdClient([self.url(name)], tls=self.tls())

    def url(self, name: str) -> str:
        """Return where a member serves clients."""
        return f"https://{self.address(name)}:{self.ports[0]}"

    def tls(self) -> ClientTls:
        """Return the API server's certificate, and the CA that it trusts."""
        apiserver = self.node / "srv/kubernetes/kube-apiserver"
        return ClientTls(
            ca_pem=(apiserver / "etcd-ca.crt").read_bytes(),
            certificate_pem=(apiserver / "etcd-client.crt").read_bytes(),
            key=Secret((apiserver / "etcd-client.key").read_bytes()),
        )

    async def until_written(self, name: str, key: bytes, value: bytes) -> float:
        """Write through one member as soon as it lets us; return how many seconds that took."""
        began = time.monotonic()
        async with self.client(name) as client:
            while True:
                try:
                    await client.put(key, value, deadline=timedelta(seconds=1))
                except AgentError as error:
                    if time.monotonic() - began > PATIENCE:
                        raise NotAsItShouldBeError(f"no write through {name} within {PATIENCE:g} s: {error}\n{self.logs()}") from error
                    await asyncio.sleep(0.05)
                else:
                    return time.monotonic() - began

    async def until_all_serve(self) -> float:
        """Wait until each member answers a linearizable list of all three; return how many seconds that took."""
        began = time.monotonic()
        for name in self.names:
            async with self.client(name) as client:
                while not await self._lists_all(client):
                    if time.monotonic() - began > PATIENCE:
                        raise NotAsItShouldBeError(f"{name} does not serve within {PATIENCE:g} s\n{self.logs()}")
                    await asyncio.sleep(0.1)
        return time.monotonic() - began

    async def _lists_all(self, client: EtcdClient) -> bool:
        try:
            found = await client.members(linearizable=True, deadline=timedelta(seconds=1))
        except AgentError:
            return False
        return sorted(member.name for member in found.members if not member.is_learner) == sorted(self.names)

    def logs(self) -> str:
        """Return the ends of the managers' logs."""
        return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')[-2000:]}" for path in sorted(self.directory.glob("*.log")))
