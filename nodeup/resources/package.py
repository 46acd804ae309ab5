"""Packages of the distribution, and sources that packages come from.

All packages of a node are one resource when they are applied (`PackageSet`): one transaction of the package manager
costs as much as one package, and kops' eight cost eight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Protocol, assert_never

from agents.errors import BusyError, NotFoundError, RefusedError, SpecError, TransientError
from agents.host.protocol import CommandResult, Host
from nodeup.resources.file_locks import holder_of
from nodeup.resources.protocol import RunContext

QUERY_DEADLINE = timedelta(seconds=30)
#: A mirror may be slow, and a running transaction must not be killed: dpkg would be left half-configured.
INSTALL_DEADLINE = timedelta(minutes=20)
#: How long another holder of the package database is waited for: unattended-upgrades at boot takes some minutes.
LOCK_DEADLINE = timedelta(minutes=10)
#: How long apt waits by itself for one that came between our look and its start.
LOCK_TIMEOUT_SECONDS = 60
#: apt takes the first, then dpkg the second.
DPKG_LOCKS = ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock")
APT_LISTS_LOCKS = ("/var/lib/apt/lists/lock",)
#: rpm's database, where it is since Fedora 36 and where it was; dnf's own is a file with a process id, at which it waits.
RPM_LOCKS = ("/usr/lib/sysimage/rpm/.rpm.lock", "/var/lib/rpm/.rpm.lock")
_APT_ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1", "APT_LISTCHANGES_FRONTEND": "none"}
_KEEP_CONFIGURATION = ("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold")
_APT = ("apt-get", "-o", f"DPkg::Lock::Timeout={LOCK_TIMEOUT_SECONDS}", *_KEEP_CONFIGURATION)
#: What apt says when its lists are missing or too old.
_OLD_LISTS = ("Unable to locate package", "has no installation candidate", "404  Not Found", "Unable to fetch some archives")


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package that is installed and configured, in whatever version the distribution's sources give."""

    name: str

    @property
    def id(self) -> str:
        """The unique name."""
        return f"package:{self.name}"

    def read(self, host: Host, context: RunContext) -> Package | None:
        """Return it if it is installed and configured."""
        return self if PackageSet(names=(self.name,)).read(host, context) == PackageSet(names=(self.name,)) else None

    def apply(self, host: Host, context: RunContext, actual: Package | None) -> None:
        """Install it; the engine applies a PackageSet instead."""
        PackageSet(names=(self.name,)).apply(host, context, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageSet:
    """All packages of a plan, installed in one transaction; made by `nodeup.engine.graph`, never by a planner."""

    #: Sorted.
    names: tuple[str, ...]

    @property
    def id(self) -> str:
        """The unique name."""
        return "packages:all"

    def read(self, host: Host, context: RunContext) -> PackageSet | None:
        """Return those of the packages that are installed and configured; none on a host without a package manager's answer."""
        try:
            return replace(self, names=_manager(context).installed(host, self.names))
        except RefusedError:
            return None

    def apply(self, host: Host, context: RunContext, actual: PackageSet | None) -> None:
        """Install what is missing; packages that an earlier run left half-configured are configured first."""
        missing = tuple(name for name in self.names if actual is None or name not in actual.names)
        if missing:
            manager = _manager(context)
            await_locks(manager.locks, host, context)
            manager.install(host, missing)


@dataclass(frozen=True, slots=True, kw_only=True)
class AptSource:
    """A source of packages with its signing key."""

    name: str
    keyring_url: str
    #: Lines of the sources list, without newlines.
    sources: tuple[str, ...]

    @property
    def id(self) -> str:
        """The unique name."""
        return f"apt-source:{self.name}"

    @property
    def keyring_path(self) -> str:
        """Where the key lies; apt takes armoured keys under .asc."""
        return f"/etc/apt/keyrings/{self.name}.asc"

    @property
    def list_path(self) -> str:
        """Where the sources are listed."""
        return f"/etc/apt/sources.list.d/{self.name}.list"

    def read(self, host: Host, context: RunContext) -> AptSource | None:
        """Return it if the key is there and the list says just this, trusting this key alone."""
        try:
            listed = host.read(self.list_path).decode(errors="replace")
        except NotFoundError:
            return None
        keyrings = [path for path in (self.keyring_path, self._binary_keyring_path) if host.stat(path) is not None]
        return self if any(listed == self._list_text(path) for path in keyrings) else None

    def apply(self, host: Host, context: RunContext, actual: AptSource | None) -> None:
        """Fetch the key, install it for these sources only (signed-by), write the list and fetch its index.

        kops' apt-key trusted the key for all sources, and does not exist any more since Debian 13.
        """
        key = host.read(context.fetch((self.keyring_url,), None))
        path = self.keyring_path if b"-----BEGIN PGP" in key else self._binary_keyring_path
        host.write(path, key, mode=0o644)
        host.write(self.list_path, self._list_text(path).encode(), mode=0o644)
        await_locks(APT_LISTS_LOCKS, host, context)
        _checked(host.run(["apt-get", "update"], timeout=INSTALL_DEADLINE, environment=_APT_ENVIRONMENT), host)

    @property
    def _binary_keyring_path(self) -> str:
        return f"/etc/apt/keyrings/{self.name}.gpg"

    def _list_text(self, keyring: str) -> str:
        return "".join(f"{signed_source(line, keyring)}\n" for line in self.sources)


def signed_source(line: str, keyring: str) -> str:
    """Return a line of a sources list that trusts `keyring` alone; comments and lines that name a key are kept as they are."""
    words = line.split(maxsplit=1)
    if len(words) < 2 or words[0] not in {"deb", "deb-src"} or "signed-by=" in line:
        return line
    if words[1].startswith("["):
        return f"{words[0]} [signed-by={keyring} {words[1][1:].lstrip()}"
    return f"{words[0]} [signed-by={keyring}] {words[1]}"


def await_locks(paths: tuple[str, ...], host: Host, context: RunContext) -> None:
    """Wait until nobody holds one of these locks; BusyError, which names the holder, where somebody still does at the deadline."""

    def complaint() -> str:
        holder = holder_of(host, paths)
        return "" if holder is None else f"{holder} holds {holder.path}"

    hint = "it ends by itself; `systemctl stop unattended-upgrades apt-daily` where it does not"
    said = context.wait(complaint, reason="the lock of the package database", hint=hint, limit=LOCK_DEADLINE)
    if said:
        minutes = int(LOCK_DEADLINE.total_seconds() // 60)
        raise BusyError(f"packages cannot be installed: {said}, for {minutes} minutes now", code="packages-locked", hint=hint)


class _Manager(Protocol):
    """What a package manager can be asked."""

    @property
    def locks(self) -> tuple[str, ...]:
        """The files that whoever changes packages has locked."""
        ...

    def installed(self, host: Host, names: Sequence[str]) -> tuple[str, ...]:
        """Return those of `names` that are installed and configured, sorted."""
        ...

    def install(self, host: Host, names: Sequence[str]) -> None:
        """Install `names` in one transaction."""
        ...


class _Apt:
    """dpkg and apt-get."""

    locks = DPKG_LOCKS

    def installed(self, host: Host, names: Sequence[str]) -> tuple[str, ...]:
        # Exit code 1 means that some are unknown; the others are listed all the same.
        result = host.run(["dpkg-query", "--show", "--showformat=${Package}\t${db:Status-Abbrev}\n", *names], timeout=QUERY_DEADLINE)
        if result.exit_code not in {0, 1}:
            raise TransientError(f"dpkg-query exited with {result.exit_code}: {result.stderr.strip()}")
        states = dict(line.split("\t", 1) for line in result.stdout.splitlines() if "\t" in line)
        return tuple(sorted(name for name in names if states.get(name, "").startswith(("ii", "hi"))))

    def install(self, host: Host, names: Sequence[str]) -> None:
        audit = host.run(["dpkg", "--audit"], timeout=QUERY_DEADLINE)
        if audit.stdout.strip():
            _checked(
                host.run(
                    ["dpkg", "--force-confdef", "--force-confold", "--configure", "-a"],
                    timeout=INSTALL_DEADLINE,
                    environment=_APT_ENVIRONMENT,
                ),
                host,
            )
        argv = [*_APT, "install", "--yes", "--no-install-recommends", *names]
        result = host.run(argv, timeout=INSTALL_DEADLINE, environment=_APT_ENVIRONMENT)
        if not result.ok and _wants_an_update(result):
            _checked(host.run(["apt-get", "update"], timeout=INSTALL_DEADLINE, environment=_APT_ENVIRONMENT), host)
            result = host.run(argv, timeout=INSTALL_DEADLINE, environment=_APT_ENVIRONMENT)
        _checked(result, host)


class _Dnf:
    """rpm, and dnf or yum."""

    locks = RPM_LOCKS

    def installed(self, host: Host, names: Sequence[str]) -> tuple[str, ...]:
        result = host.run(["rpm", "-q", "--queryformat", "%{NAME}\n", *names], timeout=QUERY_DEADLINE)
        found = {line.strip() for line in result.stdout.splitlines()}
        return tuple(sorted(name for name in names if name in found or self._is_there(host, name)))

    def _is_there(self, host: Host, name: str) -> bool:
        """Return whether a name that is no package's own is one with its version, or provided: dnf installs iptables-nft for iptables."""
        return any(host.run(["rpm", "-q", *how, name], timeout=QUERY_DEADLINE).ok for how in ((), ("--whatprovides",)))

    def install(self, host: Host, names: Sequence[str]) -> None:
        # Amazon Linux 2 has yum only, which knows no weak dependencies.
        only_yum = host.stat("/usr/bin/dnf") is None and host.stat("/usr/bin/yum") is not None
        program = ["yum", "install", "-y"] if only_yum else ["dnf", "install", "-y", "--setopt=install_weak_deps=False"]
        _checked(host.run([*program, *names], timeout=INSTALL_DEADLINE), host)


def _manager(context: RunContext) -> _Manager:
    from agents.host.distribution import Family

    match context.distribution.family:
        case Family.DEB:
            return _Apt()
        case Family.RPM:
            return _Dnf()
        case Family.FLATCAR | Family.CONTAINEROS:
            raise SpecError(f"{context.distribution.id} has no package manager, so no package can be asked for")
        case unexpected:
            assert_never(unexpected)


def _wants_an_update(result: CommandResult) -> bool:
    """Whether apt's lists are missing or too old: then, and only then, they are fetched (30 s on a slow mirror)."""
    said = result.stdout + result.stderr
    return any(sign in said for sign in _OLD_LISTS)


def _checked(result: CommandResult, host: Host) -> None:
    if result.ok:
        return
    said = (result.stderr or result.stdout).strip()[-2000:]
    holder = _lock_holder(result, host)
    raise TransientError(f"`{' '.join(result.argv)}` exited with {result.exit_code}{holder}: {said}", code="packages")


def _lock_holder(result: CommandResult, host: Host) -> str:
    """Return who holds the package manager's lock, as apt says it with the process id; "" where that is not the trouble."""
    words = (result.stdout + result.stderr).split()
    if "lock" not in words or "process" not in words:
        return ""
    pid = words[words.index("process") + 1].strip(".,()") if words.index("process") + 1 < len(words) else ""
    try:
        name = host.read(f"/proc/{pid}/comm").decode(errors="replace").strip() if pid.isdigit() else "another program"
    except NotFoundError:
        name = "a process that has ended since"
    return f" because {name} (process {pid}) holds the lock"
