#!/usr/bin/env python3
"""Download and unpack Debian packages as any user, without installing anything or touching the system's apt.

    packaging/private_apt.py SUITE DIRECTORY PACKAGE [PACKAGE ...]     SUITE "host": this machine's own

apt runs with a private root; the archive is the one that this machine's apt is set up with. Standard library only: this
runs before anything is set up.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path


class UnavailableError(Exception):
    """The packages cannot be had here in this way; the message says why."""


def run(*argv: str, cwd: Path | None = None) -> str:
    """Run a command and return its output; UnavailableError with the end of its complaint when it fails."""
    done = subprocess.run(argv, text=True, capture_output=True, check=False, timeout=600, cwd=cwd)
    if done.returncode:
        raise UnavailableError(f"{' '.join(argv[:3])} …: {done.stderr.strip()[-400:] or done.stdout.strip()[-400:]}")
    return done.stdout


def os_release() -> dict[str, str]:
    """Return the fields of /etc/os-release."""
    lines = Path("/etc/os-release").read_text().splitlines()
    return {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}


def mirrors() -> list[str]:
    """Return the archive addresses that this machine's apt is set up with, security archives left out."""
    found: list[str] = []
    for path in (Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))):
        if path.suffix not in {".list", ".sources"} or not path.is_file():
            continue
        for line in path.read_text(errors="replace").splitlines():
            if line.startswith("URIs:"):
                found += line.split()[1:]
            elif re.match(r"deb\s", line):
                found += re.findall(r"\S+://\S+", line)[:1]
    return [uri.rstrip("/") for uri in dict.fromkeys(found) if "security" not in uri]


def download(packages: Sequence[str], *, suite: str, into: Path, components: str = "main") -> None:
    """Put the .deb files of `packages` into the directory `into`, in the versions that the suite has now."""
    fetch("deb", ("download", *packages), suite=suite, into=into, components=components)


def download_source(package: str, *, suite: str, into: Path) -> None:
    """Put the files of a source package into the directory `into`, packed as the archive has them."""
    fetch("deb-src", ("source", "--download-only", package), suite=suite, into=into, components="main")


def fetch(kind: str, command: Sequence[str], *, suite: str, into: Path, components: str) -> None:
    """Run an apt-get command that downloads into its working directory, with a private root and the suite alone."""
    if not shutil.which("apt-get"):
        raise UnavailableError("no apt-get on this machine")
    archives = mirrors()
    if not archives:
        raise UnavailableError("this machine's apt has no archive")
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        for part in ("lists/partial", "cache/archives/partial"):
            (root / part).mkdir(parents=True)
        (root / "sources.list").write_text(f"{kind} {archives[0]} {suite} {components}\n")
        (root / "status").touch()
        apt = (
            "apt-get", "-q", f"-oDir::State={root}", f"-oDir::State::lists={root}/lists", f"-oDir::State::status={root}/status",
            f"-oDir::Cache={root}/cache", f"-oDir::Etc::sourcelist={root}/sources.list", "-oDir::Etc::sourceparts=-",
            "-oAPT::Sandbox::User=", "-oAcquire::Languages=none", "-oAcquire::Retries=3",
        )  # fmt: skip
        run(*apt, "update")
        into.mkdir(parents=True, exist_ok=True)
        run(*apt, *command, cwd=into)


def unpack(debs: Path, tree: Path) -> Path:
    """Unpack every .deb of a directory into `tree` and return that."""
    for deb in sorted(debs.glob("*.deb")):
        run("dpkg", "-x", str(deb), str(tree))
    return tree


def main() -> int:
    """Do what the command line says."""
    suite, directory, *packages = sys.argv[1:]
    try:
        components = "main universe" if os_release().get("ID") == "ubuntu" else "main"
        download(
            packages, suite=os_release()["VERSION_CODENAME"] if suite == "host" else suite, into=Path(directory), components=components
        )
        unpack(Path(directory), Path(directory) / "tree")
    except UnavailableError as why:
        print(f"private_apt: {', '.join(packages)}: {why}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
