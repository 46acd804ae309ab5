"""Rules about names, routes and servers, the cloud's metadata and the registry. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from agents.diagnosis import Found, Observed, Unknown, critical, warning
from nodeup.doctor.view import Endpoint, NodeView

#: kops' address for names whose owner has not published its own yet (TEST-NET-3).
PLACEHOLDER = "203.0.113.123"
_DNS_FIX = "on the control plane: kubectl -n kube-system logs deploy/dns-controller; is the control plane up?"
_LOCAL_FIX = "it runs on this machine: crictl ps -a --name kube-apiserver; nodeup doctor's other findings say why kubelet does not start it"
_REMOTE_FIX = "security groups and firewalls between this node and the control plane; is it up?"


def no_default_route(view: NodeView) -> Iterator[Found]:
    """There is no way out."""
    if view.network.has_default_route is False:
        yield critical(
            "there is no default route",
            evidence="/proc/net/route and /proc/net/ipv6_route have no default",
            fix="ip route; networkctl status, and the network's configuration in the cloud",
        )


def placeholder(view: NodeView) -> Iterator[Found]:
    """A name has only kops' placeholder."""
    names = view.network.names
    if not isinstance(names, Unknown):
        for one in names:
            if PLACEHOLDER in one.addresses:
                yield critical(
                    f"{one.name} has the placeholder {PLACEHOLDER}: the control plane has not published its address yet",
                    evidence=f"the resolver says {one.name} is {', '.join(one.addresses)}",
                    fix=_DNS_FIX,
                )
    in_hosts = view.network.placeholders_in_hosts
    if not isinstance(in_hosts, Unknown) and in_hosts:
        yield critical(
            f"/etc/hosts has the placeholder for {', '.join(in_hosts)}",
            evidence=f"/etc/hosts: {PLACEHOLDER} {' '.join(in_hosts)}",
            fix="systemctl status protokube, which keeps that block; `nodeup apply` writes it anew",
        )


def unresolved(view: NodeView) -> Iterator[Found]:
    """A name has no address."""
    names = view.network.names
    if isinstance(names, Unknown):
        return
    for one in names:
        if not one.addresses:
            yield critical(
                f"{one.name} does not resolve",
                evidence=f"neither DNS nor /etc/hosts knows {one.name}",
                fix=f"getent hosts {one.name}; resolvectl status; {_DNS_FIX}",
            )


def unreachable(view: NodeView) -> Iterator[Found]:
    """A server of the cluster cannot be reached."""
    for one in _problems(view.network.endpoints):
        yield critical(
            f"{one.purpose} cannot be reached at {one.address}",
            evidence=one.problem,
            fix=_LOCAL_FIX if "//127.0.0.1" in one.address else _REMOTE_FIX,
        )


def no_metadata(view: NodeView) -> Iterator[Found]:
    """The metadata service does not answer."""
    identity, cloud = view.cloud.identity, view.cloud.cloud
    if isinstance(identity, Unknown) and identity.reason and not isinstance(cloud, Unknown):
        yield critical(
            f"the metadata service of {cloud} does not answer: this node cannot prove who it is",
            evidence=identity.reason,
            fix="ip route get 169.254.169.254; on AWS the hop limit and IMDS settings of the instance",
        )


def another_machine(view: NodeView) -> Iterator[Found]:
    """The disk is a copy of another machine's."""
    now, then = view.cloud.identity, view.cloud.remembered_identity
    if isinstance(now, Unknown) or isinstance(then, Unknown) or not now or not then or now == then:
        return
    yield warning(
        f"this disk was {then}'s, and this machine is {now}: an image was made of a node that had joined",
        evidence=f"network-facts.json says {then}, the metadata service {now}",
        fix="nodeup apply asks for this machine's own certificates; make images of machines that have not joined",
    )


def no_registry(view: NodeView) -> Iterator[Found]:
    """The sandbox image cannot be fetched, so no pod starts unless it is there already."""
    for one in _problems(view.registry.endpoints):
        yield warning(
            f"{one.purpose} cannot be reached at {one.address}: no pod starts unless the image is there",
            evidence=one.problem,
            fix="egress rules, proxy and mirrors (/etc/containerd/certs.d); `crictl images` shows what is there",
        )


def _problems(endpoints: Observed[tuple[Endpoint, ...]]) -> Iterator[Endpoint]:
    if not isinstance(endpoints, Unknown):
        yield from (one for one in endpoints if one.problem)
