"""Whether a restore may be asked for at all: the safety rules, as a pure function over what was found out.

    S2  the backup must be proven good                     no override: choose another one
    S3  a healthy quorum has newer data, or may have       --discard-newer
    S7  the last restore is less than ten minutes old      --again
    S8  the backup is of another cluster                   --clone
    S9  the cluster's etcd version cannot open it          no override: restore with a fitting spec
    S10 room on disk                                       found out where the room is needed, on the members

S2 is no rule here: a backup that is not proven cannot be made into the value that this function takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from agents.versions import Version
from etcdmanager.backups.tool import can_open
from etcdmanager.backups.verify import Verified
from etcdmanager.control.commands import LeaderReport, Receipt
from etcdmanager.spec import ClusterSpec

#: k3s refuses an accidental second reset in the same manner.
AGAIN_AFTER = timedelta(minutes=10)
#: A leader reports every few seconds; what is older says nothing about now.
FRESH = timedelta(seconds=90)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the operator asked for."""

    cluster: str
    #: The manager's name of the etcd cluster ("etcd"), "" where it is not known.
    etcd_cluster: str
    discard_newer: bool = False
    again: bool = False
    clone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A rule that forbids it, and what overrides the rule ("" for nothing)."""

    code: str
    reason: str
    override: str = ""


def refusals(
    wish: Wish, verified: Verified, *, spec: ClusterSpec, live: LeaderReport | None, last: Receipt | None, now: datetime
) -> tuple[Refusal, ...]:
    """Return every rule that forbids the restore, in the rules' order; none means that it may be asked for.

    `live` is the leader's last report, None where there is none; `last` the receipt of the newest restore.
    """
    found = (
        _newer_data(wish, verified, live, now),
        _too_soon(wish, last, now),
        _foreign(wish, verified),
        _version(verified, spec),
    )
    return tuple(refusal for refusal in found if refusal is not None)


def lives(live: LeaderReport | None, now: datetime) -> bool:
    """Return whether a healthy quorum is known to serve right now."""
    return live is not None and live.has_quorum and now - live.reported_at < FRESH


def _newer_data(wish: Wish, verified: Verified, live: LeaderReport | None, now: datetime) -> Refusal | None:
    """Refuse while a quorum serves, unless its report is younger than the backup and shows nothing newer."""
    if wish.discard_newer or live is None or not lives(live, now):
        return None
    newer = live.revision - verified.contents.revision
    if newer > 0:
        reason = f"the cluster is healthy, and its last {newer} revisions are not in the backup"
    elif live.reported_at <= verified.taken_at:
        reason = "the cluster is healthy, and what was written since the backup is not known yet"
    else:
        return None
    return Refusal(code="S3-newer-data", reason=reason, override="--discard-newer")


def _too_soon(wish: Wish, last: Receipt | None, now: datetime) -> Refusal | None:
    if wish.again or last is None or now - last.finished_at >= AGAIN_AFTER:
        return None
    return Refusal(
        code="S7-restored-recently",
        reason=f"{last.backup} was restored {int((now - last.finished_at).total_seconds())} s ago",
        override="--again",
    )


def _foreign(wish: Wish, verified: Verified) -> Refusal | None:
    manifest = verified.manifest
    if wish.clone or manifest is None:
        return None
    pairs = ((manifest.cluster, wish.cluster), (manifest.etcd_cluster, wish.etcd_cluster))
    if all(not theirs or not ours or theirs == ours for theirs, ours in pairs):
        return None
    return Refusal(
        code="S8-other-cluster",
        reason=f"the backup is of {manifest.cluster or '?'} / {manifest.etcd_cluster or '?'}, not of {wish.cluster} / {wish.etcd_cluster}",
        override="--clone",
    )


def _version(verified: Verified, spec: ClusterSpec) -> Refusal | None:
    written_by, run_as = Version.parse(verified.server_version), Version.parse(spec.etcd_version)
    if can_open(written_by, run_as=run_as):
        return None
    return Refusal(code="S9-etcd-version", reason=f"etcd {run_as}, which the cluster is to run, cannot open a backup of etcd {written_by}")
