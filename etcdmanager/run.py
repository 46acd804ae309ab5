"""One running etcd-manager: every part made, wired and supervised. It decides nothing.

    TaskGroup ─┬─ gossip         who is there
               ├─ member loop    our etcd as it is desired; left running when we end
               ├─ lock keeper    the leader's lock, renewed or watched
               ├─ leader loop    while the lock is ours: observe, decide, execute
               ├─ deltas         while the lock is ours: every change into the backup store
               ├─ spool          backups that wait here while the store is away
               ├─ second store   while the lock is ours: what it lacks is copied there
               ├─ ground         ends us when the data directory is another than the one that we began with
               └─ status         file, one-line summary, and the pictures that HTTP serves

What ends one of them by a bug ends all; systemd starts us again, and etcd goes on meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from agents.clock import SystemClock
from agents.daemon import Daemon, run_daemon
from agents.errors import AgentError
from agents.exit_codes import ExitCode
from agents.host.local import LocalHost
from agents.host.protocol import Host
from agents.stores.url import open_store
from etcdmanager.backups.encryption import keys_of
from etcdmanager.backups.retention import Retention
from etcdmanager.backups.store import BackupStore
from etcdmanager.connections import EtcdConnections, GossipGroup
from etcdmanager.control.history import History
from etcdmanager.control.store import CONTROL, ControlStore
from etcdmanager.deltas.keeper import DeltaKeeper
from etcdmanager.etcd.client import ClientTls
from etcdmanager.former_owner import give_way
from etcdmanager.identity import DataDirectoryLock, Identity, identify
from etcdmanager.leader.execute import Executor
from etcdmanager.leader.group import Surroundings
from etcdmanager.leader.loop import LeaderLoop
from etcdmanager.leader.observe import Observer
from etcdmanager.leader.recorder import Recorder
from etcdmanager.leader.upkeep import UpkeepPolicy
from etcdmanager.leader.view import BackupPolicy
from etcdmanager.leadership.claim import RELUCTANCE, Me
from etcdmanager.leadership.keeper import keep_lock
from etcdmanager.leadership.lock import LeaderLock
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
from etcdmanager.peering.client import PeerClient
from etcdmanager.peering.discovery import Discovery, FileDiscovery, StaticDiscovery
from etcdmanager.peering.gossip import Gossip
from etcdmanager.peering.messages import CAPABILITY, PROMISES, PeerInfo
from etcdmanager.peering.renewal import ManagerTls, keep_fresh
from etcdmanager.peering.server import PeerServer
from etcdmanager.peering.tls import PeerTls
from etcdmanager.safekeeping import Safekeeping
from etcdmanager.spec import ManagerConfig, SeedPeer, agent_name, endpoint
from etcdmanager.telling import Sources, Teller

log = logging.getLogger(__name__)

#: Twice as many as there is blocking work at a time: lock, leader, status, backup, restore, progress, discovery, and the member's disk.
_THREADS = 16
#: A volume that vanished is noticed by the member at once; ending ourselves only has the next one look afresh.
_GROUND_EVERY = timedelta(seconds=5)


def run_manager(config: ManagerConfig) -> ExitCode:
    """Run one manager until it is told to stop."""
    return run_daemon(lambda daemon: Manager(config, LocalHost()).run(daemon), name=agent_name(config.cluster_name))


def _reluctance(gossip: Gossip) -> timedelta | None:
    """Return how long the lock is left to others; None where we may not lead at all."""
    if not gossip.may_lead():
        return None
    return RELUCTANCE if gossip.reaches_few() else timedelta()


async def _watch_ground(held: DataDirectoryLock) -> None:
    """Return by the error of `held.require` only."""
    while True:
        await asyncio.to_thread(held.require)
        await asyncio.sleep(_GROUND_EVERY.total_seconds())


class Manager:
    """The parts of one manager."""

    def __init__(self, config: ManagerConfig, host: Host) -> None:
        self._config = config
        self._host = host
        self._clock = SystemClock()

    async def run(self, daemon: Daemon) -> None:
        """Make everything, run it until `daemon.stopping`, and give the leadership up at the end."""
        # asyncio's own pool has five threads on one CPU, and a store that hangs may hold as many: our etcd must still be looked after.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="etcd-manager"))
        identity = await asyncio.to_thread(identify, self._config, self._host)
        held = await asyncio.to_thread(DataDirectoryLock, self._host, identity.data_dir)
        try:
            if await give_way(self._config, identity, self._host, daemon=daemon, clock=self._clock):
                await self._run(daemon, identity, held)
        finally:
            held.release()

    async def _run(self, daemon: Daemon, identity: Identity, held: DataDirectoryLock) -> None:
        config, now = self._config, self._clock.now
        terms = Terms(lifetime=config.certificate_lifetime, renew_before=config.certificate_renew_before, key_kind=config.key_kind)
        tls = None if config.insecure else await asyncio.to_thread(ManagerTls, lambda: self._manager_tls(identity, terms))
        authorities = await asyncio.to_thread(self._authorities)
        own = PeerInfo(id=identity.peer_id, endpoints=(endpoint(identity.address, config.grpc_port),), capabilities=(CAPABILITY, PROMISES))
        gossip = Gossip(
            own,
            dial=lambda peer, where: PeerClient(peer, where, tls=tls.client() if tls is not None else None),
            discoveries=self._discoveries(own),
            clock=self._clock,
            discovery_interval=config.discovery_poll_interval,
            compatible=config.compatible_timers,
        )
        setup = MemberSetup(
            config=config,
            peer_id=identity.peer_id,
            address=identity.address,
            data_dir=identity.data_dir,
            host=self._host,
            clock=self._clock,
            authorities=authorities,
            require_ground=held.require,
        )
        member = Member(setup)
        local_etcd = await asyncio.to_thread(self._local_etcd, identity, authorities)
        accepted = await asyncio.to_thread(Leadership, self._host, setup.layout, cluster_name=config.cluster_name)
        store = open_store(config.backup_store, environment=config.environment)
        queued = (lambda: bool(ControlStore(store).observe().open_commands)) if config.veto_go_leaders else None
        handlers = MemberHandlers(member, leadership=accepted, local_etcd=local_etcd, is_restore_queued=queued)
        group = GossipGroup(gossip)
        etcds = EtcdConnections(group, me=identity.peer_id, authorities=authorities, lifetime=terms.lifetime, now=now)
        me = Me(id=identity.peer_id, instance=secrets.token_urlsafe(9), disk=held.disk_id)
        lock = LeaderLock(store.child(CONTROL), me, reluctance=lambda: _reluctance(gossip))
        around = Surroundings(
            cluster_name=config.cluster_name,
            me=identity.peer_id,
            group=group,
            etcds=etcds,
            control=ControlStore(store),
            backups=BackupStore(store, keys=keys_of(self._key_file())),
        )
        leader = self._leader(around, lock)
        recorder = Recorder(History(store), identity.peer_id, is_leader=lambda: leader.news.leading)
        leader.add_witness(recorder)
        deltas = DeltaKeeper(
            around, view=lambda: leader.news.view if leader.news.leading else None, clock=self._clock, keep=config.hourly_retention
        )
        safe = Safekeeping(setup, around.backups, handlers, leading=lambda: leader.news.leading)
        sources = Sources(
            deltas=deltas, safekeeping=safe, handlers=handlers, gossip=gossip, lock=lock, leader=leader, store=store, identity=identity
        )
        teller = Teller(config, self._host, self._clock, sources, show=daemon.status)
        server = PeerServer(gossip, handlers, endpoint=own.endpoints[0], tls=tls.server if tls is not None else None)
        await server.start()
        try:
            loops = [
                gossip.run(),
                member.run(),
                keep_lock(lock),
                leader.run(),
                recorder.run(),
                teller.run(),
                teller.look_slowly(),
                _watch_ground(held),
            ]
            loops += [] if config.no_deltas else [deltas.run()]
            loops += safe.loops()
            loops += [] if tls is None else [keep_fresh(tls, gossip)]
            await self._supervise(daemon, loops, teller)
        finally:
            await self._let_go(lock)
            await server.stop()
            await etcds.close()
            await local_etcd.close()

    async def _supervise(self, daemon: Daemon, loops: Sequence[Coroutine[None, None, None]], teller: Teller) -> None:
        """Run the loops until the daemon shall stop; one that ends by an error ends all."""
        with teller.http():
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(loop) for loop in loops]
                daemon.ready()
                await daemon.stopping.wait()
                for task in running:
                    task.cancel()

    def _leader(self, around: Surroundings, lock: LeaderLock) -> LeaderLoop:
        config = self._config
        retention = Retention(hourly=config.hourly_retention, daily=config.daily_retention)
        static = config.static.cluster_spec if config.static is not None else None
        upkeep = UpkeepPolicy(
            compare_hashes_every=config.hash_comparison_interval,
            defragment_after=config.defragment_after,
            may_compact=config.compact_on_nospace,
            compact_older_than=config.compact_older_than,
        )
        policy = BackupPolicy(interval=config.backup_interval)
        observer = Observer(around, retention=retention, policy=policy, static_spec=static, upkeep=upkeep)
        return LeaderLoop(around, lock, observer, Executor(around), dns_suffix=config.dns_suffix)

    def _key_file(self) -> str:
        """Return the file with the keys of backups, "" for none; it is read when it is needed, so that a missing one stops no etcd."""
        path = self._config.backup_encryption_key_file
        return self._host.local_path(path) if path else ""

    async def _let_go(self, lock: LeaderLock) -> None:
        """Give the leadership up, so that the others need not wait for the lock to expire; not being able to is no failure."""
        try:
            async with asyncio.timeout(5):
                await asyncio.to_thread(lock.release)
        except (AgentError, TimeoutError) as error:
            log.warning("the leader's lock was not released and will expire: %s", error)

    # --- certificates

    def _manager_tls(self, identity: Identity, terms: Terms) -> tuple[PeerTls, PeerTls]:
        authority = load_authority(self._host, self._config.pki_dir, MANAGER_CA)
        shelf = CertificateShelf(self._host, terms)
        return shelf.manager(authority, pki_dir=self._config.pki_dir, peer_id=identity.peer_id, now=self._clock.now())

    def _authorities(self) -> EtcdAuthorities | None:
        if self._config.etcd_insecure:
            return None
        return EtcdAuthorities(
            peers=load_authority(self._host, self._config.pki_dir, PEERS_CA),
            clients=load_authority(self._host, self._config.pki_dir, CLIENTS_CA),
        )

    def _local_etcd(self, identity: Identity, authorities: EtcdAuthorities | None) -> LocalEtcd:
        if authorities is None:
            return LocalEtcd(None)
        pair = client_pair(authorities.clients, identity.peer_id, now=self._clock.now(), lifetime=self._config.certificate_lifetime)
        return LocalEtcd(ClientTls(ca_pem=authorities.clients.bundle, certificate_pem=pair.certificate_pem, key=pair.key))

    def _discoveries(self, own: PeerInfo) -> tuple[Discovery, ...]:
        found: list[Discovery] = []
        seeds = self._config.seed_peers()
        if seeds:
            found.append(StaticDiscovery(seeds))
        if self._config.discovery_dir:
            found.append(FileDiscovery(self._host, self._config.discovery_dir, SeedPeer(id=own.id, endpoints=own.endpoints)))
        return tuple(found)
