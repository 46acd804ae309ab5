from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from agents.errors import SpecError, TransientError
from agents.host.protocol import CommandResult
from nodeup.engine.diff import compare
from nodeup.resources.package import AptSource, PackageSet, signed_source
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
