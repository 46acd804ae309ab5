"""Managers over real gRPC and TLS on loopback: identity, gossip, errors that keep their class."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agents.clock import SystemClock
from agents.errors import AccessError, AgentError, DeadlineError, RefusedError, TransientError
from agents.host.local import LocalHost
from agents.pki.issue import CertificateRequest, Usage
from agents.pki.keypair import generate_ec_key
from etcdmanager.member.certificates import MANAGER_CA, CertificateShelf, Terms, issue_leaf, load_authority
from etcdmanager.peering import messages as m
from etcdmanager.peering.client import PeerClient
from etcdmanager.peering.discovery import FileDiscovery, StaticDiscovery, parse_seed, render_seed
from etcdmanager.peering.gossip import COMPATIBLE, FAST, Gossip
from etcdmanager.peering.renewal import ManagerTls
from etcdmanager.peering.server import PeerServer, Report
from etcdmanager.peering.tls import PeerTls
from etcdmanager.spec import EtcdNode, KeyKind, SeedPeer
from tests.support.members import free_ports, make_authorities

SECOND = timedelta(seconds=1)
HEADER = m.Header(leadership_token="t", cluster_name="etcd", epoch=1)


class FakeMember:
    """Answers as a member would, and remembers who asked for what."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str | None]] = []

    async def notify_leadership(self, view: m.View, *, caller: str | None, healthy: Collection[m.PeerInfo]) -> m.LeadershipAnswer:
        self.calls.append(("notify", caller))
        return m.LeadershipAnswer(accepted=False, healthy=tuple(healthy), highest_epoch=7, refusal="no")

    async def info(self) -> m.Info:
        await asyncio.sleep(0)
        return m.Info(cluster_name="etcd", node=EtcdNode(name="b"), state=None, disk_empty=True)

    async def describe(self) -> m.Description:
        return m.Description(peer_id="b", info=await self.info())

    async def update_endpoints(self, members: Sequence[m.MemberMapEntry]) -> None:
        self.calls.append((f"endpoints {members[0].name}", None))

    async def join(self, request: m.JoinRequest, header: m.Header, *, caller: str | None) -> None:
        self.calls.append((request.phase.name, caller))

    async def reconfigure(self, request: m.ReconfigureRequest, header: m.Header, *, caller: str | None) -> None:
        await asyncio.sleep(60)

    async def stop_etcd(self, header: m.Header, *, caller: str | None) -> None:
        raise RefusedError("cluster not running", code="no-cluster", hint="form one…")

    async def do_backup(self, storage: str, info: m.BackupInfo, header: m.Header, *, caller: str | None) -> str:
        return f"{storage}/name"

    async def do_restore(self, storage: str, backup_name: str, header: m.Header, *, caller: str | None) -> None:
        self.calls.append((backup_name, caller))

    async def take_backup(self, request: m.TakeBackupRequest, header: m.Header, *, caller: str | None, report: Report) -> m.TakenBackup:
        report(m.Progress(stage="snapshot", done_bytes=1))
        await asyncio.sleep(0.01)
        return m.TakenBackup(name="b", revision=3)

    async def prepare_restore(
        self, request: m.PrepareRestoreRequest, header: m.Header, *, caller: str | None, report: Report
    ) -> m.PreparedRestore:
        await asyncio.to_thread(report, m.Progress(stage="restore", done_bytes=1, message="half"))
        await asyncio.sleep(0.01)
        return m.PreparedRestore(revision=9)

    async def commit_restore(self, cluster_token: str, header: m.Header, *, caller: str | None) -> str:
        return "old"

    async def abort_restore(self, cluster_token: str, header: m.Header, *, caller: str | None) -> None:
        raise AccessError("not the leader", code="not-the-leader")


class Place:
    """CAs and a port; every peer has its own loopback address."""

    def __init__(self, directory: Path) -> None:
        make_authorities(directory)
        self.directory = str(directory)
        self.port = free_ports(1)[0]
        host = LocalHost()
        terms = Terms(lifetime=timedelta(days=2), renew_before=timedelta(0), key_kind=KeyKind.EC)
        self.shelf = CertificateShelf(host, terms)
        self.authority = load_authority(host, self.directory, MANAGER_CA)
        self.kept: dict[str, ManagerTls] = {}

    def tls(self, peer_id: str) -> tuple[PeerTls, PeerTls]:
        return self.shelf.manager(self.authority, pki_dir=self.directory, peer_id=peer_id, now=datetime.now(UTC))

    def endpoint(self, peer_id: str) -> str:
        return f"127.0.0.{ord(peer_id) - ord('a') + 1}:{self.port}"

    def info(self, peer_id: str, *, ours: bool = True) -> m.PeerInfo:
        return m.PeerInfo(id=peer_id, endpoints=(self.endpoint(peer_id),), capabilities=(m.CAPABILITY,) if ours else ())

    def gossip(self, peer_id: str, *seeds: str, ours: bool = True) -> Gossip:
        _, client = self.tls(peer_id)
        return Gossip(
            self.info(peer_id, ours=ours),
            dial=lambda other, where: PeerClient(other, where, tls=client),
            discoveries=(StaticDiscovery([SeedPeer(id=seed, endpoints=(self.endpoint(seed),)) for seed in seeds]),),
            clock=SystemClock(),
            discovery_interval=timedelta(seconds=60),
        )

    @asynccontextmanager
    async def manager(self, gossip: Gossip, member: FakeMember) -> AsyncIterator[None]:
        kept = self.kept.setdefault(gossip.own.id, ManagerTls(lambda: self.tls(gossip.own.id)))
        serving = PeerServer(gossip, member, endpoint=gossip.own.endpoints[0], tls=kept.server)
        await serving.start()
        task = asyncio.create_task(gossip.run())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            await serving.stop(grace=timedelta(0))

    @asynccontextmanager
    async def client(self, me: str, wanted: str, where: str | None = None) -> AsyncIterator[PeerClient]:
        _, tls = self.tls(me)
        peer = PeerClient(wanted, self.endpoint(where or wanted), tls=tls)
        try:
            yield peer
        finally:
            await peer.close()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "pki")


def test_every_call_arrives_with_who_called(place: Place) -> None:
    async def scenario() -> None:
        member = FakeMember()
        async with place.manager(place.gossip("b"), member), place.client("a", "b") as peer:
            assert (await peer.ping(place.info("a"), deadline=SECOND)).id == "b"
            view = m.View(leader=place.info("a"), leadership_token="t", healthy=(place.info("a"),), epoch=2)
            answer = await peer.notify_leadership(view, deadline=SECOND)
            assert (answer.highest_epoch, answer.refusal) == (7, "no")
            assert {info.id for info in answer.healthy} == {"a", "b"}
            assert (await peer.info(deadline=SECOND)).disk_empty
            description = await peer.describe(deadline=SECOND)
            assert description is not None
            assert description.peer_id == "b"
            await peer.join(m.JoinRequest(phase=m.JoinPhase.PREPARE, cluster_token="T"), HEADER, deadline=SECOND)
            assert ("PREPARE", "a") in member.calls
            assert await peer.do_backup("s", m.BackupInfo(), HEADER, deadline=SECOND) == "s/name"
            assert await peer.commit_restore("T", HEADER, deadline=SECOND) == "old"

    asyncio.run(scenario())


def test_long_work_tells_how_far_it_is_and_then_its_result(place: Place) -> None:
    async def scenario() -> None:
        async with place.manager(place.gossip("b"), FakeMember()), place.client("a", "b") as peer:
            news: list[m.Progress] = []
            prepare = m.PrepareRestoreRequest(storage="s", backup_name="b", cluster_token="T", nodes=(), etcd_version="3.5.16")
            prepared = await peer.prepare_restore(prepare, HEADER, deadline=SECOND, on_progress=news.append)
            assert prepared.revision == 9
            assert news[0] == m.Progress(stage="restore", done_bytes=1, message="half")
            take = m.TakeBackupRequest(storage="s", info=m.BackupInfo(), reason="request")
            assert (await peer.take_backup(take, HEADER, deadline=SECOND)).revision == 3

    asyncio.run(scenario())


def test_an_error_keeps_its_class_code_and_hint(place: Place) -> None:
    async def scenario() -> None:
        async with place.manager(place.gossip("b"), FakeMember()), place.client("a", "b") as peer:
            with pytest.raises(RefusedError, match="cluster not running") as refused:
                await peer.stop_etcd(HEADER, deadline=SECOND)
            assert refused.value.code == "no-cluster"
            assert refused.value.hint.startswith("form one")
            with pytest.raises(AccessError):
                await peer.abort_restore("T", HEADER, deadline=SECOND)

    asyncio.run(scenario())


def test_a_call_that_hangs_ends_at_its_deadline(place: Place) -> None:
    async def scenario() -> None:
        async with place.manager(place.gossip("b"), FakeMember()), place.client("a", "b") as peer:
            with pytest.raises(DeadlineError):
                await peer.reconfigure(m.ReconfigureRequest(quarantined=True), HEADER, deadline=timedelta(milliseconds=200))

    asyncio.run(scenario())


def test_another_id_at_the_address_fails_in_the_handshake(place: Place) -> None:
    async def scenario() -> None:
        async with place.manager(place.gossip("b"), FakeMember()), place.client("a", "c", where="b") as peer:
            with pytest.raises((TransientError, DeadlineError)):
                await peer.ping(place.info("a"), deadline=SECOND)

    asyncio.run(scenario())


def test_a_caller_that_claims_anothers_id_is_refused(place: Place) -> None:
    async def scenario() -> None:
        gossip = place.gossip("b")
        async with place.manager(gossip, FakeMember()), place.client("a", "b") as peer:
            with pytest.raises(AccessError):
                await peer.ping(place.info("c"), deadline=SECOND)
            assert {info.id for info in gossip.healthy()} == {"b"}

    asyncio.run(scenario())


def test_a_stranger_without_our_ca_is_nobody(place: Place, tmp_path: Path) -> None:
    async def scenario() -> None:
        other = Place(tmp_path / "other")
        other.port = place.port
        async with place.manager(place.gossip("b"), FakeMember()), other.client("a", "b") as peer:
            with pytest.raises(AgentError):
                await peer.ping(place.info("a"), deadline=SECOND)

    asyncio.run(scenario())


def test_a_certificate_of_the_ca_that_is_no_manager_s_is_told_nothing_and_tells_nothing(place: Place) -> None:
    """Any etcd client's certificate, were it of the same CA, must not tell members where to find each other."""

    async def scenario() -> None:
        key = generate_ec_key()
        request = CertificateRequest(common_name="etcd-manager-server-a", usage=Usage.CLIENT)
        signed = issue_leaf(request, authority=place.authority, key=key, now=datetime.now(UTC), lifetime=timedelta(days=1))
        member = FakeMember()
        peer = PeerClient("b", place.endpoint("b"), tls=PeerTls(trusted=place.authority.bundle, certificate=signed, key=key))
        async with place.manager(place.gossip("b"), member):
            try:
                with pytest.raises(AccessError):
                    await peer.update_endpoints([m.MemberMapEntry(name="x", dns="x", addresses=("1.2.3.4:1",))], deadline=SECOND)
                with pytest.raises(AccessError):
                    await peer.info(deadline=SECOND)
            finally:
                await peer.close()
        assert member.calls == []

    asyncio.run(scenario())


def test_a_renewed_certificate_is_served_and_shown_without_a_restart(place: Place) -> None:
    async def scenario() -> None:
        a, b = place.gossip("a", "b"), place.gossip("b")
        async with place.manager(a, FakeMember()), place.manager(b, FakeMember()):
            await until_healthy(a, "a", "b")
            before = place.kept["b"].server().certificate
            assert not place.kept["b"].renew(), "it still answers"
            await asyncio.to_thread(Path(f"{place.directory}/etcd-manager-server-b.crt").unlink)
            assert place.kept["b"].renew()
            after = place.kept["b"].server().certificate
            assert after != before
            await a.redial()
            assert await asyncio.to_thread(served, place, "b") == after
            peer = a.peer("b")
            assert peer is not None
            assert (await peer.ping(place.info("a"), deadline=SECOND)).id == "b"

    asyncio.run(scenario())


def served(place: Place, peer_id: str) -> bytes:
    """Return the certificate that a manager serves, as PEM."""
    _, client = place.tls("a")
    context = ssl.create_default_context(cadata=client.trusted.decode())
    context.load_cert_chain(f"{place.directory}/etcd-manager-client-a.crt", f"{place.directory}/etcd-manager-client-a.key")
    context.set_alpn_protocols(["h2"])
    host, _, port = place.endpoint(peer_id).rpartition(":")
    name = f"etcd-manager-server-{peer_id}"
    with socket.create_connection((host, int(port)), timeout=5) as plain, context.wrap_socket(plain, server_hostname=name) as secure:
        return ssl.DER_cert_to_PEM_cert(secure.getpeercert(binary_form=True) or b"").encode()


async def until_healthy(gossip: Gossip, *wanted: str) -> None:
    async with asyncio.timeout(10):
        while {info.id for info in gossip.healthy()} != set(wanted):  # noqa: ASYNC110  others' pings change it
            await asyncio.sleep(0.02)


def test_one_seed_is_enough_for_all_to_find_each_other(place: Place) -> None:
    """a knows b, b knows nobody, c knows b: b hears of both."""

    async def scenario() -> None:
        a, b, c = place.gossip("a", "b"), place.gossip("b"), place.gossip("c", "b")
        async with place.manager(a, FakeMember()), place.manager(b, FakeMember()), place.manager(c, FakeMember()):
            await until_healthy(b, "a", "b", "c")
            await until_healthy(a, "a", "b")
            assert a.peer("a") is not None
            assert a.peer("zz") is None
            a.introduced(b.healthy())
            await until_healthy(a, "a", "b", "c")

    asyncio.run(scenario())


def test_a_silent_peer_is_suspected_within_the_fast_timer(place: Place) -> None:
    async def scenario() -> float:
        a, b = place.gossip("a", "b"), place.gossip("b")
        async with place.manager(a, FakeMember()):
            async with place.manager(b, FakeMember()):
                await until_healthy(a, "a", "b")
            began = asyncio.get_running_loop().time()
            await until_healthy(a, "a")
            assert a.sights()[0].last_error
            return asyncio.get_running_loop().time() - began

    assert asyncio.run(scenario()) <= FAST.suspect.total_seconds() + 1


def test_one_go_manager_in_the_group_slows_the_timers(place: Place) -> None:
    async def scenario() -> None:
        a, b = place.gossip("a", "b"), place.gossip("b", ours=False)
        assert a.timers == FAST
        async with place.manager(a, FakeMember()), place.manager(b, FakeMember()):
            await until_healthy(a, "a", "b")
            assert a.timers == COMPATIBLE

    asyncio.run(scenario())


def test_peers_find_each_other_by_files(tmp_path: Path) -> None:
    host = LocalHost()
    seeds = [SeedPeer(id=name, endpoints=(f"127.0.0.1:{port}", f"[::1]:{port}")) for name, port in (("a", 1), ("b", 2))]
    (tmp_path / "broken").write_text("{")
    found = [FileDiscovery(host, str(tmp_path), seed).poll() for seed in seeds]
    assert found == [(seeds[0],), tuple(seeds)]
    assert parse_seed(render_seed(seeds[0]), where="x") == seeds[0]
