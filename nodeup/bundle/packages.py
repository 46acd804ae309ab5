"""Packages of an air-gapped node: those of the bundle where they are missing, and a clear refusal where the bundle has none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from agents.errors import NotFoundError, SpecError, TransientError
from agents.host.protocol import Host

_QUERY_DEADLINE = timedelta(seconds=60)
_DOWNLOAD_DEADLINE = timedelta(minutes=20)
_APT = ("apt-get", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold")
_CLOSURE = ("--recurse", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks", "--no-replaces", "--no-enhances")


def download_packages(host: Host, names: Sequence[str], directory: Path) -> tuple[Path, ...]:
    """Return the .deb files of packages and of all that they depend on, of this machine's own distribution; directory is made.

    NotFoundError on a machine without apt, TransientError where an archive does not deliver.
    """
    closure = _names(_answer(host, ["apt-cache", "depends", *_CLOSURE, *names], _QUERY_DEADLINE))
    directory.mkdir(parents=True, exist_ok=True)
    # apt-get downloads to where it runs; a virtual package has no file, and what provides it is in the closure, too.
    real = _names(_answer(host, ["apt-cache", "--no-all-versions", "show", *closure], _QUERY_DEADLINE, prefix="Package: "))
    _answer(host, ["env", "--chdir", str(directory), "apt-get", "-q", "download", *real], _DOWNLOAD_DEADLINE)
    return tuple(sorted(directory.glob("*.deb")))


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
    names = {file: _answer(host, ["dpkg-deb", "--showformat=${Package}\n", "--show", file], _QUERY_DEADLINE).strip() for file in files}
    known = host.run(["dpkg-query", "--show", "--showformat=${Package}\t${db:Status-Abbrev}\n"], timeout=_QUERY_DEADLINE)
    installed = {line.split("\t")[0] for line in known.stdout.splitlines() if line.split("\t")[-1].startswith(("ii", "hi"))}
    wanted = [file for file in files if names[file] not in installed]
    _answer(host, [*_APT, "install", "--yes", "--no-install-recommends", "--no-download", *wanted], _DOWNLOAD_DEADLINE)


def _answer(host: Host, argv: Sequence[str], timeout: timedelta, *, prefix: str = "") -> str:
    """Return a command's output, of which only the lines that begin with `prefix`, without it."""
    environment = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}
    try:
        result = host.run(argv, timeout=timeout, environment=environment)
    except NotFoundError as error:
        raise NotFoundError(f"{argv[0]} is not on this machine; packages are bundled on Debian and Ubuntu only") from error
    if not result.ok:
        said = (result.stderr or result.stdout).strip()[-2000:]
        raise TransientError(f"`{' '.join(argv)[:200]}` exited with {result.exit_code}: {said}", code="packages")
    return "\n".join(line.removeprefix(prefix) for line in result.stdout.splitlines() if line.startswith(prefix))


def _names(text: str) -> tuple[str, ...]:
    """Return the names in apt's output: lines that begin with one; indented lines say how packages relate, <…> are virtual."""
    found = (line.strip() for line in text.splitlines() if line and not line.startswith((" ", "<")))
    return tuple(dict.fromkeys(name for name in found if name))
