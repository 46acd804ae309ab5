"""Whom a member obeys."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import AccessError, AgentError, SpecError
from agents.host.local import LocalHost
from etcdmanager.member.layout import Layout
from etcdmanager.member.leadership import Accepted, Leadership, judge
from etcdmanager.peering.messages import CAPABILITY, Header, PeerInfo, View


def ours(name: str) -> PeerInfo:
    return PeerInfo(id=name, endpoints=("127.0.0.1:1",), capabilities=(CAPABILITY,))


def go(name: str) -> PeerInfo:
    return PeerInfo(id=name, endpoints=("127.0.0.1:1",))


def view(leader: PeerInfo, *, epoch: int = 0, healthy: tuple[PeerInfo, ...] = ()) -> View:
    return View(leader=leader, leadership_token=f"token-{leader.id}", healthy=healthy or (leader,), epoch=epoch)


def header(leader: str, *, epoch: int = 0, cluster: str = "etcd") -> Header:
    return Header(leadership_token=f"token-{leader}", cluster_name=cluster, epoch=epoch)


def leadership(directory: Path) -> Leadership:
    return Leadership(LocalHost(), Layout(str(directory)), cluster_name="etcd")


def test_a_newer_epoch_deposes_and_the_old_one_is_over_for_ever(tmp_path: Path) -> None:
    one = leadership(tmp_path)
    assert one.notify(view(ours("a"), epoch=3), caller="a", healthy=()).accepted
    assert one.notify(view(ours("b"), epoch=4), caller="b", healthy=()).accepted
    with pytest.raises(AccessError):
        one.authorise(header("a", epoch=3), caller="a")
    one.authorise(header("b", epoch=4), caller="b")
    again = leadership(tmp_path)
    answer = again.notify(view(ours("a"), epoch=3), caller="a", healthy=())
    assert (answer.accepted, answer.highest_epoch) == (False, 4)


def test_after_a_restart_nobody_is_obeyed_until_somebody_leads_again(tmp_path: Path) -> None:
    leadership(tmp_path).notify(view(ours("a"), epoch=3), caller="a", healthy=())
    again = leadership(tmp_path)
    with pytest.raises(AccessError):
        again.authorise(header("a", epoch=3), caller="a")
    assert again.notify(view(ours("a"), epoch=3), caller="a", healthy=()).accepted
    again.authorise(header("a", epoch=3), caller="a")


def test_a_leader_with_an_epoch_need_not_see_everybody(tmp_path: Path) -> None:
    assert leadership(tmp_path).notify(view(ours("a"), epoch=1), caller="a", healthy=(ours("a"), ours("b"))).accepted


def test_a_go_leader_that_leaves_a_healthy_peer_out_is_refused(tmp_path: Path) -> None:
    one = leadership(tmp_path)
    answer = one.notify(view(go("a")), caller="a", healthy=(go("a"), go("b")))
    assert not answer.accepted
    assert answer.healthy == (go("a"), go("b"))
    assert one.notify(view(go("a"), healthy=(go("a"), go("b"))), caller="a", healthy=(go("a"), go("b"))).accepted


def test_nobody_claims_leadership_for_another(tmp_path: Path) -> None:
    assert not leadership(tmp_path).notify(view(ours("a"), epoch=1), caller="b", healthy=()).accepted


def test_ours_lead_only_with_an_epoch(tmp_path: Path) -> None:
    assert not leadership(tmp_path).notify(view(ours("a")), caller="a", healthy=()).accepted


def test_one_epoch_has_one_leader(tmp_path: Path) -> None:
    one = leadership(tmp_path)
    one.notify(view(ours("a"), epoch=1), caller="a", healthy=())
    assert not one.notify(view(ours("b"), epoch=1), caller="b", healthy=()).accepted


def test_a_claim_without_a_leader_is_no_claim(tmp_path: Path) -> None:
    with pytest.raises(SpecError):
        leadership(tmp_path).notify(View(leader=go("a"), leadership_token="t", healthy=()), caller=None, healthy=())


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5)), max_size=20))
def test_the_epoch_never_goes_back(claims: list[tuple[str, int]]) -> None:
    accepted = Accepted()
    for leader, epoch in claims:
        if not judge(view(ours(leader), epoch=epoch), caller=leader, accepted=accepted, healthy=()):
            assert epoch >= accepted.epoch
            accepted = Accepted(leader_id=leader, token="t", epoch=epoch)


def test_an_epoch_that_could_not_be_kept_is_kept_as_soon_as_there_is_room(tmp_path: Path) -> None:
    one = leadership(tmp_path)
    tmp_path.joinpath("leadership.json").mkdir()
    with pytest.raises(AgentError):
        one.notify(view(ours("a"), epoch=3), caller="a", healthy=())
    tmp_path.joinpath("leadership.json").rmdir()
    assert one.notify(view(ours("a"), epoch=3), caller="a", healthy=()).accepted
    assert not leadership(tmp_path).notify(view(ours("b"), epoch=2), caller="b", healthy=()).accepted


def test_a_go_leader_is_refused_while_a_lower_id_is_healthy(tmp_path: Path) -> None:
    one = leadership(tmp_path)
    answer = one.notify(view(go("b"), healthy=(ours("a"), go("b"))), caller="b", healthy=(ours("a"), go("b")))
    assert not answer.accepted
    assert "a has a lower id" in answer.refusal
    assert one.notify(view(go("a"), healthy=(go("a"), ours("b"))), caller="a", healthy=(go("a"), ours("b"))).accepted
