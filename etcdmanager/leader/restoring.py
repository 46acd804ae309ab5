"""Carrying a restore out, step by step as the rules decide: claim, prepare, save, fence, commit, verify, finish; or turn back.

Which step comes next is decided in `etcdmanager.leader.rules.restore`, where the drawing is. Each step here may be cut off
anywhere and repeated.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import assert_never

from agents.errors import AgentError, ConflictError, InvariantError, VerificationError
from etcdmanager.control.commands import Claim, Failure, Receipt, RestoreCommand
from etcdmanager.leader import actions as a
from etcdmanager.leader.group import Surroundings
from etcdmanager.leader.hands import SHORT, Hands, Order, new_token
from etcdmanager.leader.progress import ProgressReport
from etcdmanager.leader.revision import BUMP, bump_above
from etcdmanager.peering import messages as m

log = logging.getLogger(__name__)

#: 8 GiB at 30 MB/s take under five minutes to fetch, and as long again to unpack and restore.
PREPARE = timedelta(minutes=10)
HASH = timedelta(seconds=60)


class RestoreExecutor:
    """Carries restores out, one step at a time."""

    def __init__(self, around: Surroundings, hands: Hands, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._around = around
        self._hands = hands
        self._now = now
        self._report: ProgressReport | None = None

    async def execute(self, order: Order, action: a.RestoreAction) -> None:
        """Do it; any AgentError means that it was not, or not wholly, done."""
        match action:
            case a.ClaimRestore():
                await self._claim(order, action)
            case a.RejectCommand():
                await self._fail(action.command, action.code, action.reason, action.hint)
            case a.ForgetCommand():
                await asyncio.to_thread(self._around.control.delete_command, action.command.name)
            case a.AbortRestore():
                await self._abort(order, action)
            case a.DropPreparation(peer=peer, token=token):
                await self._drop(order, peer, token)
            case a.FinishRestore():
                await self._finish(order, action)
            case a.TakeOverClaim() | a.SkipSave() | a.PassPointOfNoReturn():
                await self._change(order, action.claim, self._moved_on(order, action))
            case _:
                await self._step(order, action)

    async def _step(self, order: Order, action: a.RestoreWork) -> None:
        """Take one step that involves members."""
        match action:
            case a.PrepareRestore():
                await self._prepare(order, action)
            case a.SaveBeforeRestore():
                await self._save(order, action)
            case a.Fence():
                await self._enter("fence", action.claim)
                await self._hands.on_all(action.peers, lambda p: self._hands.set_quarantine(order, p, quarantined=True))
            case a.CommitRestore():
                await self._enter("commit", action.claim)
                await self._hands.on_all(action.peers, lambda p: self._commit(order, p, action.claim))
            case a.VerifyRestored():
                await self._verify(order, action)
            case _:
                assert_never(action)

    def _moved_on(self, order: Order, action: a.RestoreRecord) -> Claim:
        """Return the claim after a step that is nothing but a record."""
        match action:
            case a.TakeOverClaim(claim=claim):
                return replace(claim, epoch=order.view.epoch, holder=self._around.me)
            case a.SkipSave(claim=claim):
                return replace(claim, saved_at=self._now(), pre_restore_backup="")
            case a.PassPointOfNoReturn(claim=claim):
                return replace(claim, committing_at=self._now())
            case _:
                assert_never(action)

    async def _claim(self, order: Order, action: a.ClaimRestore) -> None:
        """Read the command again right before claiming it: what was listed may be gone or be another by now (B-03)."""
        command = await asyncio.to_thread(self._around.control.command, action.command.name)
        if command is None or command != action.command:
            raise ConflictError(f"command {action.command.name} changed since it was seen")
        claim = Claim(
            command=command.name,
            backup=command.backup,
            holder=self._around.me,
            epoch=order.view.epoch,
            token=new_token(),
            members=action.members,
            claimed_at=self._now(),
            bump=bump_above(await asyncio.to_thread(self._highest_revision, order)),
        )
        await asyncio.to_thread(self._around.control.create_claim, claim)
        log.info("restoring %s as cluster %s on %s", claim.backup, claim.token, ", ".join(claim.members))

    def _highest_revision(self, order: Order) -> int:
        """Return the highest revision that clients can have seen: of living members, of earlier restores, of the newest backup."""
        live = [peer.etcd.revision for peer in order.view.peers if peer.etcd is not None]
        restored = [receipt.revision for receipt in self._around.control.receipts()]
        newest = self._around.backups.manifest(order.view.backups[-1].name) if order.view.backups else None
        return max([*live, *restored, newest.revision if newest is not None else 0])

    async def _change(self, order: Order, before: Claim, after: Claim) -> None:
        """Move a claim on if it still is what was decided on."""
        order.authority.require()
        found = await asyncio.to_thread(self._around.control.claim, before.command)
        if found is None or found.document != before:
            raise ConflictError(f"the claim of {before.command} changed since it was seen")
        await asyncio.to_thread(self._around.control.change_claim, after, found.version)

    async def _prepare(self, order: Order, action: a.PrepareRestore) -> None:
        """Have all members prepare at the same time, and the old cluster backed up beside that; tell how far they are meanwhile."""
        claim = action.claim
        command = next((q.command for q in order.view.queue if q.command.name == claim.command), None)
        if command is None or command.spec is None:
            raise InvariantError(f"the claimed command {claim.command} has no spec")
        request = m.PrepareRestoreRequest(
            storage=self._around.backups.url,
            backup_name=claim.backup,
            cluster_token=claim.token,
            nodes=order.nodes(claim.members),
            etcd_version=command.spec.etcd_version,
            bump_revision=claim.bump or BUMP,
            mark_compacted=True,
        )
        await self._enter("prepare", claim)
        writer = asyncio.create_task(self._progress(claim).keep_writing())
        saving = asyncio.create_task(self._save_beside(order, claim, action.save_from))
        try:
            await self._hands.on_all(action.peers, lambda p: self._prepare_on(order, p, request, claim))
            if not saving.done():
                await self._enter("save", claim)
            await saving
        finally:
            writer.cancel()
            saving.cancel()
            await asyncio.gather(writer, saving, return_exceptions=True)

    async def _save_beside(self, order: Order, claim: Claim, peers: tuple[str, ...]) -> None:
        """Back the old cluster up while its members prepare; what goes wrong is left to the rule that saves, which comes next."""
        if not peers:
            return
        try:
            await self._save_from(order, claim, peers)
        except AgentError as error:
            log.warning(
                "no backup of the old cluster while the restore was prepared (%s); next it is all that is done: %s", error.code, error
            )

    async def _prepare_on(self, order: Order, peer: str, request: m.PrepareRestoreRequest, claim: Claim) -> None:
        news, header = self._progress(claim).of(peer), order.authority.header
        prepared = await self._hands.connection(peer).prepare_restore(request, header, deadline=PREPARE, on_progress=news)
        log.info("%s prepared %s: revision %d, %d ms", peer, request.backup_name, prepared.revision, prepared.duration_ms)

    async def _save(self, order: Order, action: a.SaveBeforeRestore) -> None:
        await self._enter("save", action.claim)
        await self._save_from(order, action.claim, action.peers)

    async def _save_from(self, order: Order, claim: Claim, peers: tuple[str, ...]) -> None:
        label = f"before restoring {claim.backup}"
        taken = await self._hands.take_backup(order, peers, reason="pre-restore", label=label, news=self._progress(claim).of)
        await self._change(order, claim, replace(claim, saved_at=self._now(), pre_restore_backup=taken.name))

    async def _commit(self, order: Order, peer: str, claim: Claim) -> None:
        deadline = order.authority.within(SHORT)
        archived = await self._hands.connection(peer).commit_restore(claim.token, order.authority.header, deadline=deadline)
        log.info("%s swaps in cluster %s%s", peer, claim.token, f"; {archived} is in its trash" if archived else "")

    async def _verify(self, order: Order, action: a.VerifyRestored) -> None:
        """Compare the members' hashes at one revision, and what they hold with what the backup's manifest promised."""
        claim = action.claim
        await self._enter("verify", claim)
        clients = {peer: self._hands.etcd(order.peer(peer)) for peer in action.peers}
        statuses = await asyncio.gather(*(client.status(deadline=SHORT) for client in clients.values()))
        # The lowest: a member that is behind could not answer for a later one.
        revision = min(status.revision for status in statuses)
        hashes = await asyncio.gather(*(client.hash_kv(revision=revision, deadline=HASH) for client in clients.values()))
        if len({(h.hash, h.compact_revision) for h in hashes}) != 1:
            found = ", ".join(f"{peer} {h.hash:08x}" for peer, h in zip(clients, hashes, strict=True))
            raise VerificationError(f"the restored members differ at revision {revision}: {found}", code="restored-hash-differs")
        keys = await next(iter(clients.values())).count(deadline=HASH)
        await self._compare_with_manifest(claim, keys=keys, revision=revision)
        await self._change(order, claim, replace(claim, verified_at=self._now(), revision=revision, keys=keys))
        await self._enter("open", claim)

    async def _compare_with_manifest(self, claim: Claim, *, keys: int, revision: int) -> None:
        """Refuse a restore that holds less than the backup; keys with a lease may have expired since, so fewer of those are no proof."""
        manifest = await asyncio.to_thread(self._around.backups.manifest, claim.backup)
        if manifest is None or not manifest.keys:
            return
        lost = keys != manifest.keys and not (manifest.leases and keys < manifest.keys)
        if lost or revision < manifest.revision:
            raise VerificationError(
                f"restored: {keys} keys at revision {revision}; the backup had {manifest.keys} at {manifest.revision}",
                code="restored-differs-from-backup",
            )

    async def _finish(self, order: Order, action: a.FinishRestore) -> None:
        """Write marker, spec (only where there is none: the operator's is newer than the command's, B-08), and the receipt."""
        claim, control = action.claim, self._around.control
        await self._enter("done", claim)
        await asyncio.to_thread(control.write_created, self._now())
        if order.view.spec is None and action.command.spec is not None:
            await asyncio.to_thread(control.write_spec, action.command.spec)
        request = await asyncio.to_thread(control.request, action.command.name)
        receipt = Receipt(
            command=claim.command,
            backup=claim.backup,
            finished_at=self._now(),
            members=claim.members,
            revision=claim.revision,
            keys=claim.keys,
            pre_restore_backup=claim.pre_restore_backup,
            bumped=claim.revision >= (claim.bump or BUMP),
            reason=request.reason if request is not None else "",
            took=self._progress(claim).took,
        )
        await asyncio.to_thread(control.finish, receipt)
        self._report = None
        log.info("restored %s: %d keys; undo: restore-backup %s", claim.backup, claim.keys, claim.pre_restore_backup or "(from the trash)")

    async def _abort(self, order: Order, action: a.AbortRestore) -> None:
        """Let the fenced members out first, which ends the outage; then drop what was prepared, then fail the command."""
        await self._hands.on_all(action.fenced, lambda p: self._hands.set_quarantine(order, p, quarantined=False))
        await self._hands.on_all(action.peers, lambda p: self._drop(order, p, action.claim.token))
        await self._fail(action.command, action.code, action.reason, action.hint)
        self._report = None

    async def _drop(self, order: Order, peer: str, token: str) -> None:
        await self._hands.connection(peer).abort_restore(token, order.authority.header, deadline=order.authority.within(SHORT))

    async def _fail(self, command: RestoreCommand, code: str, reason: str, hint: str) -> None:
        failure = Failure(command=command.name, backup=command.backup, failed_at=self._now(), code=code, reason=reason, hint=hint)
        await asyncio.to_thread(self._around.control.fail, failure)
        log.error("restore of %s given up (%s): %s", command.backup, code, reason)

    async def _enter(self, phase: str, claim: Claim) -> None:
        await self._progress(claim).enter(phase, self._now())

    def _progress(self, claim: Claim) -> ProgressReport:
        if self._report is None or self._report.command != claim.command:
            self._report = ProgressReport(self._around.control, claim)
        return self._report
