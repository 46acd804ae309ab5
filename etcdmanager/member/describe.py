"""What a member tells about itself: GetInfo for any manager, Describe for ours. It reads; it changes nothing and waits for nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from agents.project_version import project_version
from etcdmanager.member.binaries import EtcdBinaries
from etcdmanager.member.command_line import quota_bytes
from etcdmanager.member.leadership import Leadership
from etcdmanager.member.local_etcd import EtcdAddress, LocalEtcd, local_address
from etcdmanager.member.loop import Member
from etcdmanager.member.preparation import Preparation
from etcdmanager.member.state import KeptState
from etcdmanager.member.step import unexplained_data
from etcdmanager.peering.messages import (
    CAPABILITY,
    BinariesReport,
    Description,
    EtcdState,
    Info,
    LiveStatus,
    ProcessReport,
    RestoreReport,
)


class Describer:
    """Puts together what is known of one member."""

    def __init__(self, member: Member, *, leadership: Leadership, preparation: Preparation, local_etcd: LocalEtcd) -> None:
        self._member = member
        self._leadership = leadership
        self._preparation = preparation
        self._etcd = local_etcd

    async def info(self) -> Info:
        """Return GetInfo's answer."""
        state = await self._state()
        empty = await asyncio.to_thread(self._member.disk.is_empty)
        # Again, for what was looked at may have gone since.
        await asyncio.to_thread(self._member.setup.require_ground)
        return self._info(state, disk_empty=empty)

    async def describe(self) -> Description:
        """Return everything that a leader decides on."""
        member = self._member
        look = await member.look()
        stored = look.view.stored
        state = stored.state if isinstance(stored, KeptState) else None
        disk = await asyncio.to_thread(member.disk.report, trash_bytes=member.trash_bytes)
        binaries = await asyncio.to_thread(member.binaries.all)
        await asyncio.to_thread(member.setup.require_ground)
        empty = not disk.holds_anything
        intent = look.view.intent
        return Description(
            peer_id=member.setup.peer_id,
            info=self._info(state, disk_empty=empty),
            manager_version=project_version(),
            capabilities=(CAPABILITY,),
            disk=disk,
            process=self._process(),
            etcd=await self.live_status(),
            binaries=tuple(binaries_report(found) for found in binaries),
            restore=None
            if intent is None
            else RestoreReport(phase=intent.phase, cluster_token=intent.token, backup_name=intent.backup_name, prepared=intent.prepared),
            hold=unexplained_data(look.view) or member.hold,
            leader_id=self._leadership.accepted.leader_id,
            leadership_epoch=self._leadership.accepted.epoch,
            prepared_token=self._preparation.token(member.setup.clock.monotonic()),
            now=member.setup.clock.now(),
        )

    async def live_status(self) -> LiveStatus | None:
        """Return our etcd's status, None while none runs or answers."""
        address = await self.address()
        status = await self._etcd.status(address) if address is not None else None
        if status is None or status.quota_bytes:
            return status
        return replace(status, quota_bytes=quota_bytes(self._member.setup.config.etcd_environment))

    async def address(self) -> EtcdAddress | None:
        """Return where our running etcd listens for clients, None while none runs."""
        record = self._member.process.record
        if record is None:
            return None
        setup = self._member.setup
        urls = setup.node.serving_urls(quarantined=record.quarantined)
        return local_address(urls[0], listen_host=setup.config.etcd_address, name=setup.peer_id)

    async def _state(self) -> EtcdState | None:
        stored = await self._member.stored()
        return stored.state if isinstance(stored, KeptState) else None

    def _info(self, state: EtcdState | None, *, disk_empty: bool) -> Info:
        setup = self._member.setup
        configured = state if state is not None and state.cluster is not None else None
        return Info(cluster_name=setup.config.cluster_name, node=setup.node, state=configured, disk_empty=disk_empty)

    def _process(self) -> ProcessReport:
        process = self._member.process
        record, ended = process.record, process.last_exit
        return ProcessReport(
            running=record is not None,
            pid=record.pid if record else 0,
            started=record.started if record else None,
            version=record.version if record else "",
            cluster_token=record.token if record else "",
            quarantined=record.quarantined if record else False,
            failures=process.failures,
            next_start=self._member.next_start,
            last_exit=ended.reason if ended else "",
            last_log_lines=ended.last_lines if ended and record is None else (),
            adopted=process.adopted,
        )


def binaries_report(found: EtcdBinaries) -> BinariesReport:
    """Return an etcd of this machine as others are told of it."""
    return BinariesReport(
        version=str(found.version),
        directory=found.directory,
        has_etcdctl=found.etcdctl is not None,
        has_etcdutl=found.etcdutl is not None,
    )
