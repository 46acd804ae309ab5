"""While the store is away: what promises allow, and that two leaders never change membership at the same time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from etcdmanager.etcd.answers import Member
from etcdmanager.leadership.promise import PROMISE, Promises, forgotten, have_majority
from etcdmanager.member.layout import Layout
from etcdmanager.member.leadership import Leadership
from etcdmanager.peering.messages import CAPABILITY, PROMISES, PeerInfo, View
from tests.fakes.host import FakeHost

OLD, NEW = 1, 2
ZERO = timedelta()


def members(count: int) -> tuple[Member, ...]:
    return tuple(Member(id=i, name=f"m{i}", peer_urls=(), client_urls=(), is_learner=False) for i in range(count))


def test_a_promise_is_told_to_others_until_it_is_over_and_not_to_whom_it_was_made() -> None:
    promises = Promises().with_one(OLD, PROMISE, now=100.0)
    assert promises.left(NEW, now=104.0) == timedelta(seconds=6)
    assert promises.left(OLD, now=104.0) == ZERO
    assert promises.left(NEW, now=110.0) == ZERO


def test_no_promise_lasts_longer_than_the_longest() -> None:
    assert Promises().with_one(OLD, timedelta(days=1), now=0.0).left(NEW, now=0.0) == PROMISE


def test_a_manager_that_started_anew_assumes_that_it_had_promised() -> None:
    assert forgotten(now=5.0).left(NEW, now=6.0) == PROMISE - timedelta(seconds=1)


def test_a_voter_that_never_started_counts_and_nobody_answers_for_it() -> None:
    unnamed = Member(id=9, name="", peer_urls=("https://x:2380",), client_urls=(), is_learner=False)
    learner = Member(id=8, name="m8", peer_urls=(), client_urls=(), is_learner=True)
    assert have_majority((*members(2), learner), {"m0", "m1"})
    assert not have_majority((*members(2), unnamed, learner), {"m0", "m8"})
    assert not have_majority((), set())


@dataclass
class Manager:
    """One manager: what it keeps on disk survives `restart`, its promises do not."""

    host: FakeHost = field(default_factory=FakeHost)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.leadership = Leadership(self.host, Layout("/data"), cluster_name="etcd", elapsed=lambda: self.now)


@dataclass(frozen=True)
class Message:
    """A leader's claim to one manager: sent, arrived; or a restart of the manager (epoch 0)."""

    sent: float
    arrives: float
    manager: int
    epoch: int


def claim(epoch: int, promise: timedelta) -> View:
    leader = PeerInfo(id=f"leader-{epoch}", capabilities=(CAPABILITY, PROMISES))
    return View(leader=leader, leadership_token=f"t{epoch}", healthy=(leader,), epoch=epoch, promise=promise)


messages = st.builds(
    lambda sent, delay, manager, epoch: Message(sent, sent + delay, manager, epoch),
    st.integers(0, 40).map(float),
    st.integers(0, 8).map(float),
    st.integers(0, 4),
    st.sampled_from((OLD, OLD, OLD, NEW, NEW, 0)),
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from((1, 3, 4, 5)), st.lists(messages, max_size=40))
def test_the_former_leader_s_time_is_over_before_the_new_one_has_a_majority_to_itself(count: int, sent: list[Message]) -> None:
    """Whatever is delayed, lost or restarted; clocks run alike, nothing else is assumed."""
    voters = members(count)
    promised, alone_since = outcome(count, sent)
    for began, who in promised.items():
        if have_majority(voters, who) and alone_since is not None:
            assert began + PROMISE.total_seconds() <= alone_since


def outcome(count: int, sent: list[Message]) -> tuple[dict[float, set[str]], float | None]:
    """Deliver all messages; return who promised what was asked when, and since when the new leader has a majority to itself."""
    managers = [Manager() for _ in range(count)]
    promised: dict[float, set[str]] = {}
    alone: dict[str, float] = {}
    for message in sorted((m for m in sent if m.manager < count), key=lambda m: m.arrives):
        manager, name = managers[message.manager], f"m{message.manager}"
        manager.now = message.arrives
        if not message.epoch:
            manager.restart()
            continue
        view = claim(message.epoch, PROMISE if message.epoch == OLD else ZERO)
        answer = manager.leadership.notify(view, caller=view.leader.id, healthy=())
        if answer.accepted and message.epoch == OLD:
            promised.setdefault(message.sent, set()).add(name)
        elif answer.accepted and not answer.promised:
            alone.setdefault(name, message.arrives)
    times = sorted(alone.values())
    needed = next((i for i in range(1, count + 1) if have_majority(members(count), {f"m{j}" for j in range(i)})), count)
    return promised, times[needed - 1] if len(times) >= needed else None


def test_a_promise_made_before_a_restart_is_told_after_it() -> None:
    manager = Manager()
    assert manager.leadership.notify(claim(OLD, PROMISE), caller="leader-1", healthy=()).accepted
    manager.now = 3.0
    manager.restart()
    answer = manager.leadership.notify(claim(NEW, ZERO), caller="leader-2", healthy=())
    assert answer.accepted
    assert answer.promised >= PROMISE - timedelta(seconds=3)
    manager.now = 13.0
    assert not manager.leadership.notify(claim(NEW, ZERO), caller="leader-2", healthy=()).promised
