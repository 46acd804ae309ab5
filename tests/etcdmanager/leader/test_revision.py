"""How far a restore raises the revision."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from etcdmanager.leader.revision import BUMP, bump_above


def test_a_first_restore_raises_by_a_billion() -> None:
    assert bump_above(2_006) == BUMP


def test_restoring_the_same_backup_again_is_above_what_was_written_meanwhile() -> None:
    assert bump_above(BUMP + 2_006) == 2 * BUMP


@given(st.integers(min_value=0, max_value=2**62))
def test_the_revision_never_comes_near_what_clients_saw(highest: int) -> None:
    assert highest + BUMP // 2 < bump_above(highest) <= highest + 2 * BUMP
