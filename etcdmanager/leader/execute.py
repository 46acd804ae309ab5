"""Doing what was decided: RPCs to members, calls to etcd, documents in the control store. It decides nothing.

Every step that changes something first asks for the leadership's remaining validity (`Authority.within`), is sent with a
deadline inside it, and carries the epoch. Each action may be cut off anywhere: the next look sees how far it came, and the
same rules go on from there (tests/simulator cuts every one of them). Work that changes nothing that serves (preparing,
backing up) may outlast a lease; what follows it asks again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import assert_never

from agents.errors import NotFoundError, TransientError
from etcdmanager.control.commands import BackupAnswer, BackupRequest, Formation
from etcdmanager.control.member_requests import MemberAnswer
from etcdmanager.etcd.answers import Member
from etcdmanager.leader import actions as a
from etcdmanager.leader.group import Surroundings
from etcdmanager.leader.hands import SHORT, Hands, Order, new_token
from etcdmanager.leader.maintain import UpkeepExecutor
from etcdmanager.leader.restoring import RestoreExecutor
from etcdmanager.peering import messages as m
from etcdmanager.spec import EtcdNode

log = logging.getLogger(__name__)

#: How long answers to backup-now stay for whoever asked.
ANSWERS_STAY = timedelta(days=7)


class Executor:
    """Carries orders out, one at a time."""

    def __init__(self, around: Surroundings, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._around = around
        self._hands = Hands(around)
        self._restores = RestoreExecutor(around, self._hands, now=now)
        self._upkeep = UpkeepExecutor(self._hands, now=now)
        self._now = now

    async def execute(self, order: Order) -> None:
        """Do it; any AgentError means that it was not, or not wholly, done."""
        order.authority.require()
        if isinstance(order.action, a.UpkeepAction):
            await self._upkeep.execute(order, order.action)
            return
        match order.action:
            case a.Wait() | a.Rest():
                return
            case a.DecideFormation() | a.StartMembers() | a.SealFormation() | a.WriteMarker():
                await self._form(order, order.action)
            case a.LiftQuarantine(peer=peer):
                await self._hands.lift(order, peer)
            case a.TakeBackup() | a.DeleteBackups():
                await self._tend_backups(order, order.action)
            case a.AddLearner() | a.JoinLearner() | a.PromoteLearner() | a.RemoveMember() | a.StopRemoved():
                await self._change_membership(order, order.action)
            case a.MoveRaftLeader() | a.AnswerMemberRequest():
                await self._on_request(order, order.action)
            case _:
                await self._restores.execute(order, order.action)

    async def _form(self, order: Order, action: a.FormationAction) -> None:
        match action:
            case a.DecideFormation():
                await self._decide_formation(order, action)
            case a.StartMembers():
                await self._start_members(order, action)
            case a.SealFormation():
                if order.view.spec is None:
                    await asyncio.to_thread(self._around.control.write_spec, action.formation.spec)
                await self._mark_created()
            case a.WriteMarker():
                await self._mark_created()
            case _:
                assert_never(action)

    async def _mark_created(self) -> None:
        await asyncio.to_thread(self._around.control.write_created, self._now())
        await asyncio.to_thread(self._around.control.delete_formation)

    async def _decide_formation(self, order: Order, action: a.DecideFormation) -> None:
        """Write the record; one that was left behind is replaced, if it is still the one that was seen."""
        control = self._around.control
        formation = Formation(token=new_token(), members=action.members, spec=action.spec, epoch=order.view.epoch, decided_at=self._now())
        stale = await asyncio.to_thread(control.formation)
        if stale is None:
            await asyncio.to_thread(control.create_formation, formation)
        else:
            await asyncio.to_thread(control.change_formation, formation, stale.version)
        log.info("forming a new cluster %s with %s", formation.token, ", ".join(formation.members))

    async def _start_members(self, order: Order, action: a.StartMembers) -> None:
        """Prepare all, then start all; a peer that was prepared and not started forgets it after a minute.

        They start open to clients: nothing was there that a client could destroy, so the restart that lifting a
        quarantine costs would buy nothing. Go always starts a new cluster quarantined.
        """
        formation = action.formation
        prepare = m.JoinRequest(
            phase=m.JoinPhase.PREPARE,
            cluster_token=formation.token,
            nodes=order.nodes(formation.members),
            etcd_version=formation.spec.etcd_version,
            start_open=True,
        )
        start = replace(prepare, phase=m.JoinPhase.INITIAL_CLUSTER)
        await self._hands.on_all(action.peers, lambda p: self._hands.join(order, p, prepare))
        await self._hands.on_all(action.peers, lambda p: self._hands.join(order, p, start))

    async def _tend_backups(self, order: Order, action: a.BackupAction) -> None:
        match action:
            case a.TakeBackup():
                await self._back_up(order, action)
            case a.DeleteBackups():
                await self._delete_backups(order, action)
            case _:
                assert_never(action)

    async def _back_up(self, order: Order, action: a.TakeBackup) -> None:
        label = next((r.label for r in action.requests if r.label), "")
        reason = "request" if action.requests else action.why
        taken = await self._hands.take_backup(order, action.peers, reason=reason, label=label)
        for request in action.requests:
            await asyncio.to_thread(self._answer, request, taken.name)

    def _answer(self, request: BackupRequest, name: str) -> None:
        if request.keep:
            self._around.backups.pin(name)
        self._around.control.answer_backup(BackupAnswer(id=request.id, answered_at=self._now(), backup=name))

    async def _delete_backups(self, order: Order, action: a.DeleteBackups) -> None:
        """Delete one by one; the attempt counts as done, as in Go, so that one that cannot be deleted is not tried each round."""
        order.memory.last_cleanup = self._now()
        order.memory.backups_changed()
        for name in action.names:
            order.authority.require()
            if await asyncio.to_thread(self._around.backups.discard_orphan, name):
                continue
            await asyncio.to_thread(self._around.backups.delete, name)
            log.info("deleted backup %s: retention no longer asks for it", name)
        await asyncio.to_thread(self._forget_answers)

    def _forget_answers(self) -> None:
        self._around.control.forget_requests(answered_before=self._now() - ANSWERS_STAY)

    async def _change_membership(self, order: Order, action: a.MembershipAction) -> None:
        match action:
            case a.AddLearner(peer=name):
                await self._add_learner(order, name, list_first=True)
            case a.JoinLearner(peer=name):
                await self._add_learner(order, name, list_first=False)
            case a.PromoteLearner():
                await self._hands.etcd(order.serving()).promote(action.member_id, deadline=order.authority.within(SHORT))
            case a.RemoveMember():
                await self._remove(order, action)
            case a.StopRemoved(peer=name):
                await self._hands.connection(name).stop_etcd(order.authority.header, deadline=order.authority.within(SHORT))
            case _:
                assert_never(action)

    async def _on_request(self, order: Order, action: a.RequestedAction) -> None:
        match action:
            case a.MoveRaftLeader(peer=peer):
                await self._move_leader(order, peer)
            case a.AnswerMemberRequest(request=request, text=text, code=code):
                answer = MemberAnswer(id=request.id, answered_at=self._now(), text=text, code=code)
                await asyncio.to_thread(self._around.control.member_requests.answer, answer)
            case _:
                assert_never(action)

    async def _move_leader(self, order: Order, name: str) -> None:
        target = order.peer(name).etcd
        if target is None:
            raise TransientError(f"{name} does not answer any more", code="no-etcd")
        # The raft leader itself must be asked: `serving` returns it where it is known.
        await self._hands.etcd(order.serving()).move_leader(target.member_id, deadline=order.authority.within(SHORT))

    async def _remove(self, order: Order, action: a.RemoveMember) -> None:
        removed = next((p for p in order.view.peers if p.etcd is not None and p.etcd.member_id == action.member_id), None)
        if removed is not None:
            await self._hands.lead_elsewhere(order, removed)
        try:
            await self._hands.etcd(order.serving()).remove(action.member_id, deadline=order.authority.within(SHORT))
        except NotFoundError:
            log.info("member %x was gone already", action.member_id)

    async def _add_learner(self, order: Order, name: str, *, list_first: bool) -> None:
        """Prepare the peer, list it as a learner, have it join. Cut off after listing, `join_learner` goes on from there."""
        serving, peer = order.serving(), order.peer(name)
        # etcd compares this with its list and ends where they differ: who was removed may still be configured, who is listed may be away.
        listed = tuple(_node_of(member) for member in order.view.members or () if member.name and member.name != peer.node.name)
        prepare = m.JoinRequest(
            phase=m.JoinPhase.PREPARE,
            cluster_token=serving.cluster_token,
            nodes=(*listed, *order.nodes((name,))),
            etcd_version=serving.etcd_version,
        )
        await self._hands.join(order, name, prepare)
        if list_first:
            await self._hands.etcd(serving).add_learner(peer.node.peer_urls, deadline=order.authority.within(SHORT))
        await self._hands.join(order, name, replace(prepare, phase=m.JoinPhase.JOIN_EXISTING))


def _node_of(member: Member) -> EtcdNode:
    """Return a listed member as the node that others are started with. Pure."""
    tls = all(url.startswith("https://") for url in member.peer_urls)
    return EtcdNode(name=member.name, peer_urls=member.peer_urls, client_urls=member.client_urls, tls_enabled=tls)
