"""Which etcd version the members should run. Changing it is not done yet (issue 4): a difference is only told."""

from __future__ import annotations

from etcdmanager.leader.actions import Answer, Remark
from etcdmanager.leader.rules.lifecycle import peers_without_version
from etcdmanager.leader.view import Running


def report_missing_binaries(view: Running) -> Answer:
    """Tell of members that could not be moved to the wanted version, because its binaries are not there."""
    spec = view.seen.spec
    if spec is None:
        return None
    lacking = peers_without_version(view.peers, spec.etcd_version)
    if not lacking:
        return None
    return Remark(code="unknown-etcd-version", reason=f"etcd {spec.etcd_version} is not installed on {', '.join(lacking)}")


def report_version_difference(view: Running) -> Answer:
    """Tell of members that run another version than the spec asks for."""
    spec = view.seen.spec
    if spec is None:
        return None
    others = [f"{p.id} {p.etcd_version}" for p in view.peers if p.etcd_version != spec.etcd_version]
    if not others:
        return None
    return Remark(
        code="version-differs",
        reason=f"the spec asks for etcd {spec.etcd_version}: {', '.join(others)}",
        hint="version changes are not made by this release",
    )
