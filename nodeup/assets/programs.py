"""Whether a program among the assets is made for this machine: a wrong one would only say "exec format error" when it is started."""

from __future__ import annotations

from collections.abc import Callable

from agents.errors import SpecError
from agents.host.elf import HEAD_BYTES, elf_architecture
from agents.host.protocol import Host


def program_check(host: Host, architecture: str) -> Callable[[str, str], None]:
    """Return what raises SpecError for a file (its name for people, its path) that is an ELF program of another architecture.

    Its hash was right, so it is the asset list that is wrong: trying again does not help.
    """

    def check(name: str, path: str) -> None:
        found = elf_architecture(next(iter(host.read_chunks(path, size=HEAD_BYTES)), b""))
        if found and found != architecture:
            raise SpecError(
                f"{name} is a program for {found}, and this machine is {architecture}",
                code="asset-architecture",
                hint="the configuration lists it for this architecture: correct the list (kops update cluster --yes), or the machine type",
            )

    return check
