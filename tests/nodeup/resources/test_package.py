from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from agents.errors import BusyError, SpecError, TransientError
from agents.host.local import LocalHost
from agents.host.protocol import CommandResult
from nodeup.engine.diff import compare
from nodeup.resources.file_locks import holder_of
from nodeup.resources.package import DPKG_LOCKS, LOCK_DEADLINE, AptSource, PackageSet, await_locks, signed_source
from tests.fakes.clock import FakeClock
from tests.fakes.host import FakeHost
from tests.fakes.run_context import FEDORA, FLATCAR, run_context

WANTED = PackageSet(names=("chrony", "iptables"))


@dataclass
class FakeApt:
    """dpkg and apt-get with one mirror; names that are not on the mirror are unknown until `apt-get update`."""

    host: FakeHost
    installed: dict[str, str] = field(default_factory=dict)
    updated: bool = True
    half_configured: str = ""
    refusal: str = ""

    def __post_init__(self) -> None:
        self.host.answer(("dpkg-query",), effect=self.query)
        self.host.answer(("dpkg", "--audit"), effect=lambda argv: result(argv, stdout=self.half_configured))
        self.host.answer(("dpkg", "--force-confdef"), effect=self.configure)
        self.host.answer(("apt-get", "update"), effect=self.update)
        self.host.answer(("apt-get", "-o"), effect=self.install)

    def query(self, argv: tuple[str, ...]) -> CommandResult:
        names = argv[3:]
        lines = [f"{name}\t{self.installed[name]}\n" for name in names if name in self.installed]
        return result(argv, stdout="".join(lines), exit_code=0 if len(lines) == len(names) else 1)

    def configure(self, argv: tuple[str, ...]) -> CommandResult:
        self.half_configured = ""
        self.installed = dict.fromkeys(self.installed, "ii ")
        return result(argv)

    def update(self, argv: tuple[str, ...]) -> CommandResult:
        self.updated = True
        return result(argv)

    def install(self, argv: tuple[str, ...]) -> CommandResult:
        if self.refusal:
            return result(argv, stderr=self.refusal, exit_code=100)
        if self.half_configured:
            return result(argv, stderr="E: dpkg was interrupted, you must manually run 'dpkg --configure -a'", exit_code=100)
        names = argv[argv.index("--no-install-recommends") + 1 :]
        if not self.updated:
            return result(argv, stderr=f"E: Unable to locate package {names[0]}", exit_code=100)
        self.installed |= dict.fromkeys(names, "ii ")
        return result(argv)


def result(argv: tuple[str, ...], *, stdout: str = "", stderr: str = "", exit_code: int = 0) -> CommandResult:
    return CommandResult(argv=argv, exit_code=exit_code, stdout=stdout, stderr=stderr, duration=timedelta())


def converged(host: FakeHost, wanted: PackageSet = WANTED) -> bool:
    context = run_context(host)
    actual = wanted.read(host, context)
    wanted.apply(host, context, actual)
    return compare(wanted, wanted.read(host, context)) is None


def installs(host: FakeHost) -> list[tuple[str, ...]]:
    return [command[command.index("--no-install-recommends") + 1 :] for command in host.commands if "--no-install-recommends" in command]


@pytest.fixture
def host() -> FakeHost:
    return FakeHost()


def test_all_missing_packages_are_one_transaction(host: FakeHost) -> None:
    FakeApt(host, installed={"iptables": "ii "})

    assert converged(host, PackageSet(names=("chrony", "iptables", "logrotate")))

    assert installs(host) == [("chrony", "logrotate")]


def test_nothing_is_called_but_dpkg_query_when_all_is_there(host: FakeHost) -> None:
    FakeApt(host, installed={"iptables": "ii ", "chrony": "ii "})

    assert converged(host)

    assert {command[0] for command in host.commands} == {"dpkg-query"}


def test_a_held_package_is_there(host: FakeHost) -> None:
    FakeApt(host, installed={"iptables": "hi ", "chrony": "ii "})

    assert converged(host)


@pytest.mark.parametrize("state", ["iF ", "iU ", "rc ", "un "])
def test_a_package_that_is_not_configured_is_not_there(host: FakeHost, state: str) -> None:
    FakeApt(host, installed={"iptables": state, "chrony": "ii "})

    assert WANTED.read(host, run_context(host)) == PackageSet(names=("chrony",))


def test_lists_are_fetched_only_when_a_package_is_unknown(host: FakeHost) -> None:
    apt = FakeApt(host, updated=False)

    assert converged(host)

    assert apt.updated
    assert host.commands.count(("apt-get", "update")) == 1
    assert converged(host)
    assert host.commands.count(("apt-get", "update")) == 1


def test_half_configured_packages_are_configured_first(host: FakeHost) -> None:
    FakeApt(host, installed={"chrony": "iF "}, half_configured="The following packages are only half configured: chrony\n")

    assert converged(host)


def test_the_holder_of_the_lock_is_named(host: FakeHost) -> None:
    host.write("/proc/4711/comm", b"unattended-upgr\n")
    FakeApt(host, refusal="E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 4711 (unattended-upgr)")

    with pytest.raises(TransientError, match=r"because unattended-upgr \(process 4711\) holds the lock"):
        converged(host)


def test_rpm_distributions_use_dnf(host: FakeHost) -> None:
    present = {"chrony"}
    host.answer(("rpm", "-q"), effect=lambda argv: result(argv, stdout="".join(f"{n}\n" for n in argv[4:] if n in present), exit_code=1))

    def install(argv: tuple[str, ...]) -> None:
        present.update(argv[4:])

    host.answer(("dnf", "install"), effect=install)
    context = run_context(host, distribution=FEDORA)

    WANTED.apply(host, context, WANTED.read(host, context))

    assert compare(WANTED, WANTED.read(host, context)) is None
    assert ("dnf", "install", "-y", "--setopt=install_weak_deps=False", "iptables") in host.commands


@pytest.mark.parametrize("how", [("rpm", "-q", "iptables"), ("rpm", "-q", "--whatprovides", "iptables")], ids=["with version", "provided"])
def test_a_package_that_goes_by_another_name_counts_as_installed(host: FakeHost, how: tuple[str, ...]) -> None:
    host.answer(("rpm", "-q"), effect=lambda argv: result(argv, exit_code=0 if argv == how else 1))

    found = PackageSet(names=("iptables",)).read(host, run_context(host, distribution=FEDORA))

    assert found == PackageSet(names=("iptables",))


def test_a_distribution_that_has_only_yum_uses_it(host: FakeHost) -> None:
    host.write("/usr/bin/yum", b"")
    host.answer(("yum", "install"))

    PackageSet(names=("chrony",)).apply(host, run_context(host, distribution=FEDORA), None)

    assert host.commands == [("yum", "install", "-y", "chrony")]


def test_a_distribution_without_packages_is_an_error_of_the_specification(host: FakeHost) -> None:
    with pytest.raises(SpecError, match="flatcar has no package manager"):
        WANTED.read(host, run_context(host, distribution=FLATCAR))


@pytest.mark.parametrize(
    ("line", "signed"),
    [
        ("deb https://e.com stable main", "deb [signed-by=/k] https://e.com stable main"),
        ("deb [arch=amd64] https://e.com stable main", "deb [signed-by=/k arch=amd64] https://e.com stable main"),
        ("deb [signed-by=/other] https://e.com stable main", "deb [signed-by=/other] https://e.com stable main"),
        ("# a comment", "# a comment"),
        ("", ""),
    ],
)
def test_sources_trust_their_own_key_alone(line: str, signed: str) -> None:
    assert signed_source(line, "/k") == signed


def test_a_source_is_there_when_its_key_and_its_list_are(host: FakeHost) -> None:
    source = AptSource(name="gvisor", keyring_url="https://e.com/key", sources=("deb https://e.com release main",))
    context = run_context(host)
    assert source.read(host, context) is None

    host.write("/etc/apt/keyrings/gvisor.asc", b"-----BEGIN PGP PUBLIC KEY BLOCK-----")
    host.write("/etc/apt/sources.list.d/gvisor.list", b"deb [signed-by=/etc/apt/keyrings/gvisor.asc] https://e.com release main\n")

    assert source.read(host, context) == source
    host.write("/etc/apt/sources.list.d/gvisor.list", b"deb https://e.com release main\n")
    assert compare(source, source.read(host, context)) is not None


def locked(host: FakeHost, path: str, *, pid: int = 4711, command: bytes = b"/usr/bin/python3\0/usr/bin/unattended-upgrade\0") -> None:
    """Let a process hold a file locked."""
    host.write(path, b"")
    stat = host.stat(path)
    assert stat is not None
    major, minor = stat.device
    host.write("/proc/locks", f"1: POSIX  ADVISORY  WRITE {pid} {major:02x}:{minor:02x}:{stat.inode} 0 EOF\n".encode())
    host.write(f"/proc/{pid}/cmdline", command)


def test_somebody_who_holds_the_lock_is_waited_for_and_named(host: FakeHost) -> None:
    FakeApt(host)
    locked(host, "/var/lib/dpkg/lock-frontend")
    clock, waited = FakeClock(), []

    def sleep(duration: timedelta) -> None:
        host.write("/proc/locks", b"")
        assert "--no-install-recommends" not in " ".join(map(" ".join, host.commands)), "nothing is started meanwhile"

    clock.sleep = sleep  # type: ignore[method-assign]
    context = run_context(host, clock=clock, on_wait=lambda reason, waiting: waited.append((reason, waiting)))

    WANTED.apply(host, context, None)

    assert installs(host) == [("chrony", "iptables")]
    (_, first), (reason, last) = waited
    assert first is not None
    assert last is None
    assert reason == "the lock of the package database"
    assert first.until == first.since + LOCK_DEADLINE
    assert first.last_error == "/usr/bin/python3 /usr/bin/unattended-upgrade (process 4711) holds /var/lib/dpkg/lock-frontend"


def test_a_lock_that_is_never_released_is_an_error_that_names_its_holder(host: FakeHost) -> None:
    FakeApt(host)
    locked(host, "/var/lib/dpkg/lock")

    with pytest.raises(BusyError, match=r"unattended-upgrade \(process 4711\) holds /var/lib/dpkg/lock, for 10 minutes now"):
        WANTED.apply(host, run_context(host), None)

    assert installs(host) == []


def test_locks_of_other_files_and_waiting_ones_do_not_count(host: FakeHost) -> None:
    locked(host, "/var/lib/other")
    host.write("/var/lib/dpkg/lock", b"")
    host.write(
        "/proc/locks", host.read("/proc/locks") + b"2: -> POSIX  ADVISORY  WRITE 1 00:00:1 0 EOF\n3: OFDLCK ADVISORY  READ -1 00:06:1 0 0\n"
    )

    assert holder_of(host, DPKG_LOCKS) is None


def test_a_holder_is_known_by_its_open_file_where_devices_differ(host: FakeHost) -> None:
    locked(host, "/var/lib/dpkg/lock")
    host.write("/proc/locks", host.read("/proc/locks").replace(b"fe:01", b"00:1f"))
    assert holder_of(host, DPKG_LOCKS) is None

    host.symlink("/proc/4711/fd/3", "/var/lib/dpkg/lock")

    holder = holder_of(host, DPKG_LOCKS)
    assert holder is not None
    assert holder.pid == 4711


HOLD_A_LOCK = """
import fcntl, sys
file = open(sys.argv[1], "w")
fcntl.lockf(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_real_lock_of_a_real_process_is_found(tmp_path: Path) -> None:
    path = tmp_path / "lock-frontend"
    path.touch()
    assert holder_of(LocalHost(), (str(path),)) is None
    argv = [sys.executable, "-c", HOLD_A_LOCK, str(path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"

        holder = holder_of(LocalHost(), (str(path),))

        process.communicate("")
    assert holder is not None
    assert holder.pid == process.pid
    assert holder.command.startswith(sys.executable)
    assert holder_of(LocalHost(), (str(path),)) is None


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="needs dpkg")
def test_a_real_dpkg_is_waited_for(tmp_path: Path) -> None:
    """dpkg takes its lock in a private root, and its preinst waits; we name it, wait, and go on when it ends."""
    root, deb = tmp_path / "root", tmp_path / "deb"
    for directory in (root / "var/lib/dpkg/info", root / "var/lib/dpkg/updates", deb / "DEBIAN"):
        directory.mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    started, gate = tmp_path / "started", tmp_path / "gate"
    for fifo in (started, gate):
        os.mkfifo(fifo)
    (deb / "DEBIAN/control").write_text("Package: slow\nVersion: 1\nArchitecture: all\nMaintainer: a <a@example.com>\nDescription: slow\n")
    (deb / "DEBIAN/preinst").write_text(f"#!/bin/sh\necho > {started}\nread _ < {gate}\n")
    (deb / "DEBIAN/preinst").chmod(0o755)
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", str(deb), str(tmp_path / "slow.deb")], check=True, capture_output=True)
    locks = tuple(f"{root}{path}" for path in DPKG_LOCKS)
    argv = [
        "dpkg",
        f"--root={root}",
        "--force-script-chrootless",
        "--force-not-root",
        "--log=/dev/null",
        "--install",
        str(tmp_path / "slow.deb"),
    ]
    clock, waited = FakeClock(), []

    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        started.read_text()

        def sleep(_: timedelta) -> None:
            gate.write_text("go\n")
            process.wait(30)

        clock.sleep = sleep  # type: ignore[method-assign]
        context = run_context(LocalHost(), clock=clock, on_wait=lambda _, waiting: waited.append(waiting))
        await_locks(locks, LocalHost(), context)

    assert process.returncode == 0
    assert waited[0] is not None
    assert f"(process {process.pid})" in waited[0].last_error
    assert waited[0].last_error.startswith("dpkg --root=")
