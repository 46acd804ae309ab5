"""What the leader never decides, whatever it sees."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from etcdmanager.leader import actions as a
from etcdmanager.leader.decide import LONGEST_PAUSE, NO_CLUSTER_RULES, RESTORING_RULES, RUNNING_RULES, decide, pause_after
from etcdmanager.leader.rules.restore import old_cluster
from etcdmanager.leader.view import ClusterView, Holding, Restoring, Running, Trouble, phase_of
from etcdmanager.quorum import quorum
from tests.etcdmanager.leader.views import shuffled, troubles, views

many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@many
@given(views())
def test_there_is_always_an_answer(view: ClusterView) -> None:
    assert decide(view).action is not None


@many
@given(views())
def test_the_order_in_which_peers_and_members_are_listed_means_nothing(view: ClusterView) -> None:
    first, second = decide(view), decide(shuffled(view))
    assert first.rule == second.rule
    if not isinstance(
        first.action,
        a.Wait | a.TakeBackup | a.PrepareRestore | a.Fence | a.CommitRestore | a.VerifyRestored | a.AbortRestore | a.StartMembers,
    ):
        assert first.action == second.action


@many
@given(views())
def test_a_new_cluster_is_decided_only_where_nothing_ever_was(view: ClusterView) -> None:
    if isinstance(decide(view).action, a.DecideFormation):
        assert all(p.holds is Holding.EMPTY for p in view.peers)
        assert not view.marker
        assert not view.backups
        assert not view.absent
        assert not view.queue


@many
@given(views())
def test_founding_members_are_told_only_on_blank_disks_without_marker_or_backups(view: ClusterView) -> None:
    action = decide(view).action
    if isinstance(action, a.StartMembers):
        told = [p for p in view.peers if p.id in action.peers]
        assert all(p.holds is Holding.EMPTY for p in told)
        assert all(p.holds is Holding.EMPTY or p.cluster_token == action.formation.token for p in view.peers)
        assert not view.marker
        assert not view.backups


@many
@given(views())
def test_removal_never_costs_quorum(view: ClusterView) -> None:
    action = decide(view).action
    if isinstance(action, a.RemoveMember):
        phase = phase_of(view)
        assert isinstance(phase, Running)
        voters = [m for m in view.members or () if not m.is_learner and m.id != action.member_id]
        healthy = {p.etcd.member_id for p in phase.healthy if p.etcd}
        if any(m.id == action.member_id and not m.is_learner for m in view.members or ()):
            assert len([m for m in voters if m.id in healthy]) >= quorum(len(voters))


@many
@given(views())
def test_a_member_that_answers_itself_is_removed_only_where_the_spec_asks_for_fewer(view: ClusterView) -> None:
    action = decide(view).action
    if isinstance(action, a.RemoveMember) and view.spec is not None and view.spec.member_count >= len(view.members or ()):
        probe = view.probe(action.member_id)
        assert probe is not None
        assert not probe.answers_at


@many
@given(views())
def test_nothing_is_formed_or_claimed_while_two_managers_are_one_peer(view: ClusterView) -> None:
    action = decide(view).action
    if view.twins:
        assert not isinstance(action, a.DecideFormation | a.StartMembers | a.ClaimRestore)


@many
@given(views())
def test_nothing_of_the_old_cluster_is_touched_before_all_members_are_prepared(view: ClusterView) -> None:
    action = decide(view).action
    if isinstance(action, a.Fence | a.PassPointOfNoReturn):
        prepared = {p.id for p in view.peers if action.claim.token in {p.prepared_token, p.cluster_token}}
        assert set(action.claim.members) <= prepared
        assert action.claim.saved_at is not None


@many
@given(views())
def test_the_swap_begins_only_after_the_point_of_no_return(view: ClusterView) -> None:
    action = decide(view).action
    if isinstance(action, a.CommitRestore):
        assert action.claim.committing_at is not None
        assert all(p.prepared_token == action.claim.token for p in view.peers if p.id in action.peers)


@many
@given(views())
def test_the_point_of_no_return_is_passed_only_with_the_old_cluster_fenced(view: ClusterView) -> None:
    action = decide(view).action
    if isinstance(action, a.PassPointOfNoReturn):
        phase = phase_of(view)
        assert isinstance(phase, Restoring)
        assert all(p.quarantined for p in old_cluster(phase, action.claim))


@many
@given(views())
def test_a_restore_is_given_up_only_before_the_point_of_no_return(view: ClusterView) -> None:
    action = decide(view).action
    if isinstance(action, a.AbortRestore):
        assert action.claim.committing_at is None


@many
@given(views())
def test_a_claim_of_another_epoch_is_first_taken_over(view: ClusterView) -> None:
    action = decide(view).action
    claim = getattr(action, "claim", None)
    if claim is not None and not isinstance(action, a.TakeOverClaim):
        assert claim.epoch == view.epoch


@many
@given(views())
def test_a_member_is_shown_to_clients_only_with_a_serving_quorum(view: ClusterView) -> None:
    action = decide(view).action
    if isinstance(action, a.LiftQuarantine):
        peer = view.peer(action.peer)
        assert peer is not None
        assert peer.serves
        serving = [p for p in view.peers if p.serves and p.cluster_token == peer.cluster_token]
        phase = phase_of(view)
        voters = (
            phase.voters if isinstance(phase, Running) else len(phase.claim.members) if isinstance(phase, Restoring) and phase.claim else 1
        )
        assert len(serving) >= quorum(voters)


@many
@given(views())
def test_backups_are_asked_of_serving_members_only(view: ClusterView) -> None:
    action = decide(view).action
    if isinstance(action, a.TakeBackup | a.SaveBeforeRestore):
        assert action.peers
        assert all(p.serves for p in view.peers if p.id in action.peers)
    if isinstance(action, a.PrepareRestore):
        assert all(p.serves for p in view.peers if p.id in action.save_from)


@many
@given(views())
def test_the_newest_backup_is_never_deleted_nor_any_without_a_quorum(view: ClusterView) -> None:
    action = decide(view).action
    if isinstance(action, a.DeleteBackups):
        assert view.backups[-1].name not in action.names
        phase = phase_of(view)
        assert isinstance(phase, Running)
        assert phase.has_quorum


@given(troubles)
def test_the_pause_after_failures_grows_and_is_bounded(trouble: Trouble) -> None:
    assert pause_after(trouble) <= LONGEST_PAUSE


def test_every_rule_stands_in_exactly_one_order_once() -> None:
    names = [r.__name__ for rules in (NO_CLUSTER_RULES, RESTORING_RULES, RUNNING_RULES) for r in rules]
    assert len(names) == len(set(names))
