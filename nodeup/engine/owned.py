"""What on this machine is ours, and what of it nobody wants any more: the manifest, and what follows from it and a plan.

The manifest is written at the end of each run. A run that was killed is made up for from its history, which was written
before each change; so a file is never ours in silence, and never forgotten.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from agents.decode import decode
from agents.documents import load_json
from agents.errors import AccessError, NotFoundError, SpecError
from agents.host.protocol import Host
from nodeup.engine.graph import Step
from nodeup.engine.history import Change, Run, read_runs
from nodeup.resources.archive import ArchiveMembers
from nodeup.resources.file import File, Symlink
from nodeup.resources.former import FormerFile, FormerUnit, Version, signature_at
from nodeup.resources.kinds import AnyResource
from nodeup.resources.protocol import STATE_DIRECTORY, RunContext
from nodeup.resources.unit import Unit

log = logging.getLogger(__name__)

OWNED = f"{STATE_DIRECTORY}/owned.json"
#: Nobody else puts what a plan asks for here. Elsewhere a file that was as wanted before we ever wrote it is somebody else's.
_OUR_PLACES = ("/etc/kubernetes/", "/etc/node-agents/", "/srv/kubernetes/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """A file, symlink or unit of ours."""

    #: "" for an instance of a template of ours.
    path: str = ""
    #: The unit's full name; "" for a file.
    unit: str = ""
    #: What we left there; more than one only where a run did not end.
    signatures: tuple[str, ...] = ()
    #: What stood there before us: it is put back when we go.
    former: Version | None = None
    on_change: tuple[tuple[str, ...], ...] = ()

    @property
    def key(self) -> str:
        """As `Change.key`."""
        return self.path or f"unit {self.unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything that is ours, by key."""

    things: Mapping[str, Owned] = field(default_factory=dict)
    #: The id of the last run whose changes are in `things`.
    settled: str = ""

    @property
    def kept_digests(self) -> frozenset[str]:
        """The contents that must be kept because they are to be put back some day."""
        return frozenset(owned.former.sha256 for owned in self.things.values() if owned.former is not None and owned.former.sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    items: tuple[Owned, ...]
    settled: str = ""


def read_manifest(host: Host) -> Manifest:
    """Return what is ours, with what runs after the manifest's writing changed.

    A manifest that is damaged, or not for us to read, is none: then nothing is removed.
    """
    try:
        document = decode(_Document, load_json(host.read(OWNED), where=OWNED), where=OWNED).value
        manifest = Manifest(things={owned.key: owned for owned in document.items}, settled=document.settled)
    except NotFoundError:
        manifest = Manifest()
    except (SpecError, AccessError) as error:
        log.warning("nothing will be removed that is not wanted any more: what is ours is not known: %s", error)
        manifest = Manifest()
    return with_changes(manifest, read_runs(host, after=manifest.settled))


def write_manifest(host: Host, manifest: Manifest) -> None:
    """Replace the manifest, in one step; one that says the same is not written again."""
    items = [asdict(owned) for _, owned in sorted(manifest.things.items())]
    document = {"apiVersion": "node-agents/v1", "kind": "OwnedThings", "settled": manifest.settled, "items": items}
    content = json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"
    try:
        if host.read(OWNED) == content:
            return
    except NotFoundError:
        pass
    host.write(OWNED, content, mode=0o600)


def with_changes(manifest: Manifest, runs: Iterable[Run]) -> Manifest:
    """Return a manifest in which what these runs changed, in their order, is ours as well; pure."""
    things = dict(manifest.things)
    settled = manifest.settled
    for run in runs:
        settled = run.id
        for change in run.changes:
            merged = _merged(things.get(change.key), change)
            if merged is not None:
                things[change.key] = merged
    return Manifest(things=things, settled=settled)


def obsolete(manifest: Manifest, planned: Sequence[AnyResource], unit_directory: str) -> tuple[FormerFile | FormerUnit, ...]:
    """Return what is ours and not planned any more, each as it was before us; pure. `planned` is the whole plan, nothing left out."""
    wanted = set(keys_of(planned, unit_directory))
    archives = [step for step in planned if isinstance(step, ArchiveMembers)]
    gone = [owned for key, owned in sorted(manifest.things.items()) if key not in wanted and not _comes_from(owned.path, archives)]
    return tuple(_former(owned) for owned in gone)


def split_foreign(
    steps: Sequence[FormerFile | FormerUnit], host: Host, context: RunContext
) -> tuple[tuple[FormerFile | FormerUnit, ...], tuple[str, ...]]:
    """Return the steps for what is still ours, and the paths of what somebody else changed since: that stays."""
    ours: list[FormerFile | FormerUnit] = []
    foreign: list[str] = []
    for step in steps:
        found = signature_at(step.path, host, context) if step.path else None
        known = {*step.ours, *((step.version.signature,) if step.version is not None else ())}
        if found is None or found in known:
            ours.append(step)
        else:
            foreign.append(step.path)
    return tuple(ours), tuple(foreign)


def after_complete_run(
    manifest: Manifest, steps: Sequence[Step], planned: Sequence[AnyResource], host: Host, context: RunContext
) -> Manifest:
    """Return what is ours after a run that made all `steps`: what of them it or an earlier run wrote, and what of the plan was left out.

    What was as wanted without our doing is not ours. So, if our state was lost, less is removed later than could be, never more.
    """
    directory = context.distribution.unit_directory
    things = {key: manifest.things[key] for key in keys_of(planned, directory) if key in manifest.things}
    for owned in _ours(steps, planned, directory):
        if owned.key not in manifest.things and not owned.path.startswith(_OUR_PLACES):
            continue
        signature = signature_at(owned.path, host, context) if owned.path else None
        former = manifest.things[owned.key].former if owned.key in manifest.things else None
        things[owned.key] = replace(owned, signatures=(signature,) if signature else (), former=former)
    return Manifest(things=things, settled=manifest.settled)


def keys_of(planned: Iterable[Step], unit_directory: str) -> Iterator[str]:
    """Yield the keys of everything that a plan puts somewhere, ours or not."""
    for step in planned:
        match step:
            case File() | Symlink():
                yield step.path
            case Unit():
                yield f"{unit_directory}/{step.full_name}"
                yield f"unit {step.full_name}"
            case _:
                continue


def _ours(steps: Iterable[Step], planned: Sequence[AnyResource], unit_directory: str) -> Iterator[Owned]:
    units = {f"{unit_directory}/{unit.full_name}": unit.full_name for unit in planned if isinstance(unit, Unit)}
    for step in steps:
        match step:
            case File() if not step.only_if_absent:
                # Below a directory a unit is a file; on the machine that it is for, it must still be known for one.
                yield Owned(path=step.path, unit=units.get(step.path, ""), on_change=step.on_change)
            case Symlink():
                yield Owned(path=step.path)
            case Unit() if step.definition is not None:
                yield Owned(path=f"{unit_directory}/{step.full_name}", unit=step.full_name)
            case Unit() if step.is_instance:
                yield Owned(unit=step.full_name)
            case _:
                continue


def _merged(owned: Owned | None, change: Change) -> Owned | None:
    if owned is None:
        if not change.owned or not (change.after or (change.unit and not change.path)):
            return None
        # The same bytes before and after: of a place of ours, and of a unit, that is our own, of a time that we do not remember.
        same = change.before is not None and change.before.signature == change.after
        former = None if same and (change.unit or change.path.startswith(_OUR_PLACES)) else change.before
        signatures = (change.after,) if change.after else ()
        return Owned(path=change.path, unit=change.unit, signatures=signatures, former=former, on_change=change.on_change)
    if not change.after or change.after in owned.signatures:
        return owned
    return replace(owned, signatures=(*owned.signatures, change.after))


def _former(owned: Owned) -> FormerFile | FormerUnit:
    if owned.unit:
        return FormerUnit(name=owned.unit, path=owned.path, version=owned.former, ours=owned.signatures)
    return FormerFile(path=owned.path, version=owned.former, ours=owned.signatures, on_change=owned.on_change)


def _comes_from(path: str, archives: Iterable[ArchiveMembers]) -> bool:
    """Whether an archive may bring this path: its members are not known while planning."""
    directory, _, name = path.rpartition("/")
    candidates = (name, f"./{name}", f"bin/{name}")
    return any(
        directory == archive.directory.rstrip("/") and any(re.search(archive.pattern, candidate) for candidate in candidates)
        for archive in archives
    )
