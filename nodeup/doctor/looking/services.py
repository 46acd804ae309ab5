"""Looking at the daemons: nodeup's status, units, sockets, ports, kubelet's health, the Node object, and the journals."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator, Mapping

from agents.clock import Clock
from agents.diagnosis import Unknown, attempt
from agents.documents import as_list, as_mapping
from agents.errors import NotFoundError, VerificationError
from agents.host.protocol import FileKind, Host
from agents.host.reading import text_if_there
from nodeup.doctor.looking.reading import said
from nodeup.doctor.rules.services import OWNERS
from nodeup.doctor.view import Condition, Listener, LogLine, LogsView, ServicesView, UnitState

#: Ours, with the glob of the instances that a control plane has.
UNITS = ("kops-configuration.service", "containerd.service", "kubelet.service", "protokube.service")
INSTANCES = "etcd-manager@*"
SOCKET = "/run/containerd/containerd.sock"
#: Not all nodes have a protokube; systemd then says "not-found", which is no finding for it.
_PROPERTIES = "Id,LoadState,ActiveState,SubState,Result,NRestarts"
#: Of each journal; older lines are not what is wrong now.
LAST_LINES = 300
_LISTENER = re.compile(r"\s\S*:(\d+)\s+\S+(?:\s+users:\(\(\"([^\"]+)\",pid=(\d+))?")
_UNIT = re.compile(r"/([^/]+\.service)$", re.MULTILINE)


def look_at_services(host: Host, clock: Clock) -> ServicesView:
    """Return the view."""
    state = attempt(lambda: _nodeup(host, clock))
    nodeup = (state, state, state) if isinstance(state, Unknown) else state
    return ServicesView(
        nodeup_state=nodeup[0],
        nodeup_message=nodeup[1],
        nodeup_hint=nodeup[2],
        units=attempt(lambda: tuple(_units(host))),
        has_containerd_socket=attempt(lambda: _is_socket(host)),
        kubelet_health=attempt(lambda: _kubelet_health(host)),
        listeners=attempt(lambda: tuple(_listeners(host, said(host, ["ss", "-H", "-l", "-t", "-n", "-p"])))),
        conditions=attempt(lambda: tuple(_conditions(host))),
    )


def look_at_logs(host: Host) -> LogsView:
    """Return the last lines of our units and of the kernel in this boot."""
    return LogsView(lines=attempt(lambda: tuple(_log_lines(host))))


def _nodeup(host: Host, clock: Clock) -> tuple[str, str, str]:
    from nodeup.last_status import latest_view

    try:
        view = latest_view(host, clock)
    except NotFoundError:
        return "", "", ""
    if view.is_before_boot:
        return "has not run since the machine booted", f"before that: {view.status.message}", ""
    hints = [waiting.hint for waiting in view.status.waiting if waiting.hint]
    hint = hints[0] if hints else view.status.details.get("hint")
    return view.state, view.status.message, hint if isinstance(hint, str) else ""


def _units(host: Host) -> Iterator[UnitState]:
    shown = said(host, ["systemctl", "show", f"--property={_PROPERTIES}", *UNITS, INSTANCES])
    for block in shown.strip().split("\n\n"):
        properties = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        name = properties.get("Id", "")
        if name:
            yield _unit(host, name, properties)


def _unit(host: Host, name: str, properties: Mapping[str, str]) -> UnitState:
    restarts = properties.get("NRestarts", "0")
    active, sub = properties.get("ActiveState", "unknown"), properties.get("SubState", "unknown")
    is_well = active == "active" or properties.get("LoadState") == "not-found"
    return UnitState(
        name=name,
        load=properties.get("LoadState", "unknown"),
        active=active,
        sub=sub,
        result=properties.get("Result", "unknown"),
        restarts=int(restarts) if restarts.isdigit() else 0,
        last_line="" if is_well else _last_line(host, name),
    )


def _last_line(host: Host, unit: str) -> str:
    found = attempt(lambda: said(host, ["journalctl", "-b", "-u", unit, "-n", "1", "--no-pager", "-o", "cat"]))
    return "" if isinstance(found, Unknown) else " ".join(found.split())[:240]


def _is_socket(host: Host) -> bool:
    found = host.stat(SOCKET)
    return found is not None and found.kind is FileKind.OTHER


def _kubelet_health(host: Host) -> str:
    """Return what is wrong by kubelet's own account; "" where it says ok. It listens on the loopback only."""
    said(host, ["true"])  # a directory is no machine, and refuses: its kubelet is not the one that would answer here
    connection = http.client.HTTPConnection("127.0.0.1", 10248, timeout=3)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        body = answer.read(2000).decode(errors="replace").strip()
    except OSError as error:
        return f"no answer: {error.strerror or error}"
    except http.client.HTTPException as error:
        return f"no HTTP answer: {error}"
    finally:
        connection.close()
    return "" if answer.status == http.client.OK else f"{answer.status} {body[:200]}"


def _listeners(host: Host, table: str) -> Iterator[Listener]:
    """Yield those of our ports that somebody listens on."""
    for line in table.splitlines():
        match = _LISTENER.search(line)
        if match is not None and int(match[1]) in OWNERS:
            unit = _UNIT.search(text_if_there(host, f"/proc/{match[3]}/cgroup")) if match[3] else None
            yield Listener(port=int(match[1]), process=match[2] or "", unit=unit[1] if unit else "")


def _conditions(host: Host) -> Iterator[Condition]:
    """Yield the conditions of this machine's Node, which kubectl asks for with kubelet's own identity; only control planes have kubectl."""
    from nodeup.this_machine import hostname

    name = _node_name(host) or hostname(host)
    argv = ["kubectl", "--kubeconfig", "/var/lib/kubelet/kubeconfig", "--request-timeout=4s", "get", "node", name, "-o", "json"]
    where = f"node {name}"
    answer = said(host, argv)
    try:
        node = as_mapping(json.loads(answer), where=where)
    except ValueError as error:
        raise VerificationError(f"kubectl shows no {where} in JSON: {answer.strip()[:80]!r}") from error
    status = as_mapping(node.get("status"), where=where)
    for row in as_list(status.get("conditions"), where=where):
        fields = as_mapping(row, where=where)
        texts = [str(fields.get(key, "")) for key in ("type", "status", "reason", "message")]
        yield Condition(kind=texts[0], status=texts[1], reason=texts[2], message=texts[3])


def _node_name(host: Host) -> str:
    """Return the node's name in kubelet's own certificate ("system:node:<name>"); "" where there is none."""
    from agents.pki.keypair import load_certificate
    from nodeup.pem import certificate_in

    pem = attempt(lambda: certificate_in(host.read("/var/lib/kubelet/kubeconfig")))
    if isinstance(pem, Unknown) or pem is None:
        return ""
    subject = attempt(lambda: load_certificate(pem).subject.rfc4514_string())  # noqa: PLW0108 - reading the PEM may fail, too
    match = None if isinstance(subject, Unknown) else re.search(r"system:node:([^,]+)", subject)
    return match[1] if match else ""


def _log_lines(host: Host) -> Iterator[LogLine]:
    argv = ["journalctl", "-b", "-n", str(LAST_LINES), "--no-pager", "-o", "json", "--output-fields=MESSAGE,_SYSTEMD_UNIT"]
    for unit in ("kops-configuration", "containerd", "kubelet"):
        yield from _parsed(said(host, [*argv, "-u", unit]), unit)
    yield from _parsed(said(host, [*argv, "-k", "-p", "warning"]), "kernel")


def _parsed(lines: str, unit: str) -> Iterator[LogLine]:
    for line in lines.splitlines():
        message = json.loads(line).get("MESSAGE")
        # journald gives bytes that are no text as a list of numbers.
        if isinstance(message, str):
            yield LogLine(unit=unit, text=message)
