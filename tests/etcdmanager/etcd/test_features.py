"""What is told of each version of etcd, and how an operator's tuning survives a change of version."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.versions import Version
from etcdmanager.etcd.features import has_learners, has_native_downgrade, hash_checks, translated

V35, V36, V37 = (Version.parse(text) for text in ("3.5.30", "3.6.12", "3.7.0"))


@pytest.mark.parametrize(("version", "learners", "downgrade"), [("3.3.17", False, False), ("3.4.23", True, False), ("3.5.30", True, False)])
def test_before_3_6_no_cluster_can_be_taken_down_a_minor(version: str, learners: bool, downgrade: bool) -> None:
    assert has_learners(Version.parse(version)) is learners
    assert has_native_downgrade(Version.parse(version)) is downgrade


@pytest.mark.parametrize("version", [V36, V37])
def test_from_3_6_on_a_cluster_can(version: Version) -> None:
    assert has_native_downgrade(version)


def test_compactions_are_compared_by_etcd_itself_only_where_that_raises_no_false_alarm() -> None:
    assert "ETCD_EXPERIMENTAL_COMPACT_HASH_CHECK_ENABLED" not in hash_checks(V35, {})
    assert "CompactHashCheck=true" in hash_checks(V36, {})["ETCD_FEATURE_GATES"]


@pytest.mark.parametrize("version", [V36, V37])
def test_experimental_switches_become_feature_gates(version: Version) -> None:
    found = translated({"ETCD_EXPERIMENTAL_STOP_GRPC_SERVICE_ON_DEFRAG": "true", "ETCD_FEATURE_GATES": "X=true"}, version)
    assert found == {"ETCD_FEATURE_GATES": "StopGRPCServiceOnDefrag=true,X=true"}


def test_tuning_is_renamed_in_both_directions() -> None:
    old, new = {"ETCD_EXPERIMENTAL_COMPACTION_BATCH_LIMIT": "100"}, {"ETCD_COMPACTION_BATCH_LIMIT": "100"}
    assert translated(old, V37) == new
    assert translated(new, V35) == old


def test_a_gate_goes_back_to_its_experimental_name() -> None:
    assert translated({"ETCD_FEATURE_GATES": "CompactHashCheck=true,New=true"}, V35) == {
        "ETCD_EXPERIMENTAL_COMPACT_HASH_CHECK_ENABLED": "true"
    }


def test_the_v2_api_is_not_asked_of_versions_without_it() -> None:
    assert translated({"ETCD_ENABLE_V2": "true", "ETCD_SNAPSHOT_COUNT": "5"}, V36) == {"ETCD_SNAPSHOT_COUNT": "5"}
    assert "ETCD_ENABLE_V2" in translated({"ETCD_ENABLE_V2": "true"}, V35)


names = st.sampled_from(
    [
        "ETCD_SNAPSHOT_COUNT",
        "ETCD_EXPERIMENTAL_COMPACTION_BATCH_LIMIT",
        "ETCD_EXPERIMENTAL_INITIAL_CORRUPT_CHECK",
        "ETCD_QUOTA_BACKEND_BYTES",
        "ETCD_EXPERIMENTAL_MEMORY_MLOCK",
    ]
)


@given(st.dictionaries(names, st.sampled_from(["true", "false"])))
def test_there_and_back_is_where_it_began(inherited: dict[str, str]) -> None:
    assert translated(translated(inherited, V36), V35) == inherited
