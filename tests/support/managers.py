"""Real managers as processes on 127.0.0.1, .2 and .3, with real etcd over TLS; everything is gone afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agents.documents import as_int, as_list, as_mapping
from agents.errors import AgentError
from agents.host.local import LocalHost
from agents.stores.protocol import Store
from agents.stores.url import open_store
from etcdmanager.backups.store import BackupStore
from etcdmanager.control.store import ControlStore
from etcdmanager.etcd.answers import Member
from etcdmanager.etcd.client import ClientTls, EtcdClient
from etcdmanager.member.certificates import CLIENTS_CA, client_pair, load_authority
from etcdmanager.spec import ClusterSpec
from tests.support.etcd_binaries import CACHE, etcd_binaries
from tests.support.members import free_ports, make_authorities

CLUSTER = "etcd"
ROOT = Path(__file__).resolve().parents[2]
NAMES = ("etcd-a", "etcd-b", "etcd-c", "etcd-d", "etcd-e")


@dataclass(slots=True, kw_only=True)
class ManagerProcess:
    """One manager: its process and its files."""

    name: str
    address: str
    directory: Path
    process: subprocess.Popen[bytes]

    @property
    def data_dir(self) -> Path:
        return self.directory / "data" / self.name

    def etcd_pid(self) -> int | None:
        """Return the pid of its etcd by the file that it keeps for its successor; None without one."""
        try:
            found = as_mapping(json.loads((self.data_dir / "etcd.run.json").read_text()), where="etcd.run.json")
        except (OSError, ValueError):
            return None
        return as_int(found.get("pid"), where="pid")

    def log(self) -> str:
        return (self.directory / f"{self.name}.log").read_text(errors="replace")

    def status(self) -> dict[str, object]:
        """Return the status that it last wrote; empty before the first."""
        try:
            return as_mapping(json.loads((self.directory / f"{self.name}.status.json").read_text()), where="status")
        except (OSError, ValueError):
            return {}


@dataclass(slots=True, kw_only=True)
class ManagerGroup:
    """Managers that share a backup store, CAs and ports."""

    directory: Path
    store_url: str
    client_port: int
    peer_port: int
    quarantine_port: int
    grpc_port: int
    names: tuple[str, ...]
    extra: tuple[str, ...] = ()
    managers: dict[str, ManagerProcess] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    #: Where a manager looks for etcd, where that is not the common place.
    binaries: dict[str, Path] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        return open_store(self.store_url, environment=dict(os.environ) | self.environment)

    @property
    def control(self) -> ControlStore:
        return ControlStore(self.store)

    @property
    def backups(self) -> BackupStore:
        return BackupStore(self.store)

    def address(self, name: str) -> str:
        return f"127.0.0.{NAMES.index(name) + 1}"

    def start(self, name: str, *, identity: str = "") -> ManagerProcess:
        """Start one manager; an etcd of a former life is adopted by it. With `identity` it says that it is another one."""
        address = self.address(name)
        peer_id = identity or name
        seeds = ",".join(f"{n}={self.address(n)}:{self.grpc_port}" for n in self.names)
        argv = [
            sys.executable,
            "-m",
            "etcdmanager.cli",
            "run",
            f"--cluster-name={CLUSTER}",
            f"--backup-store={self.store_url}",
            f"--data-dir={self.directory}/data/{name}",
            f"--id={peer_id}",
            f"--address={address}",
            f"--etcd-address={address}",
            f"--peers={seeds}",
            f"--pki-dir={self.directory}/pki-{peer_id}",
            f"--client-urls=https://__address__:{self.client_port}",
            f"--peer-urls=https://__address__:{self.peer_port}",
            f"--quarantine-client-urls=https://__address__:{self.quarantine_port}",
            f"--grpc-port={self.grpc_port}",
            f"--binaries={self.binaries.get(name, CACHE)}",
            f"--status-file={self.directory}/{name}.status.json",
            "--key-kind=ec",
            *self.extra,
        ]
        with (self.directory / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                argv, stdout=log, stderr=subprocess.STDOUT, env=dict(os.environ) | self.environment, cwd=ROOT, start_new_session=True
            )
        manager = ManagerProcess(name=name, address=address, directory=self.directory, process=process)
        self.managers[name] = manager
        return manager

    def start_all(self) -> None:
        for name in self.names:
            self.start(name)

    def kill(self, name: str, *, etcd: bool = False) -> None:
        """Kill a manager with SIGKILL, and its etcd too if asked."""
        manager = self.managers[name]
        pid = manager.etcd_pid()
        manager.process.kill()
        manager.process.wait()
        if etcd and pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def stop_all(self) -> None:
        """End all managers and all their etcds, by the pids that they are known by."""
        for manager in self.managers.values():
            if manager.process.poll() is None:
                manager.process.kill()
                manager.process.wait()
        for manager in self.managers.values():
            pid = manager.etcd_pid()
            if pid is not None and _is_etcd(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def leader(self) -> str:
        """Return who holds the lock; "" for nobody."""
        try:
            content = self.store.child("control").read("_lock.json")
        except AgentError:
            return ""
        return str(json.loads(content)["holder"])

    def client(self, name: str, *, quarantined: bool = False) -> EtcdClient:
        """Return a client to one member, as kube-apiserver would be one."""
        authority = load_authority(LocalHost(), str(self.directory / f"pki-{name}"), CLIENTS_CA)
        pair = client_pair(authority, "test", now=datetime.now(UTC), lifetime=timedelta(days=1))
        tls = ClientTls(ca_pem=authority.bundle, certificate_pem=pair.certificate_pem, key=pair.key, server_name=name)
        port = self.quarantine_port if quarantined else self.client_port
        return EtcdClient([f"https://{self.address(name)}:{port}"], tls=tls)

    async def until_written(self, name: str, key: bytes, value: bytes, *, within: float = 30.0) -> float:
        """Write through one member as soon as it lets us; return how many seconds that took."""
        began = time.monotonic()
        async with self.client(name) as client:
            while True:
                try:
                    await client.put(key, value, deadline=timedelta(seconds=1))
                except AgentError as error:
                    if time.monotonic() - began > within:
                        raise AssertionError(f"no write through {name} within {within} s: {error}\n{self.logs()}") from error
                    await asyncio.sleep(0.05)
                else:
                    return time.monotonic() - began

    async def until(self, condition: Callable[[], bool], *, within: float = 30.0) -> float:
        """Wait until something is so; return how many seconds that took."""
        began = time.monotonic()
        while not condition():
            assert time.monotonic() - began < within, f"not within {within} s\n{self.logs()}"
            await asyncio.sleep(0.1)
        return time.monotonic() - began

    async def members(self, name: str) -> tuple[Member, ...]:
        """Return etcd's list as one member tells it with a quorum's agreement; empty where it cannot."""
        try:
            async with self.client(name) as client:
                return (await client.members(linearizable=True, deadline=timedelta(seconds=2))).members
        except AgentError:
            return ()

    def waits_for(self, code: str, *names: str) -> str:
        """Return for what some manager (of `names`, or any) says that it waits under this code; "" for nothing."""
        for name in names or self.managers:
            for row in as_list(self.managers[name].status().get("waiting", []), where="waiting"):
                reason = str(as_mapping(row, where="waiting")["reason"])
                if reason.startswith(f"{code}:"):
                    return reason
        return ""

    async def until_healthy(self, *, within: float = 30.0) -> float:
        """Wait until every member answers a linearizable list with all names; return how many seconds that took."""
        began = time.monotonic()
        for name in self.names:
            async with self.client(name) as client:
                while True:
                    try:
                        found = await client.members(linearizable=True, deadline=timedelta(seconds=1))
                        if sorted(m.name for m in found.members if not m.is_learner) == sorted(self.names):
                            break
                    except AgentError:
                        pass
                    if time.monotonic() - began > within:
                        raise AssertionError(f"{name} is not healthy within {within} s\n{self.logs()}")
                    await asyncio.sleep(0.05)
        return time.monotonic() - began

    def logs(self) -> str:
        return "\n".join(f"--- {m.name}\n{m.log()[-4000:]}" for m in self.managers.values())


def _is_etcd(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].endswith(b"etcd")
    except OSError:
        return False


@contextlib.contextmanager
def manager_group(
    directory: Path,
    count: int,
    *,
    version: str = "3.5.16",
    store_url: str = "",
    extra: tuple[str, ...] = (),
    environment: dict[str, str] | None = None,
    binaries: dict[str, Path] | None = None,
) -> Iterator[ManagerGroup]:
    """Make a group of `count` managers with a spec in the store; nothing is started yet."""
    etcd_binaries(version)
    client, peer, quarantine, grpc = free_ports(4)
    make_authorities(directory / "pki")
    group = ManagerGroup(
        directory=directory,
        store_url=store_url or f"file://{directory}/store/backups/etcd/main",
        client_port=client,
        peer_port=peer,
        quarantine_port=quarantine,
        grpc_port=grpc,
        names=NAMES[:count],
        extra=extra,
        environment=environment or {},
        binaries=binaries or {},
    )
    for name in group.names:
        own = directory / f"pki-{name}"
        own.mkdir(parents=True)
        for path in (directory / "pki").iterdir():
            (own / path.name).write_bytes(path.read_bytes())
    group.control.write_spec(ClusterSpec(member_count=count, etcd_version=version))
    try:
        yield group
    finally:
        group.stop_all()
