"""A world of managers, disks, etcds and a store in memory, for the leader's rules: deterministic, and it can be cut at any step.

An action is a list of small effects, as in the real executor; `cut_after` ends the leader between two of them, and the
next round is another leader's, with a higher epoch and without memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import assert_never

from agents.errors import TransientError
from agents.versions import Version
from etcdmanager.control.commands import BackupRequest, Claim, Formation, RestoreCommand
from etcdmanager.control.member_requests import MemberRequest
from etcdmanager.control.pause import Pause
from etcdmanager.etcd.answers import Member
from etcdmanager.etcd.features import line
from etcdmanager.leader import actions as a
from etcdmanager.leader.decide import Decision, decide
from etcdmanager.leader.memory import troubles_after
from etcdmanager.leader.rules.versions import cluster_version_matters
from etcdmanager.leader.upkeep import HashComparison, MemberHash, Upkeep
from etcdmanager.leader.view import Absent, Backup, BackupPolicy, ClusterView, Holding, Peer, Probe, Queued, Trouble
from etcdmanager.peering.messages import LiveStatus
from etcdmanager.quorum import quorum
from etcdmanager.spec import ClusterSpec, EtcdNode

START = datetime(2026, 1, 1, tzinfo=UTC)
Effect = Callable[[], None]


class LeaderDiedError(Exception):
    """The leader was cut off between two effects."""


@dataclass(slots=True, kw_only=True)
class Disk:
    """One peer: its disk, and whether its manager answers and its etcd can run."""

    id: str
    up: bool = True
    damaged: str = ""
    token: str = ""
    quarantined: bool = False
    member_id: int = 0
    trash: list[str] = field(default_factory=list)
    prepared: str = ""
    #: Rounds until its etcd serves again after a start.
    starting: int = 0
    #: The etcd that it is told to run, which is also what runs; "" before the first.
    version: str = ""
    binaries: set[str] = field(default_factory=lambda: {"3.5.16"})
    #: Whether its etcd ends right after each start.
    crashes: bool = False
    free_bytes: int = 10 << 30
    #: The size of its database file, and how much of that is in use.
    db_bytes: int = 1 << 20
    used_bytes: int = 1 << 20
    #: Where other members reach it: as configured, as etcd lists it, and where it listens.
    configured_port: int = 2380
    listed_port: int = 2380
    listening_port: int = 2380
    #: The leader does not reach its manager; its etcd goes on.
    cut_off: bool = False
    #: A manager of the same name with a blank disk answers in its manager's place.
    shadowed: bool = False

    @property
    def is_reachable(self) -> bool:
        return not self.crashes and self.listed_port == self.listening_port

    def holds(self) -> Holding:
        if self.damaged:
            return Holding.DAMAGED
        if self.token:
            return Holding.CLUSTER
        return Holding.REMAINS if self.trash else Holding.EMPTY


@dataclass(slots=True, kw_only=True)
class World:
    """Everything there is."""

    disks: dict[str, Disk]
    spec: ClusterSpec | None = None
    marker: bool = False
    formation: Formation | None = None
    queue: list[Queued] = field(default_factory=list)
    requests: list[BackupRequest] = field(default_factory=list)
    member_requests: list[MemberRequest] = field(default_factory=list)
    #: id of a request about a member -> the code of its answer, "" for done.
    member_answers: dict[str, str] = field(default_factory=dict)
    #: Who leads raft, "" for the first that serves.
    raft_leader: str = ""
    backups: list[Backup] = field(default_factory=list)
    #: token -> etcd's member list: name -> (id, learner)
    clusters: dict[str, dict[str, tuple[int, bool]]] = field(default_factory=dict)
    #: token -> what the cluster holds
    contents: dict[str, str] = field(default_factory=dict)
    backup_contents: dict[str, str] = field(default_factory=dict)
    now: datetime = START
    epoch: int = 1
    troubles: dict[str, Trouble] = field(default_factory=dict)
    unhealthy: dict[int, datetime] = field(default_factory=dict)
    absent_since: dict[str, datetime] = field(default_factory=dict)
    formed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    receipts: dict[str, Claim] = field(default_factory=dict)
    history: list[str] = field(default_factory=list)
    #: Rounds that an etcd needs to start.
    start_rounds: int = 1
    last_backup: datetime | None = None
    last_cleanup: datetime | None = None
    #: token -> etcd's cluster version, as (major, minor); it only rises, but for etcd's own downgrade
    cluster_versions: dict[str, tuple[int, int]] = field(default_factory=dict)
    #: token -> the minor line to which etcd's own downgrade is enabled
    downgrades: dict[str, tuple[int, int]] = field(default_factory=dict)
    upkeep: Upkeep = field(default_factory=lambda: Upkeep(since=START))
    revision: int = 1
    quota_bytes: int = 8 << 30
    #: What is left in use after a compaction; None where nothing is to be gained.
    used_after_compaction: int | None = None
    defragmented: list[str] = field(default_factory=list)
    #: What a member's keys hash to where it is not what all others have.
    odd_hashes: dict[str, int] = field(default_factory=dict)
    #: etcd's complaints, as each member's status has them.
    alarms: list[str] = field(default_factory=list)
    #: Versions whose etcd ends right after each start.
    broken_versions: set[str] = field(default_factory=set)
    #: Each restart by a change of version, in order.
    restarts: list[tuple[str, str]] = field(default_factory=list)
    #: How wrong the clock is by which members name backups.
    skew: timedelta = timedelta()
    #: What an operator wants: nothing begun for a while.
    pause: Pause | None = None
    #: Raises to make an effect on a peer fail.
    refuse: Callable[[str, a.Action], Exception | None] = lambda _peer, _action: None
    _tokens: int = 0
    _members: int = 0

    # --- what can be seen

    def serving(self, token: str) -> list[Disk]:
        """Return the disks whose etcd of that incarnation follows a raft leader."""
        listed = self.clusters.get(token, {})
        running = [d for d in self.disks.values() if d.up and d.token == token and d.id in listed and not d.starting and d.is_reachable]
        voting = [d for d in running if not listed[d.id][1]]
        voters = sum(1 for _, learner in listed.values() if not learner)
        return running if voters and len(voting) >= quorum(voters) else []

    def open_to_clients(self) -> list[str]:
        """Return the tokens that clients can write to."""
        return sorted({d.token for d in self.disks.values() if not d.quarantined and d in self.serving(d.token)})

    def view(self) -> ClusterView:
        """Return what the leader sees."""
        serving = {d.id for token in self.clusters for d in self.serving(token)}
        tokens = sorted({d.token for d in self.disks.values() if d.up and d.token}, key=lambda t: (-len(self.serving(t)), t))
        members = None
        if tokens and self.serving(tokens[0]):
            members = tuple(
                Member(id=i, name=n, peer_urls=(f"https://{n}:{self._listed_port(n)}",), client_urls=(), is_learner=learner)
                for n, (i, learner) in sorted(self.clusters[tokens[0]].items())
            )
        view = ClusterView(
            cluster_name="etcd",
            now=self.now,
            epoch=self.epoch,
            peers=tuple(self._peer(d, serves=d.id in serving) for _, d in sorted(self.disks.items()) if d.up and not d.cut_off),
            absent=tuple(
                Absent(id=d.id, since=self.absent_since.get(d.id, self.now), reason="refused")
                for _, d in sorted(self.disks.items())
                if not d.up or d.cut_off
            ),
            members=members,
            spec=self.spec,
            marker=self.marker,
            formation=self.formation,
            queue=tuple(self.queue),
            requests=tuple(self.requests),
            backups=tuple(self.backups),
            expired_backups=tuple(b.name for b in self.backups[:-3] if self.now - b.taken_at > timedelta(hours=1)),
            policy=BackupPolicy(interval=timedelta(minutes=15)),
            troubles=tuple(self.troubles[r] for r in sorted(self.troubles)),
            last_backup=self.last_backup,
            last_cleanup=self.last_cleanup,
            unhealthy_since=tuple(sorted(self.unhealthy.items())),
            probes=self._probes(),
            member_requests=tuple(self.member_requests),
            pause=self.pause,
        )
        self.upkeep = self.upkeep.with_revision(self.now, self.revision)
        asked = cluster_version_matters(view)
        found = self.cluster_versions.get(tokens[0]) if tokens and asked is not None else None
        cluster = Version(major=found[0], minor=found[1]) if found is not None else None
        return replace(view, upkeep=replace(self.upkeep, cluster_version=cluster))

    def _probes(self) -> tuple[Probe, ...]:
        """Return what the members themselves answer that were not seen serving for a while."""
        silent = {i for i, since in self.unhealthy.items() if self.now - since >= timedelta(seconds=20)}
        alive = {d.member_id: f"https://{d.id}:4001" for d in self.disks.values() if d.up and d.token and not d.starting}
        return tuple(Probe(member_id=i, answers_at=alive.get(i, "")) for i in sorted(silent))

    def _peer(self, disk: Disk, *, serves: bool) -> Peer:
        if disk.shadowed:
            return self._peer(Disk(id=disk.id), serves=False)
        status = None
        if disk.token and not disk.starting and not disk.crashes:
            leader = self._raft_leader(disk.token).member_id if serves else 0
            learner = self.clusters[disk.token].get(disk.id, (0, False))[1]
            status = LiveStatus(
                member_id=disk.member_id,
                cluster_id=hash(disk.token) & 0xFFFF,
                leader_id=leader,
                raft_index=1,
                raft_applied_index=1,
                raft_term=1,
                revision=self.revision,
                db_size_bytes=disk.db_bytes,
                db_in_use_bytes=disk.used_bytes,
                quota_bytes=self.quota_bytes,
                version=disk.version,
                is_learner=learner,
                errors=tuple(self.alarms),
                storage_version=self._storage_version(disk),
                downgrade_target=self._downgrade_target(disk),
            )
        return Peer(
            id=disk.id,
            node=EtcdNode(name=disk.id, peer_urls=(f"https://{disk.id}:{disk.configured_port}",)),
            state_peer_urls=(f"https://{disk.id}:{disk.listening_port}",) if disk.token else (),
            holds=disk.holds(),
            cluster_token=disk.token,
            quarantined=disk.quarantined,
            exposed=bool(disk.token) and not disk.quarantined,
            etcd_version=disk.version if disk.token else "",
            versions=tuple(sorted(Version.parse(text) for text in disk.binaries)),
            etcd=status,
            prepared_token=disk.prepared,
            problem=disk.damaged or ("etcd ended 3 times" if disk.crashes else ""),
            disk_free_bytes=disk.free_bytes,
        )

    def _listed_port(self, name: str) -> int:
        return self.disks[name].listed_port if name in self.disks else 2380

    def _downgrade_target(self, disk: Disk) -> str:
        """Return what etcd says of itself from 3.6 on."""
        target = self.downgrades.get(disk.token) if line(Version.parse(disk.version)) >= (3, 6) else None
        return f"{target[0]}.{target[1]}.0" if target else ""

    def _storage_version(self, disk: Disk) -> str:
        """Return the format of the database, which follows a downgrade at once here."""
        return self._downgrade_target(disk) or (disk.version if line(Version.parse(disk.version)) >= (3, 6) else "")

    def _raft_leader(self, token: str) -> Disk:
        """Return who leads raft among those that serve."""
        serving = self.serving(token)
        return next((d for d in serving if d.id == self.raft_leader), serving[0])

    # --- the loop

    def round(self, *, cut_after: int | None = None) -> Decision:
        """Decide and act once, then let two seconds pass; `cut_after` effects the leader dies and is succeeded."""
        decision = decide(self.view())
        self.history.append(decision.rule)
        try:
            for done, effect in enumerate(self.effects(decision.action)):
                if cut_after is not None and done >= cut_after:
                    raise LeaderDiedError  # noqa: TRY301  it ends the loop of effects
                effect()
        except LeaderDiedError:
            self.succeed()
        except Exception as error:  # noqa: BLE001  the simulator's executor fails in any way that a test wants
            self._remember(decision.rule, error)
        else:
            # Waiting out the pause after a failure is no success: the next attempt counts on.
            if not isinstance(decision.action, a.Rest | a.Wait):
                self.troubles = troubles_after(self.troubles, decision.rule, decision.action)
        self.tick()
        return decision

    def succeed(self) -> None:
        """Put another leader in charge, which remembers nothing."""
        self.epoch += 1
        self.troubles.clear()
        self.last_backup = None
        self.upkeep = Upkeep(policy=self.upkeep.policy, since=self.now)

    def tick(self, step: timedelta = timedelta(seconds=2)) -> None:
        """Let time pass."""
        self.now += step
        for disk in self.disks.values():
            disk.starting = max(0, disk.starting - 1) if disk.up else disk.starting
        for token, listed in self.clusters.items():
            self._agree_on_version(token)
            serving = {d.id for d in self.serving(token) if not d.cut_off and not d.shadowed}
            for name, (member_id, _) in listed.items():
                if name in serving:
                    self.unhealthy.pop(member_id, None)
                else:
                    self.unhealthy.setdefault(member_id, self.now)

    def _agree_on_version(self, token: str) -> None:
        """Raise the cluster's version once all members run more, or end a downgrade that all have followed."""
        members = [d for d in self.disks.values() if d.token == token and d.id in self.clusters[token]]
        if not members or any(not d.up or d.starting or d.crashes for d in members):
            return
        lines = [line(Version.parse(d.version)) for d in members]
        target = self.downgrades.get(token)
        if target is None:
            self.cluster_versions[token] = max(min(lines), self.cluster_versions.get(token, (0, 0)))
        elif max(lines) == target:
            del self.downgrades[token]

    def settle(self, rounds: int = 60) -> Decision:
        """Go on until there is nothing to do but wait; fail loudly where that never comes."""
        quiet = 0
        for _ in range(rounds):
            decision = self.round()
            quiet = quiet + 1 if isinstance(decision.action, a.Rest | a.Wait) else 0
            if quiet >= 3:
                return decision
        raise AssertionError(f"never came to rest: {self.history[-20:]}")

    def _remember(self, rule: str, error: Exception) -> None:
        before = self.troubles.get(rule)
        self.troubles[rule] = Trouble(
            rule=rule,
            code=getattr(error, "code", "error"),
            message=str(error),
            permanent=bool(getattr(error, "permanent", False)),
            damage=bool(getattr(error, "damage", False)),
            since=before.since if before else self.now,
            last=self.now,
            count=(before.count if before else 0) + 1,
        )

    # --- what is done

    def effects(self, action: a.Action) -> Iterator[Effect]:  # noqa: C901, PLR0912  a case for each action
        """Yield the effects of an action, in the real executor's order."""
        match action:
            case a.Wait() | a.Rest():
                return
            case a.DecideFormation(members=members, spec=spec):
                yield lambda: self._decide_formation(members, spec)
            case a.StartMembers(formation=formation, peers=peers):
                for peer in peers:
                    yield lambda peer=peer: self._found(self._disk(peer, action), formation)
            case a.SealFormation():
                yield lambda: setattr(self, "marker", True)
                yield lambda: setattr(self, "formation", None)
            case a.WriteMarker():
                yield lambda: setattr(self, "marker", True)
                yield lambda: setattr(self, "formation", None)
            case a.LiftQuarantine(peer=peer):
                yield lambda: self._set_quarantine(self._disk(peer, action), quarantined=False)
            case a.TakeBackup(peers=peers, requests=requests):
                yield lambda: self._backup(self._disk(peers[0], action))
                yield lambda: self._answer(requests)
            case a.DeleteBackups(names=names):
                yield lambda: self._delete(names)
            case a.ChangePeerUrls(peer=peer):
                yield lambda: self._list_elsewhere(self._disk(peer, action))
                yield lambda: self._listen_elsewhere(self._disk(peer, action))
            case a.ChangeVersion() | a.EnableDowngrade() | a.CancelDowngrade() | a.CompareHashes():
                yield lambda: self._maintain(action)
            case a.Defragment() | a.Compact() | a.Disarm():
                yield lambda: self._make_room(action)
            case a.AddLearner() | a.JoinLearner() | a.PromoteLearner() | a.RemoveMember():
                yield from self._membership_effects(action)
            case a.StopRemoved(peer=peer):
                yield lambda: self._stop(self._disk(peer, action))
            case a.MoveRaftLeader(peer=peer):
                yield lambda: setattr(self, "raft_leader", peer)
            case a.AnswerMemberRequest(request=request, code=code):
                yield lambda: self._answer_member_request(request, code)
            case _:
                yield from self._restore_effects(action)

    def _restore_effects(self, action: a.Action) -> Iterator[Effect]:  # noqa: C901, PLR0912, PLR0915  a case for each action
        match action:
            case a.ClaimRestore(command=command, members=members):
                yield lambda: self._claim(command, members)
            case a.TakeOverClaim(claim=claim):
                yield lambda: self._change(claim, replace(claim, epoch=self.epoch))
            case a.RejectCommand(command=command, code=code):
                yield lambda: self._fail(command, code)
                yield lambda: self._dequeue(command)
            case a.ForgetCommand(command=command):
                yield lambda: self._dequeue(command)
            case a.PrepareRestore(claim=claim, peers=peers, save_from=save_from):
                for member in claim.members:
                    # each is told the URLs of all, which only they themselves can say
                    yield lambda member=member: self._answering(member)
                for peer in peers:
                    yield lambda peer=peer: self._prepare(self._disk(peer, action), claim)
                # saved beside the preparation; where that fails, the rule that saves comes next
                saving = a.SaveBeforeRestore(claim=claim, peers=save_from)
                if save_from and self.refuse(save_from[0], saving) is None:
                    yield from self._restore_effects(saving)
            case a.SaveBeforeRestore(claim=claim, peers=peers):
                yield lambda: self._backup(self._disk(peers[0], action))
                yield lambda: self._change(claim, replace(claim, saved_at=self.now, pre_restore_backup=self.backups[-1].name))
            case a.SkipSave(claim=claim):
                yield lambda: self._change(claim, replace(claim, saved_at=self.now))
            case a.Fence(peers=peers):
                for peer in peers:
                    yield lambda peer=peer: self._set_quarantine(self._disk(peer, action), quarantined=True)
            case a.PassPointOfNoReturn(claim=claim):
                yield lambda: self._change(claim, replace(claim, committing_at=self.now))
            case a.CommitRestore(claim=claim, peers=peers):
                for peer in peers:
                    yield lambda peer=peer: self._swap(self._disk(peer, action), claim)
            case a.VerifyRestored(claim=claim):
                yield lambda: self._change(claim, replace(claim, verified_at=self.now))
            case a.FinishRestore(claim=claim, command=command):
                yield lambda: setattr(self, "marker", True)
                yield lambda: self._receipt(command, claim)
                yield lambda: self._dequeue(command)
            case a.DropPreparation(peer=peer, token=token):
                yield lambda: self._drop(self._disk(peer, action), token)
            case a.AbortRestore(claim=claim, command=command, peers=peers, fenced=fenced, code=code):
                for peer in fenced:
                    yield lambda peer=peer: self._set_quarantine(self._disk(peer, action), quarantined=False)
                for peer in peers:
                    yield lambda peer=peer: self._drop(self._disk(peer, action), claim.token)
                yield lambda: self._fail(command, code)
                yield lambda: self._dequeue(command)
            case _:
                raise AssertionError(f"the simulator does not know {action}")

    def _membership_effects(self, action: a.AddLearner | a.JoinLearner | a.PromoteLearner | a.RemoveMember) -> Iterator[Effect]:
        token = self.open_to_clients()[0]
        listed = self.clusters[token]
        match action:
            case a.AddLearner(peer=peer) | a.JoinLearner(peer=peer):
                if isinstance(action, a.AddLearner):
                    yield lambda: listed.__setitem__(peer, (self._new_member(), True))
                yield lambda: self._start(self._disk(peer, action), token, listed[peer][0], quarantined=False)
            case a.PromoteLearner(name=name):
                yield lambda: listed.__setitem__(name, (listed[name][0], False))
            case a.RemoveMember(name=name):
                yield lambda: self._remove(token, name)
            case _:
                assert_never(action)

    def _make_room(self, action: a.Defragment | a.Compact | a.Disarm) -> None:
        match action:
            case a.Defragment(peer=peer, request=request):
                disk = self._disk(peer, action)
                self.upkeep = replace(self.upkeep, defragmented_for=self.upkeep.defragmented_for | {request})
                self.defragmented.append(peer)
                disk.db_bytes, disk.starting = disk.used_bytes, 1
                done = dict(self.upkeep.defragmented) | {peer: self.now}
                self.upkeep = replace(self.upkeep, defragmented=tuple(sorted(done.items())))
            case a.Compact(revision=revision):
                for disk in self.disks.values():
                    disk.used_bytes = self.used_after_compaction or disk.used_bytes
                self.upkeep = replace(self.upkeep, compacted_at=revision, compacted_on=self.now)
            case a.Disarm():
                assert all(d.db_bytes < self.quota_bytes for d in self.disks.values()), "the alarm would come back"
                self.alarms.clear()
            case _:
                assert_never(action)

    def _list_elsewhere(self, disk: Disk) -> None:
        others = [d for d in self.disks.values() if d.token == disk.token and d is not disk]
        assert all(d in self.serving(disk.token) for d in others), "never two members out of reach at once"
        disk.listed_port = disk.configured_port

    def _listen_elsewhere(self, disk: Disk) -> None:
        disk.listening_port, disk.starting = disk.configured_port, self.start_rounds

    def _maintain(self, action: a.ChangeVersion | a.EnableDowngrade | a.CancelDowngrade | a.CompareHashes) -> None:
        token = self.open_to_clients()[0]
        match action:
            case a.ChangeVersion(peer=peer, to=to):
                self._change_version(self._disk(peer, action), to)
            case a.EnableDowngrade(to=to):
                target = line(Version.parse(to))
                assert self.cluster_versions[token] == (target[0], target[1] + 1), "etcd refuses"
                self.downgrades[token] = self.cluster_versions[token] = target
            case a.CancelDowngrade():
                self.downgrades.pop(token, None)
            case a.CompareHashes(peers=peers):
                hashes = tuple(
                    MemberHash(peer=p, version=self.disks[p].version, hash=self.odd_hashes.get(p, 7), compact_revision=1)
                    for p in sorted(peers)
                )
                self.upkeep = replace(self.upkeep, hashes=HashComparison(at=self.now, revision=1, hashes=hashes))
            case _:
                assert_never(action)

    def _change_version(self, disk: Disk, to: str) -> None:
        assert to in disk.binaries, f"{disk.id} has no etcd {to}"
        members = [d for d in self.disks.values() if d.token == disk.token and d.id in self.clusters[disk.token]]
        assert all(d in self.serving(disk.token) for d in members if d is not disk), "never two members down at once"
        before, after = line(Version.parse(disk.version)), line(Version.parse(to))
        assert after[1] - before[1] <= 1, "etcd is never taken over two minors at once"
        assert after >= self.cluster_versions.get(disk.token, (0, 0)), "that etcd would not start"
        if after >= (3, 6) > before:
            assert all(Version.parse(d.version).at_least(3, 5, 26) for d in members), "removed members would come back"
        disk.version, disk.crashes = to, to in self.broken_versions
        self._start(disk, disk.token, disk.member_id, quarantined=disk.quarantined)
        self.restarts.append((disk.id, to))

    def _answering(self, peer: str) -> None:
        if not self.disks[peer].up:
            raise TransientError(f"{peer} does not answer, and its URLs are needed", code="peer-absent")

    def _disk(self, peer: str, action: a.Action) -> Disk:
        disk = self.disks[peer]
        if not disk.up or disk.cut_off:
            raise ConnectionError(f"{peer} does not answer")
        refusal = self.refuse(peer, action)
        if refusal is not None:
            raise refusal
        return disk

    def _new_member(self) -> int:
        self._members += 1
        return self._members

    def _decide_formation(self, members: tuple[str, ...], spec: ClusterSpec) -> None:
        assert self.formation is None, "a formation is decided once"
        self._tokens += 1
        token = f"token-{self._tokens}"
        self.formation = Formation(token=token, members=members, spec=spec, epoch=self.epoch, decided_at=self.now)
        self.formed.append(token)

    def _found(self, disk: Disk, formation: Formation) -> None:
        assert disk.holds() is Holding.EMPTY, f"{disk} would be formed over"
        listed = self.clusters.setdefault(formation.token, {m: (self._new_member(), False) for m in formation.members})
        self.contents.setdefault(formation.token, "empty")
        self._start(disk, formation.token, listed[disk.id][0], quarantined=False)

    def _start(self, disk: Disk, token: str, member_id: int, *, quarantined: bool) -> None:
        disk.token, disk.member_id, disk.quarantined, disk.starting = token, member_id, quarantined, self.start_rounds
        if not disk.version:
            running = [d.version for d in self.disks.values() if d.token == token and d.version]
            disk.version = min(running, default=self.spec.etcd_version if self.spec else "3.5.16")

    def _set_quarantine(self, disk: Disk, *, quarantined: bool) -> None:
        if disk.quarantined != quarantined:
            disk.quarantined, disk.starting = quarantined, self.start_rounds

    def _backup(self, disk: Disk) -> None:
        taken_at = self.now + self.skew
        name = f"{taken_at:%Y-%m-%dT%H:%M:%SZ}-000001"
        self.backups = sorted([*self.backups, Backup(name=name, taken_at=taken_at)], key=lambda b: b.taken_at)
        self.last_backup = self.now
        self.upkeep = replace(self.upkeep, verified_backup_at=self.now)
        self.backup_contents[name] = self.contents[disk.token]

    def _answer_member_request(self, request: MemberRequest, code: str) -> None:
        self.member_answers[request.id] = code
        self.member_requests.remove(request)

    def _answer(self, requests: tuple[BackupRequest, ...]) -> None:
        self.requests = [r for r in self.requests if r not in requests]

    def _delete(self, names: tuple[str, ...]) -> None:
        self.backups = [b for b in self.backups if b.name not in names]
        self.last_cleanup = self.now

    def _claim(self, command: RestoreCommand, members: tuple[str, ...]) -> None:
        self._tokens += 1
        token = f"token-{self._tokens}"
        claim = Claim(
            command=command.name, backup=command.backup, holder="x", epoch=self.epoch, token=token, members=members, claimed_at=self.now
        )
        self.queue = [replace(q, claim=claim) if q.command == command else q for q in self.queue]
        self.clusters[token] = {m: (self._new_member(), False) for m in members}
        self.contents[token] = self.backup_contents[command.backup]

    def _prepare(self, disk: Disk, claim: Claim) -> None:
        if disk.prepared not in {"", claim.token}:
            raise BlockingIOError(f"{disk.id} has prepared {disk.prepared}")
        disk.prepared = claim.token

    def _drop(self, disk: Disk, token: str) -> None:
        disk.prepared = "" if disk.prepared == token else disk.prepared

    def _change(self, old: Claim, new: Claim) -> None:
        assert any(q.claim == old for q in self.queue), "a claim is changed conditionally"
        self.queue = [replace(q, claim=new) if q.claim == old else q for q in self.queue]

    def _swap(self, disk: Disk, claim: Claim) -> None:
        assert disk.prepared == claim.token, f"{disk} was not prepared"
        if disk.token:
            disk.trash.append(disk.token)
        disk.prepared = ""
        self._start(disk, claim.token, self.clusters[claim.token][disk.id][0], quarantined=True)

    def _fail(self, command: RestoreCommand, code: str) -> None:
        self.failed[command.name] = code
        self.queue = [replace(q, done=True) if q.command == command else q for q in self.queue]

    def _receipt(self, command: RestoreCommand, claim: Claim) -> None:
        self.receipts[command.name] = claim
        self.queue = [replace(q, done=True) if q.command == command else q for q in self.queue]

    def _dequeue(self, command: RestoreCommand) -> None:
        self.queue = [q for q in self.queue if q.command != command]

    def _stop(self, disk: Disk) -> None:
        assert disk.id not in self.clusters[disk.token], f"{disk} is a member"
        disk.trash.append(disk.token)
        disk.token = ""

    def _remove(self, token: str, name: str) -> None:
        self.clusters[token].pop(name)


def fresh_world(count: int = 3, *, wanted: int | None = None) -> World:
    """Return `count` peers with blank disks, and a spec for `wanted` (all) of them."""
    ids = [f"etcd-{letter}" for letter in "abcdefg"[:count]]
    return World(disks={i: Disk(id=i) for i in ids}, spec=ClusterSpec(member_count=wanted or count, etcd_version="3.5.16"))


def running_world(count: int = 3, *, content: str = "written") -> World:
    """Return a settled cluster that holds `content` and has one backup of "backed up"."""
    world = fresh_world(count)
    world.settle()
    token = world.formed[0]
    world.contents[token] = content
    world.backup_contents[world.backups[0].name] = "backed up"
    world.history.clear()
    return world


def queue_restore(world: World, backup: str | None = None, *, members: int | None = None) -> RestoreCommand:
    """Queue a restore of `backup` (the oldest) for as many members as there are disks."""
    command = RestoreCommand(
        name=f"{world.now:%Y-%m-%dT%H:%M:%SZ}-000000",
        backup=backup or world.backups[0].name,
        spec=ClusterSpec(member_count=members or len(world.disks), etcd_version="3.5.16"),
        queued_at=world.now,
    )
    world.queue.append(Queued(command=command))
    return command
