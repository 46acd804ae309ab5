"""Real members for tests: CAs, configuration, the member's loop, its handlers and, if wanted, its gRPC server, on loopback."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agents.clock import SystemClock
from agents.errors import AgentError
from agents.host.local import LocalHost
from agents.pki.issue import self_signed_ca
from agents.pki.keypair import generate_rsa_key
from etcdmanager.etcd.client import ClientTls, EtcdClient
from etcdmanager.member.certificates import (
    CLIENTS_CA,
    MANAGER_CA,
    PEERS_CA,
    CertificateShelf,
    EtcdAuthorities,
    Terms,
    client_pair,
    load_authority,
)
from etcdmanager.member.handlers import MemberHandlers
from etcdmanager.member.leadership import Leadership
from etcdmanager.member.local_etcd import LocalEtcd
from etcdmanager.member.loop import Member, MemberSetup
from etcdmanager.peering import messages as m
from etcdmanager.peering.tls import PeerTls
from etcdmanager.spec import EtcdNode, KeyKind, ManagerConfig
from tests.support.etcd_binaries import CACHE, etcd_binaries

CLUSTER = "etcd"
VERSION = "3.5.16"
LEADER = m.PeerInfo(id="leader", endpoints=("127.0.0.1:1",), capabilities=(m.CAPABILITY,))
TERMS = Terms(lifetime=timedelta(days=730), renew_before=timedelta(days=243), key_kind=KeyKind.EC)


def free_ports(count: int) -> tuple[int, ...]:
    """Return ports that are free right now on all of 127/8."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for item in sockets:
            item.bind(("", 0))
        return tuple(item.getsockname()[1] for item in sockets)
    finally:
        for item in sockets:
            item.close()


def make_authorities(directory: Path) -> None:
    """Write the three CAs of one cluster."""
    directory.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC)
    for name in (MANAGER_CA, PEERS_CA, CLIENTS_CA):
        key = generate_rsa_key()
        certificate = self_signed_ca(name, key=key, not_before=now - timedelta(days=2), not_after=now + timedelta(days=3650))
        (directory / f"{name}.key").write_bytes(key.reveal())
        (directory / f"{name}.crt").write_bytes(certificate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    peer: int
    client: int
    quarantine: int
    grpc: int


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What the members of one cluster share: CAs, ports, a backup store."""

    directory: Path
    ports: Ports

    def config(self, address: str, **more: object) -> ManagerConfig:
        """Return the configuration of the manager at that address."""
        return ManagerConfig(
            cluster_name=CLUSTER,
            backup_store=f"file://{self.directory}/backups",
            etcd_address=address,
            peer_urls=(f"https://__address__:{self.ports.peer}",),
            client_urls=(f"https://__address__:{self.ports.client}",),
            quarantine_client_urls=(f"https://__address__:{self.ports.quarantine}",),
            grpc_port=self.ports.grpc,
            pki_dir=str(self.directory / "pki"),
            binaries=(str(CACHE),),
            key_kind=KeyKind.EC,
            **more,  # type: ignore[arg-type]
        )

    def setup(self, peer_id: str, address: str, **more: object) -> MemberSetup:
        """Return what a member is built from."""
        host = LocalHost()
        pki = str(self.directory / "pki")
        return MemberSetup(
            config=self.config(address, **more),
            peer_id=peer_id,
            address=address,
            data_dir=str(self.directory / peer_id),
            host=host,
            clock=SystemClock(),
            authorities=EtcdAuthorities(peers=load_authority(host, pki, PEERS_CA), clients=load_authority(host, pki, CLIENTS_CA)),
        )

    def client_tls(self, peer_id: str) -> ClientTls:
        """Return what a client of etcd authenticates with."""
        authority = load_authority(LocalHost(), str(self.directory / "pki"), CLIENTS_CA)
        pair = client_pair(authority, peer_id, now=datetime.now(UTC), lifetime=timedelta(days=1))
        return ClientTls(ca_pem=authority.bundle, certificate_pem=pair.certificate_pem, key=pair.key, server_name=peer_id)

    def manager_tls(self, peer_id: str) -> tuple[PeerTls, PeerTls]:
        """Return what a manager serves and calls with."""
        pki = str(self.directory / "pki")
        authority = load_authority(LocalHost(), pki, MANAGER_CA)
        return CertificateShelf(LocalHost(), TERMS).manager(authority, pki_dir=pki, peer_id=peer_id, now=datetime.now(UTC))


def make_world(directory: Path) -> World:
    """Return a world with fresh CAs and ports; skips the test where there is no etcd."""
    etcd_binaries(VERSION)
    make_authorities(directory / "pki")
    (directory / "backups").mkdir()
    peer, client, quarantine, grpc = free_ports(4)
    return World(directory=directory, ports=Ports(peer=peer, client=client, quarantine=quarantine, grpc=grpc))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningMember:
    """A member whose loop runs."""

    world: World
    member: Member
    handlers: MemberHandlers
    leadership: Leadership

    @property
    def node(self) -> EtcdNode:
        return self.member.setup.node

    def client(self, *, quarantined: bool = False) -> EtcdClient:
        """Return a client of this member's etcd."""
        return EtcdClient(self.node.serving_urls(quarantined=quarantined), tls=self.world.client_tls(self.member.setup.peer_id))


HEADER = m.Header(leadership_token="token", cluster_name=CLUSTER, epoch=1)


@asynccontextmanager
async def running_member(
    world: World, peer_id: str, address: str, *, keep_etcd: bool = False, **more: object
) -> AsyncIterator[RunningMember]:
    """Run a member with a leader accepted; afterwards its etcd is ended unless `keep_etcd`."""
    setup = world.setup(peer_id, address, **more)
    leadership = Leadership(setup.host, setup.layout, cluster_name=CLUSTER)
    member = Member(setup)
    local = LocalEtcd(world.client_tls(peer_id))
    handlers = MemberHandlers(member, leadership=leadership, local_etcd=local)
    task = asyncio.create_task(member.run())
    try:
        await member.converge(deadline=timedelta(seconds=20))
        leadership.notify(m.View(leader=LEADER, leadership_token="token", healthy=(LEADER,), epoch=1), caller=None, healthy=())
        yield RunningMember(world=world, member=member, handlers=handlers, leadership=leadership)
    finally:
        if not keep_etcd:
            await member.process.stop(grace=timedelta(seconds=2))
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await local.close()


async def form(*members: RunningMember, token: str = "T1", start_open: bool = True) -> None:  # noqa: S107  a cluster token
    """Form a new cluster of these members."""
    nodes = tuple(member.node for member in members)
    for phase in (m.JoinPhase.PREPARE, m.JoinPhase.INITIAL_CLUSTER):
        request = m.JoinRequest(phase=phase, cluster_token=token, nodes=nodes, etcd_version=VERSION, start_open=start_open)
        for member in members:
            await member.handlers.join(request, HEADER, caller=None)


async def wait_serving(client: EtcdClient, *, deadline: timedelta = timedelta(seconds=20)) -> None:
    """Return when etcd answers and follows a raft leader."""
    async with asyncio.timeout(deadline.total_seconds()):
        while True:
            with suppress(AgentError):
                if (await client.status(deadline=timedelta(seconds=1))).leader_id:
                    return
            await asyncio.sleep(0.05)
