"""Packages of an air-gapped node: those of the bundle where they are missing, and a clear refusal where the bundle has none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from agents.errors import NotFoundError, SpecError, TransientError
from agents.host.os_errors import os_errors
from agents.host.protocol import Host

_QUERY_DEADLINE = timedelta(seconds=60)
_DOWNLOAD_DEADLINE = timedelta(minutes=20)
_APT = ("apt-get", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold")
#: Nothing is ever removed for it.
_INSTALL = ("install", "--yes", "--no-install-recommends", "--no-remove")


def download_packages(host: Host, names: Sequence[str], directory: Path) -> tuple[Path, ...]:
    """Return the .deb files of packages and of all that they depend on, of this machine's own distribution; directory is made.

    NotFoundError on a machine without apt, TransientError where an archive does not deliver.
    """
    archives, status = directory / "archives", directory / "status"
    with os_errors("make", str(directory)):
        (archives / "partial").mkdir(parents=True, exist_ok=True)
        status.touch()
    # Resolved as for a machine that has nothing at all. Following every "Depends" instead would bring all alternatives, which conflict.
    options = [f"-oDir::State::status={status}", f"-oDir::Cache::archives={archives}", "-oDebug::NoLocking=1", "-oAPT::Sandbox::User="]
    _answer(host, ["apt-get", "-q", *options, *_INSTALL, "--download-only", *names], _DOWNLOAD_DEADLINE)
    return tuple(sorted(archives.glob("*.deb")))


def install_packages(host: Host, missing: Sequence[str], files: Sequence[str]) -> None:
    """Install what is missing from a bundle's files, in one transaction and without any archive.

    Of the files only those are used whose package is not installed at all: a bundle never replaces the machine's own version.
    SpecError that lists what is missing where the bundle has no packages.
    """
    if not missing:
        return
    if not files:
        raise SpecError(
            f"packages {', '.join(missing)} are missing on this machine, and the bundle has none",
            code="bundle-packages",
            hint="install them, or make the bundle with --with-packages on a machine of the same distribution",
        )
    names = {file: _answer(host, ["dpkg-deb", "--field", file, "Package"], _QUERY_DEADLINE).strip() for file in files}
    known = host.run(["dpkg-query", "--show", "--showformat=${Package}\t${db:Status-Abbrev}\n"], timeout=_QUERY_DEADLINE)
    installed = {line.split("\t")[0] for line in known.stdout.splitlines() if line.split("\t")[-1].startswith(("ii", "hi"))}
    wanted = [file for file in files if names[file] not in installed]
    _answer(host, [*_APT, *_INSTALL, "--no-download", *wanted], _DOWNLOAD_DEADLINE)


def _answer(host: Host, argv: Sequence[str], timeout: timedelta) -> str:
    environment = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}
    try:
        result = host.run(argv, timeout=timeout, environment=environment)
    except NotFoundError as error:
        raise NotFoundError(f"{argv[0]} is not on this machine; packages are bundled on Debian and Ubuntu only") from error
    if not result.ok:
        said = (result.stderr or result.stdout).strip()[-2000:]
        raise TransientError(f"`{' '.join(argv)[:200]}` exited with {result.exit_code}: {said}", code="packages")
    return result.stdout
