"""Looking at this control-plane node: volume, disk, state, certificates, programs, service, clock, and etcd's own metrics."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import TypeVar

from agents.diagnosis import NOT_LOOKED_AT, Observed, Unknown, attempt
from agents.errors import AgentError, NotFoundError, TransientError
from agents.host.protocol import FileKind, Host
from agents.status import read_status, status_path
from etcdmanager.doctor.looking.certificates import look_at_certificates, places
from etcdmanager.doctor.looking.etcd_metrics import disk_speed, fetch_metrics
from etcdmanager.doctor.view import Filesystem, NodeSeen, StatusSeen, UnitSeen, VolumeProblem
from etcdmanager.identity import Identity, identify
from etcdmanager.member.binaries import BinaryShelf
from etcdmanager.member.layout import Layout
from etcdmanager.member.state import DamagedState, KeptState, NoState, StateFile, StoredState
from etcdmanager.spec import ManagerConfig, agent_name, host_name

_WITHIN = timedelta(seconds=5)
_MYID = "myid"
Value = TypeVar("Value")
After = TypeVar("After")


def look_at_node(host: Host, config: ManagerConfig, etcd: str, *, now: Callable[[], datetime]) -> NodeSeen:
    """Return the view of the machine that `config` is of; nothing is written."""
    identity = attempt(lambda: _identity(config, host))
    volume: Observed[VolumeProblem | None]
    known: Observed[Identity]
    if isinstance(identity, VolumeProblem):
        # Whatever else is asked of the data would only say the same.
        volume, known = identity, Unknown("")
    else:
        volume, known = (identity if isinstance(identity, Unknown) else None), identity
    stored = _then(known, lambda one: StateFile(host, Layout(one.data_dir)).read())
    shelf = attempt(lambda: look_at_certificates(host, places(config, None if isinstance(known, Unknown) else known, _tokens(stored))))
    return NodeSeen(
        volume=volume,
        filesystem=_then(known, lambda one: _filesystem(host, one.data_dir)),
        data_dir=_then(known, lambda one: one.data_dir),
        data_mode=_then(known, lambda one: _mode(host, one.data_dir)),
        state=_then(stored, lambda one: one.reason if isinstance(one, DamagedState) else ""),
        certificates=_then(shelf, lambda one: one.certificates),
        damaged_certificates=_then(shelf, lambda one: one.damaged),
        etcds=attempt(lambda: tuple(str(found.version) for found in BinaryShelf(host, config.binaries).all())),
        unit=attempt(lambda: _unit(host, etcd)),
        status=attempt(lambda: _status(host, config)),
        stale_hosts=attempt(lambda: _stale_hosts(host, config)) if config.dns_suffix else NOT_LOOKED_AT,
        is_synchronized=attempt(lambda: _is_synchronized(host)),
        speed=_then(known, lambda one: disk_speed(fetch_metrics(config, one, now()))),
    )


def _then(found: Observed[Value], look: Callable[[Value], After]) -> Observed[After]:
    """Return what follows from something seen; an Unknown is told once, where it arose."""
    return Unknown("") if isinstance(found, Unknown) else attempt(lambda: look(found))


def _identity(config: ManagerConfig, host: Host) -> Identity | VolumeProblem:
    """Return who we are without making anything: a data directory without an id is not given one here."""
    try:
        if not config.peer_id and not config.volume_file:
            host.read(f"{config.data_dir.rstrip('/')}/{_MYID}")
        return identify(config, host)
    except AgentError as error:
        hint = error.hint or ("protokube status; protokube doctor" if isinstance(error, NotFoundError | TransientError) else "")
        return VolumeProblem(code=error.code, text=str(error), hint=hint)


def _tokens(stored: Observed[StoredState]) -> tuple[str, ...]:
    """Return the token of the present cluster; certificates of former ones are of no use."""
    match stored:
        case KeptState(state=state) if state.cluster is not None:
            return (state.cluster.token,)
        case KeptState() | NoState() | DamagedState() | Unknown():
            return ()


def _mode(host: Host, path: str) -> int:
    found = host.stat(path)
    if found is None or found.kind is not FileKind.DIRECTORY:
        raise NotFoundError(f"{path} is no directory")
    return found.mode


def _filesystem(host: Host, path: str) -> Filesystem:
    local = host.local_path(path)
    found = os.statvfs(local)
    mount_point, device = _mount_of(host, os.path.realpath(local))
    return Filesystem(
        mount_point=mount_point,
        device=device,
        read_only=bool(found.f_flag & os.ST_RDONLY),
        size_bytes=found.f_blocks * found.f_frsize,
        free_bytes=found.f_bavail * found.f_frsize,
        inodes=found.f_files,
        free_inodes=found.f_favail,
    )


def _mount_of(host: Host, path: str) -> tuple[str, str]:
    """Return the mount point and the device of the file system that holds `path`, as /proc/mounts has them."""
    best = ("/", "")
    for line in host.read("/proc/mounts").decode(errors="replace").splitlines():
        parts = line.split()
        if len(parts) < 3:
            continue
        point = parts[1].replace("\\040", " ")
        if (path == point or path.startswith(point.rstrip("/") + "/")) and len(point) >= len(best[0]):
            best = (point, parts[0])
    return best


def _unit(host: Host, etcd: str) -> UnitSeen:
    argv = ["systemctl", "show", f"etcd-manager@{etcd}.service", "--property=LoadState,ActiveState,SubState,NRestarts"]
    result = host.run(argv, timeout=_WITHIN)
    said = dict(line.split("=", 1) for line in result.stdout.splitlines() if "=" in line)
    if not result.ok or said.get("LoadState") != "loaded":
        raise NotFoundError(f"systemd knows no etcd-manager@{etcd}.service: {(result.stderr or said.get('LoadState', '')).strip()}")
    return UnitSeen(active=said.get("ActiveState", ""), sub=said.get("SubState", ""), restarts=int(said.get("NRestarts", "0") or 0))


def _status(host: Host, config: ManagerConfig) -> StatusSeen | None:
    try:
        status = read_status(host, config.status_file or status_path(agent_name(config.cluster_name)))
    except NotFoundError:
        return None
    member = status.details.get("member")
    rows = member if isinstance(member, dict) else {}
    restarts = rows.get("restarts")
    return StatusSeen(
        updated=status.updated,
        state=status.state,
        message="; ".join([status.message, *(waiting.reason for waiting in status.waiting)]),
        restarts=restarts if isinstance(restarts, int) else 0,
        last_exit=str(rows.get("lastExit") or ""),
    )


def _stale_hosts(host: Host, config: ManagerConfig) -> tuple[str, ...]:
    """Return which members' names /etc/hosts has otherwise than where their managers answer, by this node's manager."""
    status = read_status(host, config.status_file or status_path(agent_name(config.cluster_name)))
    expected: dict[str, set[str]] = {}
    peers = status.details.get("peers")
    for row in peers if isinstance(peers, list) else []:
        if isinstance(row, dict) and row.get("healthy") is True and isinstance(row.get("endpoints"), list):
            addresses = {str(one).rpartition(":")[0].strip("[]") for one in row["endpoints"]}
            expected[host_name(str(row.get("id", "")), config.dns_suffix)] = {one for one in addresses if _is_address(one)}
    return stale_names(host.read("/etc/hosts").decode(errors="replace"), expected)


def stale_names(hosts: str, expected: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    """Return a sentence for each name that a hosts file does not lead to an expected address, where any is expected. Pure."""
    found: dict[str, set[str]] = {}
    for line in hosts.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        for name in names:
            found.setdefault(name, set()).add(address)
    return tuple(
        f"{name}: has {', '.join(sorted(found.get(name, ()))) or 'nothing'}, answers at {', '.join(sorted(addresses))}"
        for name, addresses in sorted(expected.items())
        if addresses and not found.get(name, set()) & set(addresses)
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_synchronized(host: Host) -> bool:
    result = host.run(["timedatectl", "show", "--property=NTPSynchronized", "--value"], timeout=_WITHIN)
    if not result.ok:
        raise TransientError(f"timedatectl exited with {result.exit_code}: {result.stderr.strip()[:160]}")
    return result.stdout.strip() != "no"
