"""`etcd-manager watch`: how the members are, again and again: term, lag, growth, alarms, how fast they answer and their disk is.

On a control-plane node the etcds themselves are asked; elsewhere it is what the leading manager told the store, up to a minute old.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from agents.cli import common, common_options
from agents.errors import AgentError
from agents.exit_codes import ExitCode
from etcdmanager.commands.cluster_status import ClusterReport
from etcdmanager.commands.nearest import nearest_report
from etcdmanager.commands.node_config import node_config
from etcdmanager.commands.repeating import repeat, repeating_options
from etcdmanager.commands.target import Target, target_of, target_options
from etcdmanager.told import told_cluster
from etcdmanager.watching import Look, MemberLook, Sizes, document_of, look_from_told, text_of

if TYPE_CHECKING:
    from etcdmanager.commands.living import LivingEtcds
    from etcdmanager.etcd.answers import Member
    from etcdmanager.etcd.exposition import Histogram
    from etcdmanager.spec import ManagerConfig

_WITHIN = timedelta(seconds=2)


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the verb's arguments."""
    parser.add_argument("etcd", nargs="?", default="main", metavar="ETCD", help="main (the default), events, cilium or leases")
    parser.add_argument("--config", default="", metavar="FILE", help="this node's manager (default: what nodeup wrote, where it did)")
    repeating_options(parser, default="2s")
    target_options(parser)
    common_options(parser)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Look until told to stop."""
    target = target_of(arguments, arguments.etcd)
    watcher = _Watcher(target, node_config(arguments.etcd, path=arguments.config), config_path=arguments.config)
    title = f"{target.cluster} {target.etcd}"

    def look() -> tuple[Mapping[str, object], str]:
        found = watcher.look()
        return {"cluster": target.cluster, "etcd": target.etcd, **document_of(found)}, text_of(title, found)

    repeat(common(arguments), arguments, "EtcdLook", look)
    return ExitCode.OK


class _Watcher:
    """Looks, and remembers what is needed to tell a rate."""

    def __init__(self, target: Target, config: ManagerConfig | None, *, config_path: str) -> None:
        self._target = target
        self._config_path = config_path
        self._config = config
        self._sizes = Sizes()
        self._disk: Mapping[str, Histogram] = {}

    def look(self) -> Look:
        """Return the next look; the store is read each time for who leads and what is paused."""
        now = datetime.now(UTC)
        notes: list[str] = []
        report = nearest_report(self._target, config_path=self._config_path)
        found = look_from_told(
            told_cluster(report.cluster), told_by=report.told_by, told_at=report.told_at or now, manager=report.leader, now=now
        )
        if report.told_at is None:
            notes.append(report.message)
        if report.pause is not None and report.pause.holds(now):
            notes.append(f"paused by {report.pause.by} until {report.pause.until:%H:%M:%S}Z")
        if self._config is not None:
            try:
                found = asyncio.run(_ask(self._config, report, now))
                found = self._with_disk(found, self._config)
            except AgentError as error:
                notes.append(f"the etcds themselves were not asked: {error}")
        self._sizes, found = self._sizes.with_look(found)
        return replace(found, notes=tuple(notes))

    def _with_disk(self, look: Look, config: ManagerConfig) -> Look:
        """Return the look with how fast this node's disk was since the look before; at first, since etcd started."""
        from etcdmanager.commands.living import LivingEtcds
        from etcdmanager.doctor.looking.etcd_metrics import fetch_metrics
        from etcdmanager.etcd.exposition import COMMIT, FSYNC, Histogram, histograms

        try:
            found = histograms(fetch_metrics(config, LivingEtcds(config).identity, look.at), FSYNC, COMMIT)
        except AgentError:
            return look
        lately = {name: found[name].since(self._disk.get(name, Histogram())) for name in found}
        # Where nothing was written since the look before, what was before is shown on.
        speeds = {name: (lately[name] if lately[name].count else found[name]).quantile(0.99) for name in found}
        self._disk = found
        return replace(look, fsync_p99_seconds=speeds[FSYNC], commit_p99_seconds=speeds[COMMIT])


async def _ask(config: ManagerConfig, report: ClusterReport, now: datetime) -> Look:
    """Return what the members say of themselves; an AgentError where not even this node's does."""
    from etcdmanager.commands.living import LivingEtcds
    from etcdmanager.etcd.answers import alarms_in

    living = LivingEtcds(config)
    async with living.own() as client:
        members = (await client.members(deadline=_WITHIN)).members
    asked = await asyncio.gather(*(_member(living, member) for member in members))
    names = {member.id: member.name for member in members}
    leader = next((leader for _, leader, _ in asked if leader), 0)
    alarms = alarms_in(error for _, _, errors in asked for error in errors)
    return Look(
        at=now,
        told_by="asked",
        told_at=now,
        raft_leader=names.get(leader, ""),
        manager=report.leader,
        members=tuple(sorted((look for look, _, _ in asked), key=lambda look: look.name)),
        alarms=tuple(sorted({f"{one.alarm.name} {names.get(one.member_id) or f'{one.member_id:x}'}" for one in alarms})),
    )


async def _member(living: LivingEtcds, member: Member) -> tuple[MemberLook, int, tuple[str, ...]]:
    """Return one member's look, the id of the raft leader that it follows, and its errors."""
    role = "learner" if member.is_learner else "voter"
    name = member.name or f"{member.id:x}"
    problem = "it never started"
    for url in member.client_urls:
        began = time.monotonic()
        try:
            async with living.at(url, member.name) as client:
                await client.status(deadline=_WITHIN)
                # Once more: the first answer took the connection's handshakes, too.
                began = time.monotonic()
                status = await client.status(deadline=_WITHIN)
        except AgentError as error:
            problem = str(error)
            continue
        look = MemberLook(
            name=name,
            role=role,
            serves=status.leader_id != 0,
            raft_term=status.raft_term,
            raft_index=status.raft_index,
            revision=status.revision,
            db_size_bytes=status.db_size_bytes,
            db_in_use_bytes=status.db_in_use_bytes,
            answered_in=timedelta(seconds=time.monotonic() - began),
            problem="" if status.leader_id else "it follows no raft leader",
        )
        return look, status.leader_id, status.errors
    return MemberLook(name=name, role=role, serves=False, problem=problem), 0, ()
