"""Rules about daemons: these are mostly symptoms, and come after the causes. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from agents.diagnosis import Found, Observed, Unknown, critical, warning
from nodeup.doctor.view import NodeView, UnitState

#: Port, who must have it, as the start of its process' name.
OWNERS = {3987: "nodeup", 10248: "kubelet", 10250: "kubelet"}
#: systemd's own limit for "start request repeated too quickly" is 5 in 10 s; kubelet is restarted every 2 s.
MANY_RESTARTS = 5


def nodeup_did_not_end_well(view: NodeView) -> Iterator[Found]:
    """Nodeup failed, died, waits, or never ran."""
    state, message, hint = view.services.nodeup_state, view.services.nodeup_message, view.services.nodeup_hint
    if isinstance(state, Unknown) or state in {"done", "running", "starting"}:
        return
    if not state:
        yield critical("nodeup has never run on this machine", evidence="no status", fix="systemctl status kops-configuration")
        return
    evidence = message if isinstance(message, str) else state
    fix = hint if isinstance(hint, str) and hint else "nodeup status; journalctl -u kops-configuration -n 100"
    if state == "waiting":
        yield warning("nodeup waits", evidence=evidence, fix=fix)
    else:
        yield critical(f"nodeup {state}", evidence=evidence, fix=fix)


def foreign_port(view: NodeView) -> Iterator[Found]:
    """One of our ports is somebody else's."""
    listeners = view.services.listeners
    if isinstance(listeners, Unknown):
        return
    for one in listeners:
        owner = OWNERS.get(one.port)
        if owner is not None and one.process and not one.process.startswith(owner) and one.unit != f"{owner}.service":
            yield critical(
                f"port {one.port}, which is {owner}'s, is taken by {one.process}",
                evidence=f"ss -ltnp: {one.port} {one.process}",
                fix=f"ss -ltnp sport = :{one.port}; stop that process",
            )


def unit_down(view: NodeView) -> Iterator[Found]:
    """A unit of ours failed, or keeps being restarted."""
    for unit in _units(view.services.units):
        evidence = unit.last_line or f"systemctl: {unit.active}/{unit.sub}, result {unit.result}"
        fix = f"journalctl -u {unit.name} -n 100"
        if unit.active == "failed":
            yield critical(f"{unit.name} failed ({unit.result})", evidence=evidence, fix=fix)
        elif unit.sub == "auto-restart" or unit.restarts >= MANY_RESTARTS:
            yield critical(f"{unit.name} was restarted {unit.restarts} times and does not stay up", evidence=evidence, fix=fix)


def unit_missing(view: NodeView) -> Iterator[Found]:
    """A daemon without which there is no node does not run."""
    for unit in _units(view.services.units):
        if unit.name not in {"containerd.service", "kubelet.service"} or unit.active not in {"inactive", "unknown"}:
            continue
        where = "is not installed" if unit.load == "not-found" else "does not run"
        yield critical(
            f"{unit.name} {where}", evidence=f"systemctl: {unit.load}, {unit.active}/{unit.sub}", fix="nodeup plan; nodeup apply"
        )


def no_containerd_socket(view: NodeView) -> Iterator[Found]:
    """Containerd does not listen."""
    if view.services.has_containerd_socket is False:
        yield critical(
            "containerd's socket does not exist: kubelet can start nothing",
            evidence="/run/containerd/containerd.sock",
            fix="systemctl status containerd; journalctl -u containerd -n 100",
        )


def kubelet_unhealthy(view: NodeView) -> Iterator[Found]:
    """Kubelet is not healthy by its own account."""
    problem = view.services.kubelet_health
    if not isinstance(problem, Unknown) and problem:
        yield critical("kubelet is not healthy", evidence=f"http://127.0.0.1:10248/healthz: {problem}", fix="journalctl -u kubelet -n 100")


def node_not_ready(view: NodeView) -> Iterator[Found]:
    """The Node object says why it is not ready."""
    conditions = view.services.conditions
    if isinstance(conditions, Unknown):
        return
    for one in conditions:
        if (one.kind == "Ready") == (one.status != "True"):
            severity = critical if one.kind == "Ready" else warning
            evidence = f"{one.kind}={one.status} {one.reason}: {one.message}"
            yield severity(f"the Node says {one.kind}={one.status}", evidence=evidence, fix="kubectl describe node $(hostname)")


def _units(units: Observed[tuple[UnitState, ...]]) -> tuple[UnitState, ...]:
    return () if isinstance(units, Unknown) else units
