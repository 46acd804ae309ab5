"""Old copies of ourselves: the single file for nodes unpacks itself beside it, a directory for each version; nobody else removes them.

Source: packaging/bundle.py: /opt/kops/bin/nodeup unpacks into /opt/kops/agents/<digest>, over <digest>.<pid>.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

log = logging.getLogger(__name__)

_COPY = re.compile(r"[0-9a-f]{16}(\.\d+)?")


def own_copy(module_file: str) -> Path | None:
    """Return the unpacked copy that runs this process, from the path of one of its modules; None where none does."""
    home = next((parent.parent for parent in Path(module_file).resolve().parents if parent.name == "site"), None)
    return (
        home if home is not None and home.parent.name == "agents" and _COPY.fullmatch(home.name) and (home / ".complete").exists() else None
    )


def old_copies(names: Iterable[str], *, own: str, in_use: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the copies that may go: not ours, and not that of a daemon that has not been restarted yet; pure."""
    kept = {own, *in_use}
    return tuple(sorted(name for name in names if _COPY.fullmatch(name) and name not in kept))


def remove_old_copies(home: Path, proc: Path = Path("/proc")) -> tuple[str, ...]:
    """Remove the other copies beside `home`, and return their names; what cannot be removed is told and stays."""
    directory = home.parent
    gone = []
    for name in old_copies((entry.name for entry in directory.iterdir() if entry.is_dir()), own=home.name, in_use=_in_use(directory, proc)):
        # First it is made unusable: a copy without its mark is unpacked anew by whoever needs it.
        try:
            (directory / name / ".complete").unlink(missing_ok=True)
            shutil.rmtree(directory / name)
        except OSError as error:
            log.warning("the old copy %s could not be removed: %s", directory / name, error)
            continue
        gone.append(name)
    if gone:
        log.info("removed old copies of this program: %s", ", ".join(gone))
    return tuple(gone)


def _in_use(directory: Path, proc: Path) -> set[str]:
    """Return the copies that a process runs from, or is unpacking: its program, the loader, lies in it; or its id is in the name."""
    used = set()
    for process in proc.iterdir():
        if not process.name.isdigit():
            continue
        used |= {entry.name for entry in directory.glob(f"*.{process.name}")}
        try:
            program = (process / "exe").readlink()
        except OSError:
            continue
        if program.is_relative_to(directory):
            used.add(program.relative_to(directory).parts[0])
    return used
