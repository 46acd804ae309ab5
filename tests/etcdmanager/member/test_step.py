"""What a member does next, as claims about a model of its disk, its process and its desired state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etcdmanager.member import step as steps
from etcdmanager.member.intent import RestoreIntent
from etcdmanager.member.state import DamagedState, KeptState, NoState, StoredState
from etcdmanager.member.step import FENCED_FOR, MemberView, RunningEtcd, fenced_until, next_step, restart_pause, unexplained_data
from etcdmanager.peering.messages import EtcdCluster, EtcdState, RestorePhase
from etcdmanager.spec import EtcdNode

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NODES = (EtcdNode(name="a"), EtcdNode(name="b"))
RESTING = (steps.Nothing, steps.Wait, steps.Refuse)


def cluster_state(token: str, **more: bool) -> EtcdState:
    return EtcdState(cluster=EtcdCluster(token=token, nodes=NODES), etcd_version="3.5.16", **more)


def restore_intent(phase: RestorePhase) -> RestoreIntent:
    return RestoreIntent(
        phase=phase, cluster=EtcdCluster(token="N", nodes=NODES), etcd_version="3.5.16", storage="file:///s", backup_name="b"
    )


@dataclass
class Model:
    """A member in memory: steps change it as the real loop would change the machine. Data is what is never to be lost."""

    stored: StoredState = field(default_factory=NoState)
    intent: RestoreIntent | None = None
    data: frozenset[str] = frozenset()
    incoming: frozenset[str] = frozenset()
    trash: frozenset[str] = frozenset()
    process: RunningEtcd | None = None
    started_empty: bool = False

    def view(self) -> MemberView:
        wanted = f"{self.stored.state}" if isinstance(self.stored, KeptState) and self.stored.state.cluster else ""
        return MemberView(
            now=NOW,
            name="a",
            stored=self.stored,
            intent=self.intent,
            data_tokens=self.data,
            logged_tokens=self.data,
            incoming_tokens=self.incoming,
            trash=self.trash,
            process=self.process,
            wanted_settings="" if not wanted else _settings(self.stored),
        )

    def do(self, step: steps.Step) -> None:  # noqa: C901  one case per kind of step
        match step:
            case steps.Start(token):
                assert isinstance(self.stored, KeptState)
                self.started_empty = token not in self.data
                self.data |= {token}
                self.process = RunningEtcd(token=token, settings=_settings(self.stored))
            case steps.Stop():
                self.process = None
            case steps.Archive(token):
                assert self.process is None, "a running etcd's data is never moved"
                self.data -= {token}
                self.trash |= {token}
            case steps.SwapIn(token):
                assert self.process is None
                assert token not in self.data
                self.incoming -= {token}
                self.data |= {token}
            case steps.DropIncoming(token):
                self.incoming -= {token}
            case steps.DropIntent() | steps.FinishRestore():
                self.intent = None
            case steps.AdoptRestored():
                assert self.intent is not None
                self.stored = KeptState(EtcdState(cluster=self.intent.cluster, etcd_version="3.5.16", quarantined=True, restored=True))
            case steps.MarkStarted():
                assert isinstance(self.stored, KeptState)
                self.stored = KeptState(replace(self.stored.state, new_cluster=False, joining=False, restored=False))
            case steps.ForgetArchive():
                assert isinstance(self.stored, KeptState)
                self.stored = KeptState(replace(self.stored.state, archive_token=""))
            case steps.Nothing() | steps.Wait() | steps.Refuse():
                pass

    def settle(self) -> Iterator[steps.Step]:
        for _ in range(30):
            step = next_step(self.view())
            yield step
            if isinstance(step, RESTING):
                return
            self.do(step)
        raise AssertionError("it never comes to rest")


def _settings(stored: StoredState) -> str:
    """Stand for the digest: what etcd must be restarted for."""
    if not isinstance(stored, KeptState) or stored.state.cluster is None:
        return ""
    return f"{stored.state.cluster.token} {stored.state.quarantined} {stored.state.etcd_version}"


tokens = st.sampled_from(("A", "B", "N"))
token_sets = st.frozensets(tokens)
stored_states = st.one_of(
    st.just(NoState()),
    st.just(DamagedState("torn")),
    st.builds(lambda archive: KeptState(EtcdState(archive_token=archive)), st.sampled_from(("", "A", "B"))),
    st.builds(
        lambda token, new, joining, fenced: KeptState(
            cluster_state(token, new_cluster=new, joining=joining and not new, quarantined=fenced)
        ),
        tokens,
        st.booleans(),
        st.booleans(),
        st.booleans(),
    ),
)
models = st.builds(
    Model,
    stored=stored_states,
    intent=st.none() | st.builds(restore_intent, st.sampled_from(RestorePhase)),
    data=token_sets,
    incoming=st.frozensets(st.just("N")),
    trash=token_sets,
    process=st.none() | st.builds(RunningEtcd, token=tokens, settings=st.sampled_from(("", "A False 3.5.16"))),
).map(lambda model: replace(model, data=model.data | ({model.process.token} if model.process else set())))


@given(models)
def test_every_member_comes_to_rest(model: Model) -> None:
    assert isinstance(list(model.settle())[-1], RESTING)


@given(models)
def test_no_data_directory_is_ever_lost(model: Model) -> None:
    before = model.data | model.trash
    list(model.settle())
    assert before <= model.data | model.trash


@given(models)
def test_only_a_beginning_is_started_without_data(model: Model) -> None:
    stored = model.stored
    allowed = isinstance(stored, KeptState) and (stored.state.new_cluster or stored.state.joining)
    list(model.settle())
    assert not model.started_empty or allowed


@given(models)
def test_where_data_is_not_explained_nothing_is_started_or_moved(model: Model) -> None:
    hold = unexplained_data(model.view())
    if hold is None or (model.intent is not None and model.intent.phase is RestorePhase.COMMITTING):
        return
    data, process = model.data, model.process
    taken = list(model.settle())
    assert taken[-1] == steps.Refuse(hold)
    assert (model.data, model.process) == (data, process)


@given(models, st.integers(min_value=0, max_value=12))
def test_a_commit_goes_on_from_wherever_a_crash_left_it(model: Model, crash_after: int) -> None:
    model.stored, model.data, model.incoming = KeptState(cluster_state("A")), frozenset("A"), frozenset("N")
    model.process = RunningEtcd(token="A", settings=_settings(model.stored))
    model.intent = restore_intent(RestorePhase.COMMITTING)
    for _, step in zip(range(crash_after), model.settle(), strict=False):
        del step
    # Here the manager dies; etcd may live on or not; the next one knows only what is on disk.
    list(model.settle())
    assert isinstance(model.stored, KeptState)
    assert model.stored.state.cluster is not None
    assert model.stored.state.cluster.token == "N"
    assert model.stored.state.quarantined
    assert not model.stored.state.restored
    assert model.process is not None
    assert model.process.token == "N"
    assert model.intent is None
    assert "A" in model.trash


@pytest.mark.parametrize("phase", [RestorePhase.PREPARING, RestorePhase.ABORTING])
def test_a_restore_that_was_not_committed_is_undone_without_touching_etcd(phase: RestorePhase) -> None:
    model = Model(stored=KeptState(cluster_state("A")), data=frozenset("A"), incoming=frozenset("N"), intent=restore_intent(phase))
    model.process = RunningEtcd(token="A", settings=_settings(model.stored))
    assert list(model.settle()) == [steps.DropIncoming("N"), steps.DropIntent(), steps.Nothing()]


def test_a_prepared_restore_waits() -> None:
    model = Model(
        stored=KeptState(cluster_state("A")), data=frozenset("A"), incoming=frozenset("N"), intent=restore_intent(RestorePhase.PREPARED)
    )
    model.process = RunningEtcd(token="A", settings=_settings(model.stored))
    assert list(model.settle()) == [steps.Nothing()]


def test_a_preparation_that_is_at_work_is_left_alone() -> None:
    view = Model(
        stored=KeptState(cluster_state("A")),
        data=frozenset("A"),
        intent=restore_intent(RestorePhase.PREPARING),
        process=RunningEtcd(token="A", settings="A False 3.5.16"),
    ).view()
    assert next_step(replace(view, preparing="N", unfinished_tokens=frozenset("N"))) == steps.Nothing()


def test_stopping_archives_and_then_forgets() -> None:
    model = Model(stored=KeptState(EtcdState(archive_token="A")), data=frozenset("A"), process=RunningEtcd(token="A", settings="x"))
    taken = [type(step).__name__ for step in model.settle()]
    assert taken == ["Stop", "Archive", "ForgetArchive", "Nothing"]


def test_a_quarantined_member_is_restarted_when_the_fence_is_lifted() -> None:
    model = Model(stored=KeptState(cluster_state("A")), data=frozenset("A"), process=RunningEtcd(token="A", settings="A True 3.5.16"))
    assert [type(step).__name__ for step in model.settle()] == ["Stop", "Start", "Nothing"]


def test_an_etcd_that_another_version_of_the_manager_cannot_run_is_left_running() -> None:
    view = Model(stored=KeptState(cluster_state("A")), data=frozenset("A"), process=RunningEtcd(token="A", settings="old")).view()
    assert next_step(replace(view, binary_problem="no etcd 3.5.16")) == steps.Nothing()


def test_a_start_waits_for_its_time() -> None:
    view = Model(stored=KeptState(cluster_state("A")), data=frozenset("A")).view()
    due = NOW + timedelta(seconds=3)
    assert next_step(replace(view, not_before=due)) == steps.Wait(due)
    assert next_step(replace(view, not_before=due, now=due)) == steps.Start("A")


def test_another_members_volume_is_refused() -> None:
    step = next_step(replace(Model(stored=KeptState(cluster_state("A")), data=frozenset("A")).view(), name="z"))
    assert isinstance(step, steps.Refuse)
    assert step.hold.code == "EM-M4-not-a-member"


def test_pauses_double_up_to_a_minute() -> None:
    assert [restart_pause(n).total_seconds() for n in (0, 1, 2, 3, 4, 8, 100)] == [0, 0, 1, 2, 4, 60, 60]


def test_the_drawing_names_every_step() -> None:
    drawing = steps.__doc__ or ""
    for kind in steps.Step.__args__:
        if kind not in RESTING:
            assert kind.__name__ in drawing, kind


@pytest.mark.parametrize("phase", list(RestorePhase))
@pytest.mark.parametrize("quarantined", [False, True])
def test_only_a_fenced_member_with_restored_data_at_hand_stays_down_and_for_a_minute_only(phase: RestorePhase, quarantined: bool) -> None:
    stored, intent = KeptState(cluster_state("T", quarantined=quarantined)), restore_intent(phase)
    waits = quarantined and phase is RestorePhase.PREPARED

    assert fenced_until(stored, intent, ended=NOW) == (NOW + FENCED_FOR if waits else None)
    assert fenced_until(stored, intent, ended=None) is None
    assert fenced_until(stored, None, ended=NOW) is None
    assert fenced_until(NoState(), intent, ended=NOW) is None


@given(models)
def test_nothing_is_done_on_data_that_another_process_is_on(model: Model) -> None:
    view = replace(model.view(), held_by="etcd (process 4711) has it locked")
    if view.process is None:
        step = next_step(view)
        assert isinstance(step, steps.Refuse)
        assert step.hold.code == "EM-M7-data-held"


@given(models)
def test_no_etcd_is_started_where_another_process_has_its_port(model: Model) -> None:
    assert not isinstance(next_step(replace(model.view(), port_taken_by="a (process 4711) listens at 0.0.0.0 port 4001")), steps.Start)
