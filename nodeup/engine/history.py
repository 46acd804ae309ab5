"""What each run changed, and what stood there before: written before the change, so that even a killed run can be taken back.

    versions/<sha256>            former contents, 0600
    runs/<id>/run.json           what ran, for which configuration, and whether it ended
    runs/<id>/<hash>.json        one change: the path or unit, and how it was before

A run that changes nothing leaves nothing. The newest five runs are kept, while all together stays below a size.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from agents.decode import decode
from agents.documents import load_json
from agents.errors import AccessError, NotFoundError, SpecError
from agents.host.protocol import Host
from agents.host.reading import names_if_there
from nodeup.resources.former import VERSIONS, Version
from nodeup.resources.protocol import STATE_DIRECTORY

log = logging.getLogger(__name__)

RUNS = f"{STATE_DIRECTORY}/runs"
#: Enough to go back over an upgrade that was tried, repaired and tried again.
KEPT_RUNS = 5
#: An upgrade of Kubernetes replaces some 300 MB of programs.
KEPT_BYTES = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that a run changed."""

    #: The resource's id.
    id: str
    #: "" for a unit without a file of ours.
    path: str = ""
    #: The unit's full name; "" for everything else.
    unit: str = ""
    #: What stood at the path; None where nothing did.
    before: Version | None = None
    #: The signature of what the run meant to leave there; "" where that is nothing, or not known.
    after: str = ""
    #: Whether we may remove it when it is not wanted any more.
    owned: bool = False
    on_change: tuple[tuple[str, ...], ...] = ()
    #: How the unit was; None where that is no concern.
    was_enabled: bool | None = None
    was_running: bool | None = None

    @property
    def key(self) -> str:
        """What it is about: two changes with the same key are of the same thing."""
        return self.path or f"unit {self.unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run that changed something."""

    #: Ids sort by time.
    id: str
    began: datetime
    #: "apply", "rollback".
    verb: str = "apply"
    #: Of which configuration: its hash in user data, and for whom.
    config_hash: str = ""
    node: str = ""
    #: Whether everything was as wanted at its end; False also for one that was killed.
    complete: bool = False
    changes: tuple[Change, ...] = ()


def run_id(began: datetime, *, after: str = "") -> str:
    """Return the id of a run; one that sorts after `after` even where the clock was set back."""
    found = began.strftime("%Y%m%dT%H%M%S.%fZ")
    return found if found > after else f"{after}+"


def last_run_id(host: Host) -> str:
    """Return the id of the newest run that is kept; "" where there is none."""
    return max((name for name in names_if_there(host, RUNS) if not name.startswith(".")), default="")


def write_run(host: Host, run: Run) -> None:
    """Write a run's own document, without its changes."""
    document = {"id": run.id, "began": run.began.isoformat(), "verb": run.verb, "config_hash": run.config_hash, "node": run.node}
    host.write(f"{RUNS}/{run.id}/run.json", _json({**document, "complete": run.complete}), mode=0o600)


def write_change(host: Host, run: Run, change: Change) -> None:
    """Write a change, durably; one that is there already stays, for it tells how things were before the run."""
    path = f"{RUNS}/{run.id}/{hashlib.sha256(change.key.encode()).hexdigest()[:24]}.json"
    if host.stat(path) is None:
        host.write(path, _json(asdict(change)), mode=0o600)


def read_runs(host: Host, *, after: str = "") -> tuple[Run, ...]:
    """Return the runs that changed something, later than the one with the id `after`, oldest first.

    What cannot be read is left out, with a warning.
    """
    runs = []
    for name in names_if_there(host, RUNS):
        if name.startswith(".") or name <= after:
            continue
        try:
            runs.append(_read_run(host, name))
        except (SpecError, NotFoundError, AccessError) as error:
            log.warning("the record of run %s cannot be read: %s", name, error)
    return tuple(run for run in sorted(runs, key=lambda run: run.id) if run.changes)


def prune(host: Host, keep: Iterable[str] = (), *, most_runs: int = KEPT_RUNS, most_bytes: int = KEPT_BYTES) -> None:
    """Forget old runs, and contents that nobody refers to any more.

    Contents with a digest in `keep` stay, and so does the newest run, however large it is.
    """
    runs = read_runs(host)[-most_runs:]
    wanted = set(keep)
    sizes = {name: stat.size_bytes for name in names_if_there(host, VERSIONS) if (stat := host.stat(f"{VERSIONS}/{name}")) is not None}
    kept: list[Run] = []
    for run in reversed(runs):
        needs = wanted | {change.before.sha256 for change in run.changes if change.before is not None and change.before.sha256}
        if kept and sum(sizes.get(digest, 0) for digest in needs) > most_bytes:
            break
        kept.append(run)
        wanted = needs
    for name in set(names_if_there(host, RUNS)) - {run.id for run in kept}:
        _remove_run(host, name)
    for digest in sizes.keys() - wanted:
        host.remove(f"{VERSIONS}/{digest}")


def _read_run(host: Host, name: str) -> Run:
    directory = f"{RUNS}/{name}"
    path = f"{directory}/run.json"
    run = decode(Run, load_json(host.read(path), where=path), where=path).value
    changes = []
    for entry in names_if_there(host, directory):
        if entry != "run.json" and entry.endswith(".json") and not entry.startswith("."):
            where = f"{directory}/{entry}"
            changes.append(decode(Change, load_json(host.read(where), where=where), where=where).value)
    return replace(run, changes=tuple(sorted(changes, key=lambda change: change.key)))


def _remove_run(host: Host, name: str) -> None:
    """Remove a run's records; a crash in between leaves a directory with a dot, which is no run, and goes the next time."""
    directory = f"{RUNS}/{name}"
    if not name.startswith("."):
        host.rename(directory, f"{RUNS}/.{name}")
        directory = f"{RUNS}/.{name}"
    for entry in names_if_there(host, directory):
        host.remove(f"{directory}/{entry}")
    host.remove(directory)


def _json(document: object) -> bytes:
    return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"
