"""What each version of etcd can do, and by which names: the one table that version changes and command lines are made from. Pure.

Sources: etcd's upgrade and downgrade guides and changelogs for 3.4 to 3.7; the help texts and the behaviour of 3.4.23, 3.5.0, 3.5.1,
3.5.16 and 3.5.30 were looked at. Nothing of 3.6 and 3.7 was tried here.

    version   learners   hash check at start              compaction's hash check            downgrade by one minor
    3.3       no         --experimental-initial-…         –                                  no
    3.4       yes        --experimental-initial-…         –                                  no
    3.5       yes        --experimental-initial-…         (the operator's choice)           no: its API hangs, see below
    3.6       yes        InitialCorruptCheck (gate)       CompactHashCheck (gate)            yes
    3.7       yes        the gates only; --experimental-* are gone                           yes
"""

from __future__ import annotations

from collections.abc import Mapping

from agents.versions import Version

#: Members that were removed long ago come back as "zombies" under 3.6 unless 3.5.26 or later ran first (etcd blog, December 2025);
#: 3.5.20 is what learners that were promoted need, and is implied.
LAST_BEFORE_3_6 = Version(major=3, minor=5, patch=26)

#: Options that 3.6 made feature gates; 3.7 knows nothing else.
_GATES: Mapping[str, str] = {
    "ETCD_EXPERIMENTAL_COMPACT_HASH_CHECK_ENABLED": "CompactHashCheck",
    "ETCD_EXPERIMENTAL_ENABLE_LEASE_CHECKPOINT": "LeaseCheckpoint",
    "ETCD_EXPERIMENTAL_ENABLE_LEASE_CHECKPOINT_PERSIST": "LeaseCheckpointPersist",
    "ETCD_EXPERIMENTAL_INITIAL_CORRUPT_CHECK": "InitialCorruptCheck",
    "ETCD_EXPERIMENTAL_STOP_GRPC_SERVICE_ON_DEFRAG": "StopGRPCServiceOnDefrag",
    "ETCD_EXPERIMENTAL_TXN_MODE_WRITE_WITH_SHARED_BUFFER": "TxnModeWriteWithSharedBuffer",
}
#: Options that lost their "experimental" in 3.6 and kept their meaning.
_RENAMED = (
    "BOOTSTRAP_DEFRAG_THRESHOLD_MEGABYTES",
    "COMPACTION_BATCH_LIMIT",
    "COMPACTION_SLEEP_INTERVAL",
    "COMPACT_HASH_CHECK_TIME",
    "CORRUPT_CHECK_TIME",
    "DISTRIBUTED_TRACING_ADDRESS",
    "DISTRIBUTED_TRACING_SAMPLING_RATE",
    "DISTRIBUTED_TRACING_SERVICE_NAME",
    "DOWNGRADE_CHECK_TIME",
    "ENABLE_DISTRIBUTED_TRACING",
    "MAX_LEARNERS",
    "MEMORY_MLOCK",
    "PEER_SKIP_CLIENT_SAN_VERIFICATION",
    "SNAPSHOT_CATCHUP_ENTRIES",
    "WARNING_APPLY_DURATION",
    "WARNING_UNARY_REQUEST_DURATION",
    "WATCH_PROGRESS_NOTIFY_INTERVAL",
)
#: Options of the v2 API and of the proxy; 3.6 does not start with their flags. Their variables it only warns of, which hides a typo.
_GONE_IN_3_6 = frozenset({"ETCD_ENABLE_V2", "ETCD_EXPERIMENTAL_ENABLE_V2V3", "ETCD_V2_DEPRECATION", "ETCD_PROXY"})
_FEATURE_GATES = "ETCD_FEATURE_GATES"
_EXPERIMENTAL = "ETCD_EXPERIMENTAL_"


def has_learners(version: Version) -> bool:
    """Return whether a member can be added without a vote."""
    return version.at_least(3, 4)


def has_native_downgrade(cluster: Version) -> bool:
    """Return whether a cluster of this version can be taken down by one minor while it serves.

    3.5 has the RPC, and must never be asked: enabling does not return (seen with 3.5.16), leaves a "downgrade job in progress" that
    cancelling does not end either, and a 3.4 still refuses to start ("invalid downgrade; server version is lower").
    """
    return cluster.at_least(3, 6)


def next_minor(version: Version) -> tuple[int, int]:
    """Return the minor line after this one: etcd is never taken over two at once."""
    return (version.major, version.minor + 1)


def line(version: Version) -> tuple[int, int]:
    """Return the minor line of a version."""
    return (version.major, version.minor)


def hash_checks(version: Version, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that switch etcd's own hash checks on, by the names that `version` knows; what the operator set stays.

    The check of compactions raises the alarm CORRUPT, which stops all writes. Before 3.5.16 a compaction at a tombstone deletes it, from
    there on it is kept: hashes of a compaction during a rolling change of version may differ although the data does not. So it is used
    from 3.6 on, which is reached from 3.5.26 or later only; below, the leader's own comparison (rules/maintenance_hashes.py) tells.
    """
    if version.at_least(3, 6):
        said = inherited.get(_FEATURE_GATES, "")
        wanted = [f"{gate}=true" for gate in ("InitialCorruptCheck", "CompactHashCheck") if f"{gate}=" not in said]
        return {_FEATURE_GATES: ",".join(part for part in (*wanted, said) if part)} if wanted else {}
    name, value = ("ETCD_EXPERIMENTAL_INITIAL_CORRUPT_CHECK", "true") if version.at_least(3, 4) else ("ETCD_ENABLE_V2", "false")
    return {} if name in inherited else {name: value}


def translated(inherited: Mapping[str, str], version: Version) -> dict[str, str]:
    """Return the operator's variables under the names that `version` knows, so that tuning survives a change of version.

    From 3.6 on the experimental names are not used any more (3.7 does not know them), before 3.6 only they are. A variable that is
    there under both names keeps the value of the name that `version` knows.
    """
    if version.at_least(3, 6):
        return _for_gates(inherited)
    return _for_experimental(inherited)


def _for_gates(inherited: Mapping[str, str]) -> dict[str, str]:
    kept: dict[str, str] = {}
    gates: dict[str, str] = {}
    for name, value in inherited.items():
        if name in _GONE_IN_3_6:
            continue
        short = name.removeprefix(_EXPERIMENTAL)
        if name in _GATES:
            gates[_GATES[name]] = value
        elif short != name and short in _RENAMED:
            kept.setdefault(f"ETCD_{short}", inherited.get(f"ETCD_{short}", value))
        else:
            kept[name] = value
    said = inherited.get(_FEATURE_GATES, "")
    found = [f"{gate}={value}" for gate, value in sorted(gates.items()) if f"{gate}=" not in said]
    if found:
        kept[_FEATURE_GATES] = ",".join(part for part in (*found, said) if part)
    return kept


def _for_experimental(inherited: Mapping[str, str]) -> dict[str, str]:
    kept: dict[str, str] = {}
    for name, value in inherited.items():
        if name == _FEATURE_GATES:
            said = dict(part.partition("=")[::2] for part in value.split(",") if "=" in part)
            for old, gate in _GATES.items():
                if gate in said:
                    kept[old] = inherited.get(old, said[gate])
        elif name.removeprefix("ETCD_") in _RENAMED:
            old = _EXPERIMENTAL + name.removeprefix("ETCD_")
            kept[old] = inherited.get(old, value)
        else:
            kept[name] = value
    return kept
