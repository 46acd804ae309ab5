"""A manager that speaks as the Go etcd-manager does: the two gRPC services over TLS, no capabilities, no epoch, its election, its rules.

Built from the wire facts (reference, sections 4 to 7), with a real etcd below it. Its state is in memory. As a leader it does nothing by
itself: a test calls its steps, which are the Go leader's, in the Go leader's order.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import grpc.aio

from agents.clock import SystemClock
from agents.host.local import LocalHost
from etcdmanager.backups.store import BackupStore
from etcdmanager.backups.take import BackupOrder, BackupTaker
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
from etcdmanager.member.layout import Layout
from etcdmanager.peering import codec
from etcdmanager.peering import messages as m
from etcdmanager.peering.client import PeerClient
from etcdmanager.peering.proto import cluster_pb2, cluster_pb2_grpc, manager_pb2, manager_pb2_grpc
from etcdmanager.peering.tls import server_credentials
from etcdmanager.spec import ClusterSpec, EtcdNode, KeyKind, endpoint
from tests.support.managers import CLUSTER, ManagerGroup

SECOND = timedelta(seconds=1)
#: The Go program's healthy timeout.
HEALTHY = 60.0
LONG = timedelta(seconds=60)
#: What handlers and aborts are given; grpc's stubs leave it open.
Context = grpc.aio.ServicerContext[object, object]


@dataclass(slots=True)
class GoState:
    """Go's EtcdState: `cluster` None is idle."""

    cluster: m.EtcdCluster | None = None
    version: str = ""
    quarantined: bool = False
    new: bool = False


@dataclass(slots=True)
class GoPeer:
    """One manager. Use `running()`."""

    group: ManagerGroup
    name: str
    etcd_dir: Path
    state: GoState = field(default_factory=GoState)
    touched: bool = False
    accepted_token: str = ""
    prepared: str = ""
    contacts: dict[str, tuple[m.PeerInfo, float]] = field(default_factory=dict)
    etcd: subprocess.Popen[bytes] | None = None
    calls: list[str] = field(default_factory=list)

    @property
    def info(self) -> m.PeerInfo:
        return m.PeerInfo(id=self.name, endpoints=(endpoint(self.group.address(self.name), self.group.grpc_port),))

    @property
    def data(self) -> Path:
        return self.group.directory / "data" / self.name

    @property
    def node(self) -> EtcdNode:
        group, host = self.group, self.group.address(self.name)
        return EtcdNode(
            name=self.name,
            peer_urls=(f"https://{host}:{group.peer_port}",),
            client_urls=(f"https://{host}:{group.client_port}",),
            quarantined_client_urls=(f"https://{host}:{group.quarantine_port}",),
        )

    def healthy(self) -> tuple[m.PeerInfo, ...]:
        """Return whom it was in contact with in the last minute, by id."""
        now = asyncio.get_running_loop().time()
        infos = [self.info, *(info for info, at in self.contacts.values() if now - at <= HEALTHY)]
        return tuple(sorted(infos, key=lambda info: info.id.encode()))

    # --- life

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve and ping until the block ends; then its etcd is killed too."""
        host, pki = LocalHost(), str(self.group.directory / f"pki-{self.name}")
        shelf = CertificateShelf(host, Terms(lifetime=timedelta(days=2), renew_before=timedelta(0), key_kind=KeyKind.EC))
        server_tls, self_tls = shelf.manager(load_authority(host, pki, MANAGER_CA), pki_dir=pki, peer_id=self.name, now=datetime.now(UTC))
        server = grpc.aio.server()
        cluster_pb2_grpc.add_ClusterServiceServicer_to_server(_Cluster(self), server)
        manager_pb2_grpc.add_EtcdManagerServiceServicer_to_server(_Manager(self), server)
        server.add_secure_port(self.info.endpoints[0], server_credentials(lambda: server_tls))
        await server.start()
        self._clients = {n: PeerClient(n, f"{self.group.address(n)}:{self.group.grpc_port}", tls=self_tls) for n in self.group.names}
        pinging = asyncio.create_task(self._ping())
        try:
            yield
        finally:
            pinging.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await pinging
            for client in self._clients.values():
                await client.close()
            await server.stop(None)
            self.kill_etcd()

    _clients: dict[str, PeerClient] = field(default_factory=dict)

    async def _ping(self) -> None:
        while True:
            for name, client in self._clients.items():
                if name != self.name:
                    with contextlib.suppress(Exception):
                        self.contact(await client.ping(self.info, deadline=SECOND))
            await asyncio.sleep(1)

    def contact(self, info: m.PeerInfo) -> None:
        """Note that a peer answered or called."""
        if info.id != self.name:
            self.contacts[info.id] = (info, asyncio.get_running_loop().time())

    # --- as a leader: section 4.4 and 6

    @property
    def header(self) -> m.Header:
        return m.Header(leadership_token=self.token, cluster_name=CLUSTER)

    token: str = ""

    async def elect(self) -> dict[str, str]:
        """Claim the leadership at all healthy peers; return who refused, and why. Only the lowest id may succeed."""
        self.token = secrets.token_urlsafe(16)
        return await self.assert_leadership()

    async def assert_leadership(self) -> dict[str, str]:
        """Say the same token again, with a fresh view."""
        view = m.View(leader=self.info, leadership_token=self.token, healthy=self.healthy())
        refused = {}
        for info in view.healthy:
            answer = await self._clients[info.id].notify_leadership(view, deadline=timedelta(seconds=10))
            if not answer.accepted:
                refused[info.id] = answer.refusal or "no"
        return refused

    async def create_cluster(self, spec: ClusterSpec) -> None:
        """Stop every etcd, then PREPARE and INITIAL_CLUSTER at the first n peers (6.3)."""
        assert not await self.assert_leadership()
        infos = {info.id: await self._clients[info.id].info(deadline=LONG) for info in self.healthy()}
        for name, info in infos.items():
            if info.state is not None and info.state.cluster is not None:
                await self._clients[name].stop_etcd(self.header, deadline=LONG)
        members = sorted(infos)[: spec.member_count]
        nodes = tuple(replace(infos[name].node, tls_enabled=True) for name in members)
        request = m.JoinRequest(
            phase=m.JoinPhase.PREPARE, cluster_token=secrets.token_urlsafe(16), nodes=nodes, etcd_version=spec.etcd_version
        )
        for phase in (m.JoinPhase.PREPARE, m.JoinPhase.INITIAL_CLUSTER):
            for name in members:
                await self._clients[name].join(replace(request, phase=phase), self.header, deadline=LONG)

    async def quarantine(self, names: Sequence[str], *, on: bool) -> None:
        """Reconfigure one after the other, without a pause (6.7)."""
        assert not await self.assert_leadership()
        for name in names:
            await self._clients[name].reconfigure(m.ReconfigureRequest(quarantined=on), self.header, deadline=LONG)

    async def backup(self, name: str, spec: ClusterSpec) -> str:
        """DoBackup at a peer."""
        info = m.BackupInfo(cluster_spec=spec)
        return await self._clients[name].do_backup(self.group.store_url, info, self.header, deadline=LONG)

    async def restore(self, name: str, backup: str) -> None:
        """DoRestore at a peer (7.3); the cluster was formed anew before."""
        await self._clients[name].do_restore(self.group.store_url, backup, self.header, deadline=timedelta(seconds=120))

    async def stop_etcd_of(self, name: str) -> None:
        """StopEtcd at a peer."""
        await self._clients[name].stop_etcd(self.header, deadline=LONG)

    # --- its etcd: section 5

    def start_etcd(self) -> None:
        """Start etcd by the state, with Go's environment."""
        cluster = self.state.cluster
        assert cluster is not None
        host, pki = LocalHost(), str(self.group.directory / f"pki-{self.name}")
        shelf = CertificateShelf(host, Terms(lifetime=timedelta(days=2), renew_before=timedelta(0), key_kind=KeyKind.EC))
        authorities = EtcdAuthorities(peers=load_authority(host, pki, PEERS_CA), clients=load_authority(host, pki, CLIENTS_CA))
        address = self.group.address(self.name)
        layout = Layout(str(self.data))
        peers, clients = shelf.etcd(layout, cluster.token, self.node, address=address, authorities=authorities, now=datetime.now(UTC))
        urls = ",".join(self.node.serving_urls(quarantined=self.state.quarantined))
        (self.data / "data").mkdir(parents=True, exist_ok=True)
        environment = {
            "ETCD_DATA_DIR": str(self.data / "data" / cluster.token),
            "ETCD_NAME": self.name,
            "ETCD_LOGGER": "zap",
            "ETCD_LOG_OUTPUTS": "stdout",
            "ETCD_LISTEN_PEER_URLS": ",".join(self.node.peer_urls),
            "ETCD_LISTEN_CLIENT_URLS": urls,
            "ETCD_ADVERTISE_CLIENT_URLS": urls,
            "ETCD_INITIAL_ADVERTISE_PEER_URLS": ",".join(self.node.peer_urls),
            "ETCD_INITIAL_CLUSTER_STATE": "new" if self.state.new else "existing",
            "ETCD_INITIAL_CLUSTER_TOKEN": cluster.token,
            "ETCD_INITIAL_CLUSTER": ",".join(f"{node.name}={','.join(node.peer_urls)}" for node in cluster.nodes),
            "ETCD_STRICT_RECONFIG_CHECK": "true",
            "ETCD_PEER_CLIENT_CERT_AUTH": "true",
            "ETCD_PEER_TRUSTED_CA_FILE": peers.trusted,
            "ETCD_PEER_CERT_FILE": peers.certificate,
            "ETCD_PEER_KEY_FILE": peers.key,
            "ETCD_CLIENT_CERT_AUTH": "true",
            "ETCD_TRUSTED_CA_FILE": clients.trusted,
            "ETCD_CERT_FILE": clients.certificate,
            "ETCD_KEY_FILE": clients.key,
        }
        with (self.group.directory / f"{self.name}.etcd.log").open("ab") as log:
            self.etcd = subprocess.Popen(
                [str(self.etcd_dir / "etcd")],
                env={"PATH": os.environ["PATH"], **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def kill_etcd(self) -> None:
        """SIGKILL, as Go does."""
        if self.etcd is not None:
            self.etcd.kill()
            self.etcd.wait()
            self.etcd = None

    def client(self) -> EtcdClient:
        """Return a client of its own etcd."""
        authority = load_authority(LocalHost(), str(self.group.directory / f"pki-{self.name}"), CLIENTS_CA)
        pair = client_pair(authority, self.name, now=datetime.now(UTC), lifetime=timedelta(days=1))
        tls = ClientTls(ca_pem=authority.bundle, certificate_pem=pair.certificate_pem, key=pair.key, server_name=self.name)
        return EtcdClient(list(self.node.serving_urls(quarantined=self.state.quarantined)), tls=tls)


class _Cluster(cluster_pb2_grpc.ClusterServiceServicer):
    def __init__(self, peer: GoPeer) -> None:
        self._peer = peer

    async def Ping(self, request: cluster_pb2.PingRequest, context: Context) -> cluster_pb2.PingResponse:  # noqa: N802
        self._peer.contact(codec.peer_info_from_wire(request.info))
        return cluster_pb2.PingResponse(info=codec.peer_info_to_wire(self._peer.info))

    async def LeaderNotification(  # noqa: N802
        self,
        request: cluster_pb2.LeaderNotificationRequest,
        context: Context,
    ) -> cluster_pb2.LeaderNotificationResponse:
        view = codec.view_from_wire(request.view)
        mine = self._peer.healthy()
        missing = {info.id for info in mine} - {info.id for info in view.healthy}
        if not missing:
            self._peer.accepted_token = view.leadership_token
        answer = m.LeadershipAnswer(accepted=not missing, healthy=mine)
        return codec.answer_to_wire(answer)


class _Manager(manager_pb2_grpc.EtcdManagerServiceServicer):
    def __init__(self, peer: GoPeer) -> None:
        self._peer = peer

    async def _authorise(self, header: manager_pb2.CommonRequestHeader, context: Context, call: str) -> None:
        self._peer.calls.append(call)
        if header.cluster_name != CLUSTER:
            await context.abort(grpc.StatusCode.UNKNOWN, "ClusterName mismatch")
        if header.leadership_token != self._peer.accepted_token:
            await context.abort(grpc.StatusCode.UNKNOWN, "LeadershipToken in request is not current leader")

    async def GetInfo(self, request: manager_pb2.GetInfoRequest, context: Context) -> manager_pb2.GetInfoResponse:  # noqa: N802
        peer, state = self._peer, self._peer.state
        told = m.EtcdState(cluster=state.cluster, etcd_version=state.version, quarantined=state.quarantined) if state.cluster else None
        return codec.info_to_wire(m.Info(cluster_name=CLUSTER, node=peer.node, state=told, disk_empty=not peer.touched))

    async def UpdateEndpoints(  # noqa: N802
        self,
        request: manager_pb2.UpdateEndpointsRequest,
        context: Context,
    ) -> manager_pb2.UpdateEndpointsResponse:
        return manager_pb2.UpdateEndpointsResponse()

    async def JoinCluster(  # noqa: N802
        self, request: manager_pb2.JoinClusterRequest, context: Context
    ) -> manager_pb2.JoinClusterResponse:
        peer, join = self._peer, codec.join_from_wire(request)
        await self._authorise(request.header, context, f"JoinCluster {join.phase.name}")
        if peer.etcd is not None:
            await context.abort(grpc.StatusCode.UNKNOWN, "etcd process already running")
        if join.phase is m.JoinPhase.PREPARE:
            peer.prepared = join.cluster_token
            return manager_pb2.JoinClusterResponse()
        if peer.prepared != join.cluster_token:
            await context.abort(grpc.StatusCode.UNKNOWN, "not prepared")
        new = join.phase is m.JoinPhase.INITIAL_CLUSTER
        cluster = m.EtcdCluster(token=join.cluster_token, nodes=join.nodes)
        peer.state = GoState(cluster=cluster, version=join.etcd_version, quarantined=new, new=new)
        peer.touched, peer.prepared = True, ""
        peer.start_etcd()
        peer.state.new = False
        return manager_pb2.JoinClusterResponse()

    async def Reconfigure(  # noqa: N802
        self, request: manager_pb2.ReconfigureRequest, context: Context
    ) -> manager_pb2.ReconfigureResponse:
        await self._authorise(request.header, context, f"Reconfigure quarantined={request.quarantined}")
        if self._peer.state.cluster is None:
            await context.abort(grpc.StatusCode.UNKNOWN, "cluster not running")
        self._peer.state.quarantined = request.quarantined
        self._peer.state.version = request.set_etcd_version or self._peer.state.version
        self._peer.kill_etcd()
        self._peer.start_etcd()
        return manager_pb2.ReconfigureResponse()

    async def StopEtcd(self, request: manager_pb2.StopEtcdRequest, context: Context) -> manager_pb2.StopEtcdResponse:  # noqa: N802
        await self._authorise(request.header, context, "StopEtcd")
        peer, cluster = self._peer, self._peer.state.cluster
        if cluster is None:
            await context.abort(grpc.StatusCode.UNKNOWN, "cluster not running")
            raise AssertionError
        peer.kill_etcd()
        peer.state = GoState()
        trash = peer.data / "data-trashcan"
        trash.mkdir(exist_ok=True)
        (peer.data / "data" / cluster.token).rename(trash / cluster.token)
        return manager_pb2.StopEtcdResponse()

    async def DoBackup(self, request: manager_pb2.DoBackupRequest, context: Context) -> manager_pb2.DoBackupResponse:  # noqa: N802
        await self._authorise(request.header, context, "DoBackup")
        spec = codec.backup_info_from_wire(request.info).cluster_spec or ClusterSpec(member_count=1, etcd_version="")
        taker = BackupTaker(scratch=self._peer.data / "scratch", clock=SystemClock(), by=self._peer.name)
        async with self._peer.client() as client:
            taken = await taker.take(client, BackupStore(self._peer.group.store), BackupOrder(etcd_cluster=CLUSTER, spec=spec, reason="go"))
        return manager_pb2.DoBackupResponse(name=taken.name)
