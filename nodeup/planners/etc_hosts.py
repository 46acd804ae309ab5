"""Names of the control plane in /etc/hosts, where there is no DNS for them."""

from __future__ import annotations

from collections.abc import Iterator

from nodeup.planners.context import PlanContext
from nodeup.resources.hosts import HostRecord, HostsBlock
from nodeup.resources.kinds import AnyResource


def plan_etc_hosts(context: PlanContext) -> Iterator[AnyResource]:
    """Plan the managed block where it has records."""
    records = host_records(context)
    if records:
        yield HostsBlock(name="control-plane-address", records=records)


def host_records(context: PlanContext) -> tuple[HostRecord, ...]:
    """Return the names and addresses of the block; protokube keeps them after nodeup has seeded them."""
    return tuple(_records(context))


def _records(context: PlanContext) -> Iterator[HostRecord]:
    addresses = context.spec.boot.api_server_addresses
    if context.is_control_plane and context.uses_none_dns:
        yield HostRecord(hostname=context.internal_name("api"), addresses=("127.0.0.1",))
        public_name = context.spec.api_server.section("API").text("publicName")
        if public_name:
            yield HostRecord(hostname=public_name, addresses=("127.0.0.1",))
    elif addresses:
        yield HostRecord(hostname=context.internal_name("api"), addresses=addresses)
        yield HostRecord(hostname=context.internal_name("kops-controller"), addresses=addresses)
    if context.has_api_server and not context.is_control_plane:
        # kops forgets "leases", to which it points the API server (Appendix D, 25 of the reference).
        for cluster in ("main", "events", *(("leases",) if _has_leases_cluster(context) else ())):
            yield HostRecord(hostname=f"{cluster}.etcd.internal.{context.cluster_name}", addresses=context.spec.boot.etcd_addresses)


def _has_leases_cluster(context: PlanContext) -> bool:
    overrides = context.spec.api_server.section("KubeAPIServer").texts("etcdServersOverrides")
    return any(override.startswith("coordination.k8s.io/leases#") for override in overrides)
