"""Long work at one member: taking a backup, and preparing, committing and aborting a restore. None of it holds up the member's loop.

A restore is journalled before each step that a crash could interrupt (`member.intent`); what a crash leaves is decided by
`member.step`. Committing only journals and lets the loop do the swap.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from agents.errors import AccessError, BusyError, NotFoundError, RefusedError, SpecError, TransientError
from agents.stores.url import open_store
from etcdmanager.backups import restore
from etcdmanager.backups.encryption import keys_of
from etcdmanager.backups.spool_keeper import Uploads
from etcdmanager.backups.store import BackupStore
from etcdmanager.backups.take import BackupOrder, BackupTaker
from etcdmanager.member.describe import binaries_report
from etcdmanager.member.intent import RestoreIntent
from etcdmanager.member.layout import checked_token
from etcdmanager.member.local_etcd import EtcdAddress, LocalEtcd
from etcdmanager.member.logical_restore import copy_backup
from etcdmanager.member.loop import Member
from etcdmanager.member.state import KeptState
from etcdmanager.peering.messages import (
    EtcdCluster,
    PreparedRestore,
    PrepareRestoreRequest,
    Progress,
    RestorePhase,
    TakeBackupRequest,
    TakenBackup,
)
from etcdmanager.spec import ClusterSpec

log = logging.getLogger(__name__)

Report = Callable[[Progress], None]

#: Fetching and restoring 8 GiB at 10 MB/s, three times over. The leader's own deadline is what counts.
_PREPARING = timedelta(minutes=60)


class MemberJobs:
    """At most one backup and one restore at a time. `address` says where our etcd listens, None while none runs."""

    def __init__(self, member: Member, *, local_etcd: LocalEtcd, address: Callable[[], Awaitable[EtcdAddress | None]]) -> None:
        self._member = member
        self._etcd = local_etcd
        self._address = address
        self._backup = asyncio.Lock()
        self._restore = asyncio.Lock()
        setup = member.setup
        scratch = Path(setup.host.local_path(f"{setup.layout.base}/scratch"))
        self._taker = BackupTaker(scratch=scratch, clock=setup.clock, by=setup.peer_id)
        #: How backups that were asked of us went; the spool goes by it.
        self.uploads = Uploads()

    async def take_backup(self, request: TakeBackupRequest, report: Report) -> TakenBackup:
        """Back up our etcd into `request.storage`; RefusedError where none runs, BusyError during another backup."""
        await asyncio.to_thread(self._member.setup.require_ground)
        address = await self._address()
        if address is None:
            raise RefusedError("etcd not running", code="etcd-not-running")
        if self._backup.locked():
            raise BusyError("a backup of this member is being taken already", code="backup-under-way")
        if request.info.cluster_spec is None:
            raise SpecError("a backup request needs the cluster's spec")
        async with self._backup, self._etcd.connection(address) as client:
            order = BackupOrder(
                etcd_cluster=self._member.setup.config.cluster_name,
                spec=request.info.cluster_spec,
                reason=request.reason,
                label=request.label,
            )
            return await self._noting(self._taker.take(client, await self._store(request.storage), order, report=report))

    async def spool_backup(self, spool: BackupStore) -> None:
        """Back our etcd up into the spool, for want of a store and of anybody who leads.

        RefusedError where it is not open to clients; TransientError where it is cut off from its cluster: what it holds may be old, and its
        backup would be taken for one of that time.
        """
        await asyncio.to_thread(self._member.setup.require_ground)
        address, stored = await self._address(), await self._member.stored()
        if address is None or not isinstance(stored, KeptState) or stored.state.quarantined:
            raise RefusedError("our etcd is not open to clients; nothing is spooled", code="etcd-not-running")
        if self._backup.locked():
            raise BusyError("a backup of this member is being taken already", code="backup-under-way")
        async with self._backup, self._etcd.connection(address) as client:
            await client.get(b"health")  # answered by a quorum
            members = (await client.members()).members
            spec = ClusterSpec(member_count=sum(not m.is_learner for m in members), etcd_version=stored.state.etcd_version)
            order = BackupOrder(etcd_cluster=self._member.setup.config.cluster_name, spec=spec, reason="spool")
            await self._taker.take(client, spool, order)

    async def _noting(self, taking: Awaitable[TakenBackup]) -> TakenBackup:
        """Remember whether the store took a backup."""
        try:
            taken = await taking
        except (TransientError, AccessError):
            self.uploads = self.uploads.after(failed=True, now=self._member.setup.clock.now())
            raise
        self.uploads = self.uploads.after(failed=False, now=self._member.setup.clock.now())
        return taken

    async def prepare_restore(self, request: PrepareRestoreRequest, report: Report) -> PreparedRestore:
        """Make restored data lie ready; a token that is prepared already is answered from the journal."""
        token = checked_token(request.cluster_token)
        cluster = EtcdCluster(token=token, nodes=request.nodes)
        if cluster.node(self._member.setup.peer_id) is None:
            raise SpecError(f"we are {self._member.setup.peer_id}, which is not among the members to restore")
        if self._restore.locked():
            raise BusyError("a restore is being prepared already", code="restore-under-way")
        async with self._restore:
            known = await self._intent()
            if known is not None and known.token == token and known.prepared is not None:
                return known.prepared
            if known is not None:
                raise BusyError(f"a restore of {known.backup_name} is {known.phase.value}", code="restore-under-way", hint="abort it")
            stored = await self._member.stored()
            if isinstance(stored, KeptState) and stored.state.cluster is not None and stored.state.cluster.token == token:
                raise RefusedError(f"cluster {token} runs already", code="restore-token-in-use")
            intent = RestoreIntent(
                phase=RestorePhase.PREPARING,
                cluster=cluster,
                etcd_version=request.etcd_version,
                storage=request.storage,
                backup_name=request.backup_name,
            )
            return await self._prepare(intent, request, report)

    async def copy_backup(self, storage: str, backup: str) -> None:
        """Copy a backup's keys into our etcd, for a Go leader; RefusedError where it is not fenced off from its clients."""
        await asyncio.to_thread(self._member.setup.require_ground)
        stored, address = await self._member.stored(), await self._address()
        if address is None or not isinstance(stored, KeptState):
            raise RefusedError("etcd not running", code="etcd-not-running")
        if not stored.state.quarantined:
            raise RefusedError("etcd serves clients: keys of a backup would be mixed with theirs", code="logical-restore-open")
        if self._restore.locked():
            raise BusyError("a restore is under way at this member already", code="restore-under-way")
        setup = self._member.setup
        room = Path(setup.host.local_path(f"{setup.layout.base}/scratch"))
        async with self._restore, self._etcd.connection(address) as client:
            await copy_backup(await self._store(storage), backup, client, room=room, directories=setup.config.binaries)

    async def commit_restore(self, token: str, *, deadline: timedelta) -> str:
        """Journal the point of no return and let the loop swap; return which data went to the trash, "" if none."""
        async with self._member.desire:
            intent = await self._intent()
            if intent is None or intent.token != token:
                await self._must_run(token)
                return ""
            if intent.phase not in {RestorePhase.PREPARED, RestorePhase.COMMITTING}:
                raise RefusedError(f"the restore of {intent.backup_name} is {intent.phase.value}", code="restore-not-prepared")
            if intent.phase is RestorePhase.PREPARED:
                self._member.last_archived = ""
                await asyncio.to_thread(self._member.intent_file.write, intent.at(RestorePhase.COMMITTING))
                log.info("committing the restore of %s as cluster %s", intent.backup_name, token)
        await self._member.converge(deadline=deadline)
        return self._member.last_archived

    async def abort_restore(self, token: str, *, deadline: timedelta) -> None:
        """Throw the preparation of `token` away; nothing happens where there is none. RefusedError once committed."""
        async with self._member.desire:
            intent = await self._intent()
            if intent is None or intent.token != token:
                return
            if intent.phase is RestorePhase.COMMITTING:
                raise RefusedError(f"the restore of {intent.backup_name} is committed", code="restore-committed")
            await asyncio.to_thread(self._member.intent_file.write, intent.at(RestorePhase.ABORTING))
        await self._member.converge(deadline=deadline)

    async def _prepare(self, intent: RestoreIntent, request: PrepareRestoreRequest, report: Report) -> PreparedRestore:
        member, setup = self._member, self._member.setup
        member.preparing = intent.token
        try:
            await asyncio.to_thread(member.intent_file.write, intent)
            await asyncio.to_thread(member.disk.prepare_data)
            binaries = await asyncio.to_thread(member.binaries.all)
            order = restore.RestoreOrder(
                backup=request.backup_name,
                incoming=Path(setup.host.local_path(setup.layout.incoming_of(intent.token))),
                name=setup.peer_id,
                initial_cluster={node.name: node.peer_urls for node in request.nodes},
                token=intent.token,
                etcd_version=request.etcd_version,
                bump_revision=request.bump_revision,
            )
            prepared = await restore.prepare(
                order,
                backups=await self._store(request.storage),
                binaries=tuple(binaries_report(found) for found in binaries),
                deadline=_PREPARING,
                report=report,
            )
            async with member.desire:
                # An abort that came meanwhile stands.
                if await self._intent() != intent:
                    raise RefusedError(f"the restore of {intent.backup_name} was aborted", code="restore-aborted")
                done = replace(intent, phase=RestorePhase.PREPARED, prepared=prepared)
                await asyncio.to_thread(member.intent_file.write, done)
            return prepared
        finally:
            # Whatever went wrong, a journal that still says "preparing" is undone by the loop from here on.
            member.preparing = ""
            member.wake()

    async def _must_run(self, token: str) -> None:
        stored = await self._member.stored()
        if isinstance(stored, KeptState) and stored.state.cluster is not None and stored.state.cluster.token == token:
            return
        raise NotFoundError(f"no restore is prepared for cluster {token}", code="restore-not-prepared", hint="prepare it first")

    async def _intent(self) -> RestoreIntent | None:
        return await asyncio.to_thread(self._member.intent_file.read)

    async def _store(self, url: str) -> BackupStore:
        config, host = self._member.setup.config, self._member.setup.host
        keys = keys_of(host.local_path(config.backup_encryption_key_file) if config.backup_encryption_key_file else "")
        return BackupStore(await asyncio.to_thread(lambda: open_store(url, environment=config.environment)), keys=keys)
