"""What `doctor --fix` may repair: what can be written again from the living cluster, never the reverse, and the data directory's mode."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from agents.diagnosis import Diagnosis, Unknown
from agents.errors import ConflictError
from agents.host.protocol import Host
from agents.stores.protocol import Store
from etcdmanager.control.commands import render_spec
from etcdmanager.control.store import CONTROL, SPEC, ControlStore
from etcdmanager.doctor.view import DoctorView, Marker
from etcdmanager.spec import ClusterSpec
from etcdmanager.told import told_cluster

_CONTROL_FILES, _PERMISSIONS = "EM021", "EM005"


def living_spec(view: DoctorView) -> ClusterSpec | None:
    """Return what the living cluster is, as a spec; None where nobody can say so now: without a quorum, or with members away. Pure."""
    report = view.store.report
    if isinstance(report, Unknown) or report.is_stale(view.now):
        return None
    told = told_cluster(report.cluster)
    versions = {member.version for member in told.serving if member.role == "voter"}
    voters = [member for member in told.members if member.role == "voter"]
    if not told.has_quorum or not voters or len(voters) != told.voters or len(versions) != 1 or "" in versions:
        return None
    return ClusterSpec(member_count=told.voters, etcd_version=versions.pop())


def repair(view: DoctorView, diagnosis: Diagnosis, *, store: Store, host: Host, now: datetime) -> Iterator[str]:
    """Repair what was found and can be; yield what was done. Errors of the store and the machine are passed on."""
    rules = {finding.rule for finding in diagnosis.findings}
    if _CONTROL_FILES in rules:
        yield from _control_files(view, store, now)
    if _PERMISSIONS in rules and not isinstance(view.node.data_dir, Unknown):
        host.set_attributes(view.node.data_dir, mode=0o700)
        yield f"closed {view.node.data_dir} to other users"


def _control_files(view: DoctorView, store: Store, now: datetime) -> Iterator[str]:
    if not isinstance(view.store.marker, Unknown) and view.store.marker is not Marker.PRESENT:
        ControlStore(store).write_created(now)
        yield "wrote control/etcd-cluster-created from the living cluster"
    spec = living_spec(view)
    if view.store.spec is None and spec is not None:
        try:
            # Never in place of one: an operator may have written it since we looked.
            store.child(CONTROL).create(SPEC, render_spec(spec))
        except ConflictError:
            return
        yield f"wrote control/etcd-cluster-spec from the living cluster: {spec.member_count} members, etcd {spec.etcd_version}"
