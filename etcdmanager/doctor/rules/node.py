"""Rules about this control-plane node: its volume, disk, certificates, programs, service and clock. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from agents.diagnosis import Found, Unknown, critical, warning
from agents.durations import format_age
from agents.errors import SpecError
from agents.timestamps import format_timestamp
from agents.versions import Version
from etcdmanager.commands.figures import size_text
from etcdmanager.doctor.view import CertificateSeen, DoctorView
from etcdmanager.told import told_cluster

#: Below it etcd's database, a snapshot of it and a restore beside it have no room (S10 asks for 2.5 times the database).
_ROOM_FOR = 2.5
_FREE_SHARE = 0.1
_FREE_INODES = 0.05
#: The status file is written every ten seconds.
_STATUS_AGE = timedelta(seconds=60)
#: etcd's documentation, "Hardware recommendations": 99 of 100 fsyncs below 10 ms, commits of the backend below 25 ms.
_FSYNC = 0.010
_COMMIT = 0.025
#: A leaf is renewed at a third of its life before its end; a month before it, that has failed for long.
_LEAF_ENDS = timedelta(days=30)
#: Replacing a CA takes three rolling updates.
_AUTHORITY_ENDS = timedelta(days=180)


def volume(view: DoctorView) -> Iterator[Found]:
    """The data is not where it should be."""
    problem = view.node.volume
    if not isinstance(problem, Unknown) and problem is not None:
        yield critical(
            "etcd's volume is not ready on this node",
            evidence=f"{problem.text} ({problem.code})",
            fix=problem.hint or "protokube status; protokube doctor",
        )


def read_only(view: DoctorView) -> Iterator[Found]:
    """The file system is mounted read-only."""
    found = view.node.filesystem
    if not isinstance(found, Unknown) and found.read_only:
        yield critical(
            f"{found.mount_point} is mounted read-only: the kernel found errors, or the mount says so",
            evidence=f"{found.device} on {found.mount_point}",
            fix="dmesg | grep -i ext4; replace the volume, etcd copies the data again",
        )


def full(view: DoctorView) -> Iterator[Found]:
    """There is little room."""
    found = view.node.filesystem
    if isinstance(found, Unknown) or not found.size_bytes:
        return
    report = view.store.report
    members = () if isinstance(report, Unknown) else told_cluster(report.cluster).members
    wanted = _ROOM_FOR * max((m.db_size_bytes for m in members), default=0)
    share = found.free_bytes / found.size_bytes
    if share < _FREE_SHARE or found.free_bytes < wanted:
        say = critical if share < _FREE_SHARE / 2 else warning
        yield say(
            f"{found.mount_point} has {size_text(found.free_bytes)} free ({share:.0%})",
            evidence=f"of {size_text(found.size_bytes)}; a restore beside the live data needs {size_text(int(wanted))}",
            fix="data-trashcan/ holds what restores replaced; or grow the volume, protokube grows the file system",
        )


def out_of_inodes(view: DoctorView) -> Iterator[Found]:
    """There are few inodes."""
    found = view.node.filesystem
    if not isinstance(found, Unknown) and found.inodes and found.free_inodes < found.inodes * _FREE_INODES:
        yield critical(
            f"{found.mount_point} has {found.free_inodes} inodes left",
            evidence=f"of {found.inodes}",
            fix="find what makes so many files there",
        )


def permissions(view: DoctorView) -> Iterator[Found]:
    """Others can read etcd's data, which holds every Secret."""
    mode, where = view.node.data_mode, view.node.data_dir
    if not isinstance(mode, Unknown) and not isinstance(where, Unknown) and mode & 0o077:
        yield warning(
            f"{where} is open to others: etcd's data holds every Secret",
            evidence=f"mode {mode:04o}",
            fix="etcd-manager doctor --fix, or chmod 0700",
        )


def state(view: DoctorView) -> Iterator[Found]:
    """The member's state cannot be used."""
    problem = view.node.state
    if not isinstance(problem, Unknown) and problem:
        yield critical(
            "this member's state file is damaged: it runs nothing rather than guess",
            evidence=problem,
            fix="state.previous beside it is the one before; if other members serve: etcd-manager replace-member",
        )


def damaged_certificates(view: DoctorView) -> Iterator[Found]:
    """A certificate cannot be read."""
    found = view.node.damaged_certificates
    for text in () if isinstance(found, Unknown) else found:
        yield critical("a certificate cannot be read", evidence=text, fix="CAs: nodeup apply; others: delete it, and restart the manager")


def expired(view: DoctorView) -> Iterator[Found]:
    """A certificate has ended, or has not begun."""
    for one in _certificates(view):
        if one.not_after <= view.now:
            yield critical(
                f"{one.path} expired {format_age(view.now - one.not_after)} ago",
                evidence=f"notAfter {format_timestamp(one.not_after)}",
                fix=_renewal(one, view.etcd),
            )
        elif one.not_before > view.now:
            evidence = f"notBefore {format_timestamp(one.not_before)}"
            yield critical(f"{one.path} is not valid yet: is the clock right?", evidence=evidence, fix="timedatectl")


def expiring(view: DoctorView) -> Iterator[Found]:
    """A certificate ends soon."""
    for one in _certificates(view):
        left = one.not_after - view.now
        if timedelta() < left < (_AUTHORITY_ENDS if one.role == "ca" else _LEAF_ENDS):
            yield warning(
                f"{one.path} ends in {format_age(left)}",
                evidence=f"notAfter {format_timestamp(one.not_after)}",
                fix=_renewal(one, view.etcd),
            )


def wrong_names(view: DoctorView) -> Iterator[Found]:
    """A certificate does not hold a name under which it is called."""
    for one in _certificates(view):
        if one.missing_names:
            yield critical(
                f"{one.path} does not hold {', '.join(one.missing_names)}",
                evidence=f"it holds {', '.join(one.names) or 'no name'}",
                fix=f"systemctl restart etcd-manager@{view.etcd} issues it again; etcd reads it without a restart",
            )


def wrong_issuer(view: DoctorView) -> Iterator[Found]:
    """A certificate is not of the CA that lies here, or its key is another's."""
    for one in _certificates(view):
        if one.is_of_its_ca is False:
            yield critical(
                f"{one.path} is not signed by the CA in the pki directory",
                evidence=f"issuer {one.issuer}",
                fix=f"systemctl restart etcd-manager@{view.etcd} issues it again",
            )
        if one.has_own_key is False:
            yield critical(
                f"the key beside {one.path} is another certificate's", evidence="their public keys differ", fix=_renewal(one, view.etcd)
            )


def no_etcd(view: DoctorView) -> Iterator[Found]:
    """The wanted etcd is not installed here."""
    installed, spec = view.node.etcds, view.store.spec
    if isinstance(installed, Unknown):
        return
    if not installed:
        yield critical("no etcd is installed on this node", evidence="looked in --binaries and /opt/etcd-v*", fix="nodeup apply")
    elif not isinstance(spec, Unknown) and spec is not None and not _has_line(installed, spec.etcd_version):
        yield critical(
            f"etcd {spec.etcd_version} is wanted and not installed on this node",
            evidence=f"found {', '.join(installed)}",
            fix="nodeup apply",
        )


def service(view: DoctorView) -> Iterator[Found]:
    """The manager's service does not run."""
    unit = view.node.unit
    if isinstance(unit, Unknown):
        return
    name = f"etcd-manager@{view.etcd}"
    if unit.active not in {"active", "reloading"}:
        yield critical(
            f"{name} does not run",
            evidence=f"{unit.active} ({unit.sub}), {unit.restarts} restarts",
            fix=f"journalctl -u {name}; it starts when protokube has published the volume",
        )
    elif unit.restarts > 5:
        yield warning(f"{name} was restarted {unit.restarts} times", evidence=f"{unit.active} ({unit.sub})", fix=f"journalctl -u {name}")


def stuck(view: DoctorView) -> Iterator[Found]:
    """The manager runs and does not say so, or says that it cannot go on."""
    status, unit = view.node.status, view.node.unit
    if isinstance(status, Unknown) or status is None:
        return
    runs = isinstance(unit, Unknown) or unit.active == "active"
    if runs and (status.updated is None or view.now - status.updated > _STATUS_AGE):
        told = "never" if status.updated is None else format_timestamp(status.updated)
        yield critical(
            "this node's manager is stuck, or does not run",
            evidence=f"its status is of {told}",
            fix=f"systemctl restart etcd-manager@{view.etcd}",
        )
    elif status.state == "failed":
        yield critical(
            "this node's manager cannot go on", evidence=status.message, fix="see `waiting` in its status, with the hint beside it"
        )
    if status.restarts:
        yield warning(
            f"etcd on this node ended {status.restarts} times by itself",
            evidence=status.last_exit or "it said nothing",
            fix="/var/log/etcd*.log",
        )


def stale_hosts(view: DoctorView) -> Iterator[Found]:
    """A member's name leads elsewhere, or nowhere."""
    found = view.node.stale_hosts
    if not isinstance(found, Unknown) and found:
        yield warning(
            "/etc/hosts leads to other machines than the members' managers answer at",
            evidence="; ".join(found),
            fix="the leading manager tells the addresses every minute; does one lead, and who else writes /etc/hosts?",
        )


def unsynchronized(view: DoctorView) -> Iterator[Found]:
    """Nothing keeps the clock."""
    if view.node.is_synchronized is False:
        yield warning(
            "nothing keeps this machine's clock",
            evidence="timedatectl: NTPSynchronized=no",
            fix="systemctl status chrony systemd-timesyncd",
        )


def slow_disk(view: DoctorView) -> Iterator[Found]:
    """The disk is too slow for etcd."""
    speed = view.node.speed
    if isinstance(speed, Unknown):
        return
    for what, found, limit in (("fsync of the log", speed.fsync_p99, _FSYNC), ("commit of the database", speed.commit_p99, _COMMIT)):
        if found is not None and found > limit:
            yield warning(
                f"etcd's disk is slow: one {what} in a hundred takes more than {found * 1000:.0f} ms",
                evidence=f"p99 since etcd started; it should be below {limit * 1000:.0f} ms",
                fix="a faster volume (IOPS), nothing else on it, and no burst credits; elections follow from it",
            )


def _certificates(view: DoctorView) -> tuple[CertificateSeen, ...]:
    found = view.node.certificates
    return () if isinstance(found, Unknown) else found


def _renewal(one: CertificateSeen, etcd: str) -> str:
    if one.role == "ca":
        return "kops promotes and distrusts keysets (docs/operations/rotate-secrets of kops); nodeup writes the new CA"
    return f"systemctl restart etcd-manager@{etcd} issues it again; etcd goes on"


def _has_line(installed: tuple[str, ...], wanted: str) -> bool:
    """Return whether an installed etcd can be run for a wanted version: of its minor line, and no older patch."""
    try:
        version = Version.parse(wanted)
        found = [Version.parse(text) for text in installed]
    except SpecError:
        return True  # The rule about the spec speaks.
    return any((one.major, one.minor) == (version.major, version.minor) and one >= version for one in found)
