"""Quorum arithmetic."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from etcdmanager.quorum import quorum, survives_removal, survives_restart, tolerates

counts = st.integers(1, 50)


@given(counts)
def test_two_quorums_always_share_a_voter(voters: int) -> None:
    assert 2 * quorum(voters) > voters


@given(counts)
def test_a_quorum_can_lose_what_is_tolerated_and_not_one_more(voters: int) -> None:
    assert voters - tolerates(voters) >= quorum(voters)
    assert voters - tolerates(voters) - 1 < quorum(voters)


def test_the_even_member_adds_no_tolerance() -> None:
    assert [tolerates(n) for n in (1, 2, 3, 4, 5)] == [0, 0, 1, 1, 2]


@given(st.integers(0, 9), st.integers(0, 9), st.booleans())
def test_a_survived_removal_leaves_a_healthy_quorum(voters: int, healthy: int, removes: bool) -> None:
    if healthy <= voters and survives_removal(voters=voters, healthy=healthy, removes_healthy=removes):
        assert healthy >= quorum(voters)
        assert healthy - removes >= quorum(voters - 1)


def test_one_or_two_voters_cannot_afford_a_restart() -> None:
    assert not survives_restart(voters=1, healthy=1, restarts_healthy=True)
    assert not survives_restart(voters=2, healthy=2, restarts_healthy=True)
    assert survives_restart(voters=3, healthy=3, restarts_healthy=True)
