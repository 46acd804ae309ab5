"""Which distribution a machine runs, from the text of /etc/os-release, and what follows from it. Pure.

Source: kops util/pkg/distributions, by way of reference nodeup.md §2.5; a VERSION_ID without a minor (CentOS Stream) is ours.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from enum import Enum

from agents.errors import SpecError


class Family(Enum):
    """How packages come to a machine."""

    DEB = "deb"
    RPM = "rpm"
    FLATCAR = "flatcar"
    CONTAINEROS = "containeros"


_UNIT_DIRECTORIES = {
    Family.DEB: "/lib/systemd/system",
    Family.RPM: "/usr/lib/systemd/system",
    Family.FLATCAR: "/etc/systemd/system",
    Family.CONTAINEROS: "/etc/systemd/system",
}
#: rpm distributions whose iptables still is the default; all others of the family use nftables only.
_IPTABLES_RPM = frozenset({"al2", "al2023", "alma8", "alma9", "centos9", "rhel8", "rhel9", "rocky8", "rocky9"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """A supported distribution."""

    #: kops' name: "debian12", "ubuntu2404", "al2023", "flatcar".
    id: str
    family: Family
    #: The release as a number that orders: 2404 for Ubuntu 24.04, 12 for Debian 12; 0 where releases do not matter.
    release: int = 0
    #: PRETTY_NAME, for people.
    title: str = ""

    @property
    def unit_directory(self) -> str:
        """Where kops puts unit files."""
        return _UNIT_DIRECTORIES[self.family]

    @property
    def is_ubuntu(self) -> bool:
        """Whether it is an Ubuntu."""
        return self.id.startswith("ubuntu")

    @property
    def has_loopback_resolv_conf(self) -> bool:
        """Whether /etc/resolv.conf always names systemd-resolved; elsewhere the file /run/systemd/resolve/resolv.conf decides."""
        return self.is_ubuntu or self.family is Family.FLATCAR

    @property
    def forces_nftables(self) -> bool:
        """Whether kube-proxy must use nftables."""
        return self.family is Family.RPM and self.id not in _IPTABLES_RPM


#: (ID, pattern of VERSION_ID, family, kops' name with the version's group 1 in it). The order of rows is of no concern. kops 1.37
#: knows neither AlmaLinux nor, any more, Amazon Linux 2 and Ubuntu 20.04: what holds for their nearest relatives holds for them.
_TABLE: tuple[tuple[str, str, Family, str], ...] = (
    ("almalinux", r"(8|9|10)(?:\..*)?", Family.RPM, "alma{}"),
    ("amzn", r"(2|2023)", Family.RPM, "al{}"),
    ("debian", r"(11|12|13)", Family.DEB, "debian{}"),
    ("fedora", r"(41|42|43|44)", Family.RPM, "fedora{}"),
    ("ubuntu", r"(20\.04|22\.04|24\.04|25\.10|26\.04)", Family.DEB, "ubuntu{}"),
    ("cos", r"(.*)", Family.CONTAINEROS, "containeros"),
    ("flatcar", r"(.*)", Family.FLATCAR, "flatcar"),
    ("centos", r"(9|10)(?:\..*)?", Family.RPM, "centos{}"),
    ("rhel", r"(8|9|10)(?:\..*)?", Family.RPM, "rhel{}"),
    ("rocky", r"(8|9|10)(?:\..*)?", Family.RPM, "rocky{}"),
)


def parse_os_release(text: str) -> Distribution:
    """Return the distribution that an os-release file describes; SpecError for one that is not supported."""
    fields = _fields(text)
    name, version = fields.get("ID", ""), fields.get("VERSION_ID", "")
    for row_name, pattern, family, kops_id in _TABLE:
        if name == row_name and (match := re.fullmatch(pattern, version)):
            number = match[1].replace(".", "")
            versioned = "{}" in kops_id
            return Distribution(
                id=kops_id.format(number),
                family=family,
                release=int(number) if versioned else 0,
                title=fields.get("PRETTY_NAME", f"{name} {version}"),
            )
    raise SpecError(
        f"distribution {name or '(no ID)'} {version or '(no VERSION_ID)'} of os-release is not supported",
        code="unsupported-distribution",
        hint="supported: Amazon Linux 2 and 2023, Debian 11-13, Fedora 41-44, Ubuntu 20.04 22.04 24.04 25.10 26.04, "
        "ContainerOS, Flatcar, CentOS Stream 9-10, AlmaLinux, RHEL and Rocky 8-10",
    )


def _fields(text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if not equals or name.startswith("#"):
            continue
        try:
            # The file is shell assignments (os-release(5)).
            fields[name] = "".join(shlex.split(value))
        except ValueError:
            fields[name] = value
    return fields
