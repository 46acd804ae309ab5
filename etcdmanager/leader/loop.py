"""The leader's loop: while the lock is held, notify, observe, decide, execute, and look again.

It owns the rhythm, the retries and the news for status; rules, looking and doing are elsewhere. While another manager
leads, it only waits. Errors of a round are remembered as troubles of the rule (which then pauses) or, where there was no
decision, of the looking itself; nothing but a bug ends the loop.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from agents.errors import AgentError, TransientError
from etcdmanager.leader import actions as a
from etcdmanager.leader.actions import describe
from etcdmanager.leader.decide import Decision, decide
from etcdmanager.leader.execute import Executor
from etcdmanager.leader.group import Surroundings
from etcdmanager.leader.hands import Order
from etcdmanager.leader.memory import Memory
from etcdmanager.leader.observe import Observer
from etcdmanager.leader.view import ClusterView
from etcdmanager.leader.witness import Witness
from etcdmanager.leadership.claim import RELUCTANCE, SAFETY_MARGIN
from etcdmanager.leadership.lock import LeaderLock, Lease, boot_clock
from etcdmanager.leadership.promise import PROMISE, have_majority
from etcdmanager.peering import messages as m
from etcdmanager.spec import host_name

log = logging.getLogger(__name__)

#: Between two looks when all is well. Each costs a listing of the control store.
AT_REST = timedelta(seconds=3)
#: While something is awaited that takes a second or two: an etcd that starts, a peer that joins.
WAITING = timedelta(milliseconds=500)
#: After an action, so that what it changed can show.
AFTER_ACTION = timedelta(milliseconds=100)
#: How often a manager that does not lead looks whether it does now.
FOLLOWING = timedelta(milliseconds=500)

NOTIFY_WITHIN = timedelta(seconds=3)
#: A leader that sees no quorum and no more than half of the managers gives others the chance to do better: after so long at first, then
#: after twice as long each time, because nobody may be there who can.
ABSTAIN_AFTER = timedelta(seconds=20)
ABSTAIN_AT_MOST_EVERY = timedelta(minutes=10)
#: For so long: whoever reaches most takes the lock at once, others after RELUCTANCE, looking every three seconds.
ABSTAIN_FOR = RELUCTANCE + timedelta(seconds=5)
#: What may be done by two leaders at once least of all: the list of members.
_CHANGES_THE_LIST = (a.AddLearner, a.JoinLearner, a.PromoteLearner, a.RemoveMember)
#: What a helpless leader waits for.
_HELPLESS = frozenset({"no-quorum", "managers-cut-off"})

#: How often leadership is asserted while nothing is done; before anything is done it always is.
ASSERT_EVERY = timedelta(seconds=10)
#: How often the members' addresses are told again although nothing changed: a peer's hosts file may have been replaced.
ENDPOINTS_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderNews:
    """What the loop has to tell, swapped whole after each round; status and metrics read it."""

    leading: bool
    epoch: int = 0
    view: ClusterView | None = None
    decision: Decision | None = None
    #: Since when this decision (rule and code) stands.
    since: datetime | None = None
    #: Why the last round came to no decision, "" if it did.
    error: str = ""
    error_code: str = ""
    rounds: int = 0


class LeaderAuthority:
    """The authority of one epoch: its token for requests, and how long it lasts by the lock."""

    def __init__(self, lock: LeaderLock, lease: Lease, *, cluster_name: str, token: str) -> None:
        self._lock = lock
        self._epoch = lease.epoch
        self._header = m.Header(leadership_token=token, cluster_name=cluster_name, epoch=lease.epoch)

    @property
    def header(self) -> m.Header:
        """Return what a mutating request carries."""
        return self._header

    def require(self) -> None:
        """Raise TransientError unless enough of the leadership is left to begin something."""
        self._lock.require(self._epoch)

    def within(self, wanted: timedelta) -> timedelta:
        """Return `wanted`, cut to what is left of the leadership without its safety margin's last second."""
        left = self._lock.require(self._epoch)
        return min(wanted, left - SAFETY_MARGIN / 3)


class AcknowledgedAuthority:
    """The authority of an epoch whose store is away: a majority's promises, for as long as they last."""

    def __init__(self, header: m.Header, *, until: float, elapsed: Callable[[], float]) -> None:
        self._header = header
        self._until = until
        self._elapsed = elapsed

    @property
    def header(self) -> m.Header:
        """Return what a mutating request carries."""
        return self._header

    def require(self) -> None:
        """Raise TransientError unless enough time is left to begin something."""
        self._left()

    def within(self, wanted: timedelta) -> timedelta:
        """Return `wanted`, cut to what is left of the promises without the safety margin's last second."""
        return min(wanted, self._left() - SAFETY_MARGIN / 3)

    def _left(self) -> timedelta:
        left = timedelta(seconds=self._until - self._elapsed())
        if left < SAFETY_MARGIN:
            raise TransientError("the managers' promises are about to end; nothing was begun", code="promises-ending")
        return left


@dataclass(slots=True, kw_only=True)
class _Term:
    """One leadership: its epoch's token, authority and memory."""

    lease: Lease
    token: str
    authority: LeaderAuthority
    memory: Memory = field(default_factory=Memory)
    #: When all peers that answered last accepted this leadership.
    asserted_at: datetime | None = None
    #: Who accepted this leadership and is promised to no former one: these never promise anything to it again.
    ours_alone: set[str] = field(default_factory=set)
    told_endpoints: tuple[m.MemberMapEntry, ...] = ()
    told_at: datetime | None = None


class LeaderLoop:
    """Runs until cancelled. `news` may be read at any time."""

    def __init__(
        self,
        around: Surroundings,
        lock: LeaderLock,
        observer: Observer,
        executor: Executor,
        *,
        dns_suffix: str = "",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._elapsed = boot_clock
        self._around = around
        self._lock = lock
        self._observer = observer
        self._executor = executor
        self._dns_suffix = dns_suffix
        self._now = now
        self._term: _Term | None = None
        self.news = LeaderNews(leading=False)
        self._decided = ""
        self._helpless_since: datetime | None = None
        self._abstained = 0
        self._witnesses: list[Witness] = []

    def add_witness(self, witness: Witness) -> None:
        """Have a witness told of everything from now on."""
        self._witnesses.append(witness)

    async def run(self) -> None:
        """Lead whenever the lock says so."""
        while True:  # noqa: ASYNC110  the loop's own rhythm; what it watches gives no events
            await asyncio.sleep((await self.round()).total_seconds())

    async def round(self) -> timedelta:
        """Do one round and return how long to wait before the next."""
        lease = self._lock.lease
        if lease is None and self._term is not None and self._lock.orphaned == self._term.lease.epoch:
            return await self._round_without_store(self._term)
        if lease is None:
            self._term = None
            if self.news.leading:
                log.warning("leading no longer")
                for witness in self._witnesses:
                    witness.leads_no_longer(self.news.epoch)
                self.news = LeaderNews(leading=False)
            return FOLLOWING
        if self._term is None or self._term.lease.epoch != lease.epoch:
            self._term = self._new_term(lease)
        try:
            asserted = self._term.asserted_at
            if asserted is None or self._now() - asserted >= ASSERT_EVERY:
                await self._assert_leadership(self._term)
            alone = frozenset(self._term.ours_alone)
            view = await self._observer.observe(self._term.memory, epoch=lease.epoch, now=self._now())
        except AgentError as error:
            self._tell_error(lease, error)
            return WAITING
        await self._tell_endpoints(self._term, view)
        return await self._act(self._term, view, alone)

    async def _round_without_store(self, term: _Term) -> timedelta:
        """Repair membership under the epoch that was ours when the store went away, as long as a majority of managers promises it."""
        began = self._elapsed()
        try:
            promised = await self._ask_for_promises(term)
            view = await self._observer.observe(term.memory, epoch=term.lease.epoch, now=self._now(), store_away=True)
        except AgentError as error:
            self._tell_error(term.lease, error)
            return AT_REST
        decision = decide(view)
        self._tell(term, view, decision)
        if isinstance(decision.action, a.Rest | a.Wait) or not have_majority(view.members or (), promised):
            return AT_REST
        authority = AcknowledgedAuthority(term.authority.header, until=began + PROMISE.total_seconds(), elapsed=self._elapsed)
        return await self._execute(term, decision, Order(action=decision.action, view=view, authority=authority, memory=term.memory))

    async def _ask_for_promises(self, term: _Term) -> frozenset[str]:
        """Return who promises to have any later leader wait. Somebody who heard of a later one ends this leadership."""
        view = self._claim(term, promise=PROMISE)
        answers = await asyncio.gather(*(self._notify(info.id, view) for info in view.healthy))
        for answer in answers:
            if answer is not None and answer.highest_epoch > term.lease.epoch:
                self._lock.outgrow(answer.highest_epoch)
                raise TransientError(f"another manager leads with epoch {answer.highest_epoch}", code="leadership-over")
        asked = zip(view.healthy, answers, strict=True)
        return frozenset(info.id for info, answer in asked if info.keeps_promises and answer is not None and answer.accepted)

    def _new_term(self, lease: Lease) -> _Term:
        token = secrets.token_urlsafe(16)
        authority = LeaderAuthority(self._lock, lease, cluster_name=self._around.cluster_name, token=token)
        self._decided = ""
        for witness in self._witnesses:
            witness.leads(lease.epoch)
        return _Term(lease=lease, token=token, authority=authority)

    async def _act(self, term: _Term, view: ClusterView, alone: frozenset[str]) -> timedelta:
        """Decide, tell, execute; return the pause that fits."""
        decision = decide(view)
        self._tell(term, view, decision)
        term.memory.forget_moot(decision.rule, view.now)
        if self._could_others_do_better(view, decision):
            log.warning("giving the leadership up for a while: %s", describe(decision.action))
            self._abstained = min(self._abstained + 1, 10)
            self._helpless_since = None
            self._lock.abstain(ABSTAIN_FOR)
            return FOLLOWING
        if isinstance(decision.action, a.Rest):
            return AT_REST
        if isinstance(decision.action, a.Wait):
            return WAITING if decision.phase != "running" else AT_REST / 3
        try:
            await self._assert_leadership(term)
        except AgentError as error:
            self._tell_error(term.lease, error)
            return WAITING
        if isinstance(decision.action, _CHANGES_THE_LIST) and not have_majority(view.members or (), alone):
            log.info("membership waits until a majority of managers is promised to no former leader")
            return WAITING
        return await self._execute(term, decision, Order(action=decision.action, view=view, authority=term.authority, memory=term.memory))

    async def _execute(self, term: _Term, decision: Decision, order: Order) -> timedelta:
        began = self._elapsed()
        try:
            await self._executor.execute(order)
        except AgentError as error:
            for witness in self._witnesses:
                witness.failed(decision.rule, error)
            trouble = term.memory.failed(decision.rule, error, self._now())
            log.warning("%s failed (%s, %d times): %s", decision.rule, trouble.code, trouble.count, error)
            return WAITING
        for witness in self._witnesses:
            witness.done(decision.rule, decision.action, order.view, timedelta(seconds=self._elapsed() - began))
        term.memory.succeeded(decision.rule, decision.action)
        return AFTER_ACTION

    def _could_others_do_better(self, view: ClusterView, decision: Decision) -> bool:
        """Return whether we have been helpless, and cut off from half of the managers, for long enough to let others try."""
        action = decision.action
        alone = 2 * len(view.peers) <= len(view.peers) + len(view.absent)
        if not (alone and isinstance(action, a.Wait) and action.code in _HELPLESS):
            if not alone:
                self._abstained = 0
            self._helpless_since = None
            return False
        self._helpless_since = self._helpless_since or view.now
        return view.now - self._helpless_since >= min(ABSTAIN_AFTER * (1 << self._abstained), ABSTAIN_AT_MOST_EVERY)

    async def _assert_leadership(self, term: _Term) -> None:
        """Have every peer that answers accept this leadership; one that started anew, or never heard, is told again.

        A peer that has accepted a higher epoch makes us give ours up and take one above it.
        """
        view = self._claim(term)
        peers = [info.id for info in view.healthy]
        answers = await asyncio.gather(*(self._notify(peer, view) for peer in peers))
        for peer, answer in zip(peers, answers, strict=True):
            if answer is None:
                continue
            if answer.accepted:
                if not answer.promised:
                    term.ours_alone.add(peer)
                continue
            if answer.highest_epoch >= term.lease.epoch:
                # The lock was lost together with the control store, and began again at one.
                self._lock.outgrow(answer.highest_epoch)
            raise TransientError(
                f"our leadership bid was not accepted by peer {peer}: {answer.refusal or 'it gave no reason'}", code="leadership-refused"
            )
        term.asserted_at = self._now()

    def _claim(self, term: _Term, *, promise: timedelta = timedelta()) -> m.View:
        """Return the claim to this leadership, seeing whom we see."""
        infos = {peer: info for peer in self._around.group.known() if (info := self._around.group.info(peer)) is not None}
        mine = infos.get(self._around.me)
        if mine is None:
            raise TransientError("our own server does not answer us yet", code="self-unheard")
        healthy = tuple(infos[p] for p in sorted(infos))
        return m.View(leader=mine, leadership_token=term.token, healthy=healthy, epoch=term.lease.epoch, promise=promise)

    async def _notify(self, peer: str, view: m.View) -> m.LeadershipAnswer | None:
        """Return a peer's answer; None where it does not answer: then it is absent, and its etcd is not ours to change."""
        connection = self._around.group.connection(peer)
        if connection is None:
            return None
        try:
            return await connection.notify_leadership(view, deadline=NOTIFY_WITHIN)
        except AgentError as error:
            log.debug("%s does not hear that we lead: %s", peer, error)
            return None

    async def _tell_endpoints(self, term: _Term, view: ClusterView) -> None:
        """Tell every peer the names and addresses of all, for their hosts files; only where members have DNS names."""
        if not self._dns_suffix:
            return
        entries = tuple(self._entry(peer.id) for peer in view.peers)
        fresh = term.told_at is not None and view.now - term.told_at < ENDPOINTS_EVERY
        if entries == term.told_endpoints and fresh:
            return
        results = await asyncio.gather(*(self._tell_one(peer.id, entries) for peer in view.peers))
        if all(results):
            term.told_endpoints, term.told_at = entries, view.now

    def _entry(self, peer: str) -> m.MemberMapEntry:
        info = self._around.group.info(peer)
        return m.MemberMapEntry(name=peer, dns=host_name(peer, self._dns_suffix), addresses=info.endpoints if info else ())

    async def _tell_one(self, peer: str, entries: tuple[m.MemberMapEntry, ...]) -> bool:
        connection = self._around.group.connection(peer)
        if connection is None:
            return False
        try:
            await connection.update_endpoints(entries, deadline=NOTIFY_WITHIN)
        except AgentError as error:
            log.debug("%s does not take the members' addresses: %s", peer, error)
            return False
        return True

    def _tell(self, term: _Term, view: ClusterView, decision: Decision) -> None:
        """Log a decision when it changes, and swap the news."""
        words = describe(decision.action)
        changed = f"{decision.rule} {words}" != self._decided
        if changed:
            self._decided = f"{decision.rule} {words}"
            log.info("decided to %s%s", words, f" by rule {decision.rule}" if decision.rule else "")
        since = view.now if changed or self.news.since is None else self.news.since
        self.news = LeaderNews(leading=True, epoch=term.lease.epoch, view=view, decision=decision, since=since, rounds=self.news.rounds + 1)

    def _tell_error(self, lease: Lease, error: AgentError) -> None:
        """Log an error of looking when it changes, and swap the news; the last view stays for reference."""
        for witness in self._witnesses:
            witness.failed("", error)
        if str(error) != self.news.error:
            log.warning("no decision (%s): %s", error.code, error)
        self._decided = ""
        self.news = LeaderNews(
            leading=True,
            epoch=lease.epoch,
            view=self.news.view,
            since=self.news.since,
            error=str(error),
            error_code=error.code,
            rounds=self.news.rounds + 1,
        )
