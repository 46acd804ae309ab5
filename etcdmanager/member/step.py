"""What a member's loop does next: pure, from a frozen picture of the disk, the process and the desired state. One step at a time.

The handlers persist what is desired (`EtcdState`, `RestoreIntent`); the loop takes one step, looks again, and goes on until
there is nothing to do. A kill between any two steps leaves a picture from which the same table goes on.

                        state with cluster                     state idle, archive_token T
      ┌─────────────────────────────────────────────┐        ┌───────────────────────────────┐
      │ down ──Start──> running ──(WAL)──> MarkStarted│ ─Stop─>│ Stop ─> Archive(T) ─> ForgetArchive │
      │  ^  wait: back-off   │ settings changed      │        └───────────────────────────────┘
      │  '───────Stop────────'                       │
      └─────────────────────────────────────────────┘
      restore, committing:  Stop ─> Archive(old) ─> SwapIn(new) ─> AdoptRestored ─> FinishRestore ─> (as above)
      restore, aborting, or preparing without a job:  DropIncoming ─> DropIntent

      what is there                                          step
      ─────────────────────────────────────────────────────  ─────────────────────────────────────────────
      damaged journal or state                               Hold: nothing is guessed
      a restore is committing                                the swap, from wherever it stopped
      a restore is aborting, or its preparation died         drop what was prepared, then the journal
      no state, data there                                   Hold EM-M1
      idle state, no archive token, data there               Hold EM-M2 (B-16)
      cluster, but its data is gone and was there before     Hold EM-M3: a new, empty member is never started instead
      cluster, we are not among its nodes                    Hold EM-M4
      cluster, no binary of that version                     Hold EM-M5
      no etcd of ours, another process on the data           Hold EM-M7, before anything is moved
      another process listens at etcd's ports                Hold EM-M8
      cluster, its data is here and in the trash             as usual
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from etcdmanager.member.intent import RestoreIntent
from etcdmanager.member.state import DamagedState, KeptState, NoState, StoredState
from etcdmanager.peering.messages import EtcdState, Hold, RestorePhase


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningEtcd:
    """Our etcd process: for which cluster token, and the digest of the settings that it was started with."""

    token: str
    settings: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberView:
    """Everything that the next step depends on.

    `intent_problem` is why the journal cannot be read, "" if it can. `preparing` is the token that a job of this process
    is restoring right now, "" for none. `wanted_settings` is the digest of the settings that the state asks for, "" where
    it asks for none; `binary_problem` says why its etcd cannot be run, "" if it can.
    """

    now: datetime
    name: str
    stored: StoredState
    intent: RestoreIntent | None = None
    intent_problem: str = ""
    preparing: str = ""
    data_tokens: frozenset[str] = frozenset()
    #: Those of `data_tokens` in which etcd has written a log.
    logged_tokens: frozenset[str] = frozenset()
    incoming_tokens: frozenset[str] = frozenset()
    #: For which a preparation is, or was, at work.
    unfinished_tokens: frozenset[str] = frozenset()
    trash: frozenset[str] = frozenset()
    process: RunningEtcd | None = None
    wanted_settings: str = ""
    binary_problem: str = ""
    not_before: datetime | None = None
    #: Which other process is on the data, or listens where our etcd would; "" for none, and while our etcd runs.
    held_by: str = ""
    port_taken_by: str = ""


@dataclass(frozen=True, slots=True)
class Nothing:
    """All is as wanted."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing before that time."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Refuse:
    """Nothing, and someone must look."""

    hold: Hold


@dataclass(frozen=True, slots=True)
class Start:
    """Start etcd on the data of this cluster token."""

    token: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop etcd; the reason ends a log line. `hurry`: its data is not wanted any more, so it need not hand anything over."""

    reason: str
    hurry: bool = False


@dataclass(frozen=True, slots=True)
class MarkStarted:
    """etcd was started and has a log: from here on an empty data directory is never started again for it (B-18)."""


@dataclass(frozen=True, slots=True)
class Archive:
    """Move a data directory to the trash."""

    token: str


@dataclass(frozen=True, slots=True)
class ForgetArchive:
    """The data directory is in the trash: clear the request from the state."""


@dataclass(frozen=True, slots=True)
class SwapIn:
    """Make the prepared data the data directory."""

    token: str


@dataclass(frozen=True, slots=True)
class AdoptRestored:
    """Make the restored cluster, quarantined, the desired state."""


@dataclass(frozen=True, slots=True)
class FinishRestore:
    """The swap is complete: remove the journal."""


@dataclass(frozen=True, slots=True)
class DropIncoming:
    """Delete prepared data that nobody waits for."""

    token: str


@dataclass(frozen=True, slots=True)
class DropIntent:
    """Remove the journal of a restore that will not be."""


Step = (
    Nothing
    | Wait
    | Refuse
    | Start
    | Stop
    | MarkStarted
    | Archive
    | ForgetArchive
    | SwapIn
    | AdoptRestored
    | FinishRestore
    | DropIncoming
    | DropIntent
)

#: A start that lasted this long was one: the next failure starts the pauses anew.
SERVED = timedelta(seconds=30)
_FIRST_PAUSE = timedelta(seconds=1)
#: The Go program tries every 10 s for ever; a crash loop is given up to a minute.
_LONGEST_PAUSE = timedelta(seconds=60)

#: From the fence to the swap it takes a leader two looks; another leader, where that one dies, twenty seconds more.
FENCED_FOR = timedelta(minutes=1)


def next_step(view: MemberView) -> Step:
    """Return the one next step; total over all views."""
    for rule in RULES:
        step = rule(view)
        if step is not None:
            return step
    return Nothing()


def restart_pause(failures: int) -> timedelta:
    """Return how long to wait after the `failures`-th end in a row: nothing after the first, then 1 s doubling to a minute."""
    if failures <= 1:
        return timedelta(0)
    return min(_LONGEST_PAUSE, _FIRST_PAUSE * (1 << min(failures - 2, 16)))


def fenced_until(stored: StoredState, intent: RestoreIntent | None, *, ended: datetime | None) -> datetime | None:
    """Return until when etcd stays down although it is wanted: it was fenced, and restored data lies ready to take the place of its own.

    It would serve nobody, and its start, which reads the whole database, would only make the swap wait. A restore that comes to nothing
    lets it out of quarantine, and where nobody decides anything for a minute, it starts all the same. `ended` is when it ended last;
    None: nobody knows, or it never ran.
    """
    prepared = intent is not None and intent.phase is RestorePhase.PREPARED
    fenced = isinstance(stored, KeptState) and stored.state.cluster is not None and stored.state.quarantined
    return ended + FENCED_FOR if prepared and fenced and ended is not None else None


def unexplained_data(view: MemberView) -> Hold | None:
    """Return why the disk holds data that no state explains, None where all is explained.

    While it is so, this member starts nothing and takes part in no new cluster.
    """
    match view.stored:
        case DamagedState(reason):
            hint = "stop it and put state.previous back as state; if data/ is not what that says, move both away, and it joins again"
            return Hold(code="EM-M0-state-damaged", reason=f"the state file is damaged: {reason}", hint=hint)
        case NoState() if view.data_tokens:
            found = ", ".join(sorted(view.data_tokens))
            return Hold(
                code="EM-M1-data-without-state",
                reason=f"there is data of cluster {found}, but no state file that says what it is",
                hint="restore the state file, or move the data away if it is not wanted",
            )
        case KeptState(state) if state.cluster is None and not state.archive_token and view.data_tokens:
            found = ", ".join(sorted(view.data_tokens))
            return Hold(
                code="EM-M2-idle-with-data",
                reason=f"the state says idle, but there is data of cluster {found}",
                hint="a torn write of the state looks like this: compare state.previous; move the data away if it is not wanted",
            )
        case _:
            return None


def _damaged_journal(view: MemberView) -> Step | None:
    if not view.intent_problem:
        return None
    return Refuse(
        Hold(
            code="EM-M6-journal-damaged",
            reason=f"the restore journal cannot be read: {view.intent_problem}",
            hint="compare data/, data-trashcan/ and state; remove restore-intent.json once they agree",
        )
    )


def _held(view: MemberView) -> Step | None:
    """Two etcds never run on one data directory, and nothing is moved away under another."""
    if view.process is not None or not view.held_by:
        return None
    hint = "end it (a pod of kops ends with its manifest in /etc/kubernetes/manifests); nothing is started or moved until then"
    return Refuse(Hold(code="EM-M7-data-held", reason=view.held_by, hint=hint))


def _commit(view: MemberView) -> Step | None:
    intent = view.intent
    if intent is None or intent.phase is not RestorePhase.COMMITTING:
        return None
    state = _cluster_state(view)
    adopted = state is not None and state.cluster is not None and state.cluster.token == intent.token
    if not adopted:
        if view.process is not None:
            return Stop(f"its data makes way for the restored backup {intent.backup_name}", hurry=True)
        if old := sorted(view.data_tokens - {intent.token}):
            return Archive(old[0])
        if intent.token not in view.data_tokens:
            return _swap_in(view, intent)
        return AdoptRestored()
    return FinishRestore()


def _swap_in(view: MemberView, intent: RestoreIntent) -> Step:
    if intent.token in view.incoming_tokens:
        return SwapIn(intent.token)
    return Refuse(
        Hold(
            code="EM-M7-prepared-data-gone",
            reason=f"the restore of {intent.backup_name} was committed, but its prepared data is gone",
            hint="queue the restore again; the replaced data is in data-trashcan/",
        )
    )


def _undo(view: MemberView) -> Step | None:
    intent = view.intent
    there = view.incoming_tokens | view.unfinished_tokens
    if intent is None:
        stray = sorted(there - {view.preparing})
        return DropIncoming(stray[0]) if stray else None
    died = intent.phase is RestorePhase.PREPARING and view.preparing != intent.token
    lost = intent.phase is RestorePhase.PREPARED and intent.token not in view.incoming_tokens
    aborting = intent.phase is RestorePhase.ABORTING and view.preparing != intent.token
    if aborting or died or lost:
        return DropIncoming(intent.token) if intent.token in there else DropIntent()
    return None


def _unexplained(view: MemberView) -> Step | None:
    hold = unexplained_data(view)
    return Refuse(hold) if hold else None


def _idle(view: MemberView) -> Step | None:
    state = view.stored.state if isinstance(view.stored, KeptState) else None
    if state is not None and state.cluster is not None:
        return None
    archive = state.archive_token if state is not None else ""
    if view.process is not None:
        return Stop("it is not wanted any more", hurry=True)
    if archive in view.data_tokens:
        return Archive(archive)
    return ForgetArchive() if archive else Nothing()


def _running(view: MemberView) -> Step | None:
    state, process = _cluster_state(view), view.process
    if state is None or process is None or state.cluster is None:
        return None
    if process.token != state.cluster.token:
        return Stop(f"it runs cluster {process.token}, wanted is {state.cluster.token}", hurry=True)
    if view.wanted_settings and process.settings != view.wanted_settings and not view.binary_problem:
        # Into quarantine: clients are to be cut off now, and with all members fenced at once a raft leader would wait
        # seven seconds for somebody to hand over to.
        return Stop("its settings changed", hurry=state.quarantined)
    if (state.new_cluster or state.joining or state.restored) and process.token in view.logged_tokens:
        return MarkStarted()
    return Nothing()


def _cannot_start(view: MemberView) -> Step | None:
    state = _cluster_state(view)
    if state is None or state.cluster is None:
        return None
    token = state.cluster.token
    if state.cluster.node(view.name) is None:
        names = ", ".join(node.name for node in state.cluster.nodes)
        reason = f"we are {view.name}, but the state is of a cluster of {names}"
        return Refuse(Hold(code="EM-M4-not-a-member", reason=reason, hint="is this another member's volume?"))
    if token not in view.logged_tokens and not (state.new_cluster or state.joining):
        there = " (it is in data-trashcan/)" if token in view.trash else ""
        reason = f"the data of cluster {token} is gone{there}, and this member had some"
        hint = "move it back to data/, or have the leader replace this member; it is never started empty"
        return Refuse(Hold(code="EM-M3-data-missing", reason=reason, hint=hint))
    if view.binary_problem:
        hint = f"install etcd {state.etcd_version} at /opt/etcd-v{state.etcd_version}, or name its directory with --binaries"
        return Refuse(Hold(code="EM-M5-no-binary", reason=view.binary_problem, hint=hint))
    if view.port_taken_by:
        hint = "end that process, or give one of the two another port; etcd is started once the port is free"
        return Refuse(Hold(code="EM-M8-port-taken", reason=view.port_taken_by, hint=hint))
    return None


def _start(view: MemberView) -> Step | None:
    state = _cluster_state(view)
    if state is None or state.cluster is None:
        return None
    if view.not_before is not None and view.now < view.not_before:
        return Wait(view.not_before)
    return Start(state.cluster.token)


def _cluster_state(view: MemberView) -> EtcdState | None:
    return view.stored.state if isinstance(view.stored, KeptState) and view.stored.state.cluster is not None else None


#: The first answer counts. Another's data is not touched; then a committed restore goes before all but an unreadable journal: it explains
#: what lies around.
RULES: tuple[Callable[[MemberView], Step | None], ...] = (
    _held,
    _damaged_journal,
    _commit,
    _undo,
    _unexplained,
    _idle,
    _running,
    _cannot_start,
    _start,
)
