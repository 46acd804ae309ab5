"""From os-release to what follows from it."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import SpecError
from agents.host.distribution import Family, parse_os_release

DEB, RPM = Family.DEB, Family.RPM


@pytest.mark.parametrize(
    ("name", "version", "kops_id", "family", "nftables"),
    [
        ("almalinux", "8.10", "alma8", RPM, False),
        ("almalinux", "9.4", "alma9", RPM, False),
        ("almalinux", "10", "alma10", RPM, True),
        ("amzn", "2", "al2", RPM, False),
        ("amzn", "2023", "al2023", RPM, False),
        ("debian", "11", "debian11", DEB, False),
        ("debian", "12", "debian12", DEB, False),
        ("debian", "13", "debian13", DEB, False),
        ("fedora", "44", "fedora44", RPM, True),
        ("ubuntu", "20.04", "ubuntu2004", DEB, False),
        ("ubuntu", "24.04", "ubuntu2404", DEB, False),
        ("ubuntu", "26.04", "ubuntu2604", DEB, False),
        ("cos", "117", "containeros", Family.CONTAINEROS, False),
        ("flatcar", "4081.2.0", "flatcar", Family.FLATCAR, False),
        ("centos", "9", "centos9", RPM, False),
        ("centos", "10.0", "centos10", RPM, True),
        ("rhel", "8.10", "rhel8", RPM, False),
        ("rhel", "9", "rhel9", RPM, False),
        ("rhel", "10.0", "rhel10", RPM, True),
        ("rocky", "8.9", "rocky8", RPM, False),
        ("rocky", "9.4", "rocky9", RPM, False),
        ("rocky", "10.1", "rocky10", RPM, True),
    ],
)
def test_the_supported_distributions_are_recognised(name: str, version: str, kops_id: str, family: Family, nftables: bool) -> None:
    found = parse_os_release(f'PRETTY_NAME="The {name}"\nID="{name}"\nVERSION_ID="{version}"\n')
    assert (found.id, found.family, found.forces_nftables, found.title) == (kops_id, family, nftables, f"The {name}")


@pytest.mark.parametrize(
    ("name", "version"),
    [("debian", "10"), ("debian", "121"), ("ubuntu", "24.10"), ("rhel", "7.9"), ("amzn", "1"), ("gentoo", "2"), ("", "")],
)
def test_others_are_refused_by_name(name: str, version: str) -> None:
    with pytest.raises(SpecError, match="not supported"):
        parse_os_release(f"ID={name}\nVERSION_ID={version}\n")


def test_unit_directories_and_resolvers_follow_from_the_family() -> None:
    ubuntu = parse_os_release("# a comment\nID=ubuntu\nVERSION_ID='24.04'\n")
    assert (ubuntu.unit_directory, ubuntu.has_loopback_resolv_conf, ubuntu.release) == ("/lib/systemd/system", True, 2404)
    debian = parse_os_release("ID=debian\nVERSION_ID=12\n")
    assert (debian.has_loopback_resolv_conf, debian.release) == (False, 12)


@given(st.text())
def test_any_text_is_a_distribution_or_the_operators_error(text: str) -> None:
    with contextlib.suppress(SpecError):
        parse_os_release(text)
