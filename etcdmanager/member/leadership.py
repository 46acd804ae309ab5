"""Whom this member obeys: the last leadership that it accepted, and the check of every request against it.

Leaders of ours prove themselves by the epoch of their lock, which only grows: an older epoch is refused for ever, also after
a restart, because the highest is kept on disk (laws R4). Leaders without an epoch are Go managers, and get the Go program's
rule: refused if they leave out a peer that we consider healthy (reference, section 4.4), and one more: if a lower id is healthy (B-03).
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass

from agents.documents import as_int, as_mapping, as_str, dump_json, load_json
from agents.errors import AccessError, NotFoundError, SpecError
from agents.host.protocol import Host
from etcdmanager.leadership.lock import boot_clock
from etcdmanager.leadership.promise import Promises, forgotten
from etcdmanager.member.layout import Layout
from etcdmanager.peering.messages import Header, LeadershipAnswer, PeerInfo, View

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """An accepted leadership. `token` "" is none: after a restart, of which only leader and epoch are remembered."""

    leader_id: str = ""
    token: str = ""
    epoch: int = 0


def judge(view: View, *, caller: str | None, accepted: Accepted, healthy: Collection[PeerInfo]) -> str:
    """Return why a claim to leadership is refused, "" if it is accepted. Pure.

    `caller` is the peer id that the caller's certificate proves, None without TLS; `healthy` is whom we see.
    """
    leader = view.leader
    if caller is not None and caller != leader.id:
        return f"the caller is {caller}, but claims leadership for {leader.id}"
    if not view.leadership_token:
        return "a leadership needs a token"
    if view.epoch:
        return _judge_epoch(view, accepted)
    if leader.is_ours:
        return "a manager of this project leads only with a lock, but it named no epoch"
    lower = sorted(peer.id for peer in healthy if peer.id.encode() < leader.id.encode())
    if lower:
        return f"{lower[0]} has a lower id, and answers"
    seen = {peer.id for peer in view.healthy}
    missing = sorted(peer.id for peer in healthy if peer.id not in seen)
    return f"your view lacks {', '.join(missing)}" if missing else ""


def _judge_epoch(view: View, accepted: Accepted) -> str:
    if view.epoch < accepted.epoch:
        return f"epoch {view.epoch} is over: {accepted.leader_id} leads with epoch {accepted.epoch}"
    if view.epoch == accepted.epoch and view.leader.id != accepted.leader_id:
        return f"epoch {view.epoch} is {accepted.leader_id}'s"
    return ""


class Leadership:
    """The accepted leadership of this process, and the highest epoch on disk."""

    def __init__(self, host: Host, layout: Layout, *, cluster_name: str, elapsed: Callable[[], float] = boot_clock) -> None:
        self._host = host
        self._path = layout.leadership
        self._cluster_name = cluster_name
        self._elapsed = elapsed
        self.accepted = self._kept = self._load()
        self._promises = forgotten(now=elapsed()) if self.accepted.epoch else Promises()

    def notify(self, view: View, *, caller: str | None, healthy: Collection[PeerInfo]) -> LeadershipAnswer:
        """Accept or refuse a claim; SpecError for one that is no claim. The answer tells whom we see and what we accepted before."""
        if not view.leader.id or not view.healthy:
            raise SpecError("a leader notification needs a leader and a list of healthy peers")
        refusal = judge(view, caller=caller, accepted=self.accepted, healthy=healthy)
        if not refusal:
            self._accept(Accepted(leader_id=view.leader.id, token=view.leadership_token, epoch=max(view.epoch, self.accepted.epoch)))
            self._promises = self._promises.with_one(view.epoch, view.promise, now=self._elapsed())
        else:
            log.warning("refused the leadership of %s: %s", view.leader.id, refusal)
        return LeadershipAnswer(
            accepted=not refusal,
            healthy=tuple(healthy),
            highest_epoch=self.accepted.epoch,
            refusal=refusal,
            promised=self._promises.left(view.epoch, now=self._elapsed()),
        )

    def authorise(self, header: Header, *, caller: str | None) -> None:
        """Return if the request comes from the leader that we accepted; AccessError says why not."""
        accepted = self.accepted
        if header.cluster_name != self._cluster_name:
            raise AccessError(
                f"ClusterName mismatch: this is {self._cluster_name!r}, the request is for {header.cluster_name!r}",
                code="cluster-mismatch",
            )
        if not accepted.token or not hmac.compare_digest(header.leadership_token.encode(), accepted.token.encode()):
            raise AccessError("LeadershipToken in request is not current leader", code="not-the-leader")
        if caller is not None and caller != accepted.leader_id:
            raise AccessError(f"the request is by {caller}, but {accepted.leader_id} leads", code="not-the-leader")
        if header.epoch and header.epoch < accepted.epoch:
            raise AccessError(f"epoch {header.epoch} is over: the epoch is {accepted.epoch}", code="stale-epoch")

    def _accept(self, accepted: Accepted) -> None:
        before, self.accepted = self.accepted, accepted
        if _same_claim(before, accepted):
            # Unless the disk was full the last time.
            if _same_claim(self._kept, accepted):
                return
        else:
            log.info("%s leads%s", accepted.leader_id, f" with epoch {accepted.epoch}" if accepted.epoch else "")
        document = {"leaderId": accepted.leader_id, "epoch": accepted.epoch}
        self._host.write(self._path, (dump_json(document) + "\n").encode(), mode=0o600)
        self._kept = accepted

    def _load(self) -> Accepted:
        try:
            document = as_mapping(load_json(self._host.read(self._path), where=self._path), where=self._path)
            return Accepted(
                leader_id=as_str(document.get("leaderId"), where=f"{self._path}: leaderId"),
                epoch=as_int(document.get("epoch"), where=f"{self._path}: epoch"),
            )
        except NotFoundError:
            return Accepted()
        except SpecError as error:
            log.warning("%s; the highest epoch accepted before is not known", error)
            return Accepted()


def _same_claim(one: Accepted, other: Accepted) -> bool:
    return (one.leader_id, one.epoch) == (other.leader_id, other.epoch)
