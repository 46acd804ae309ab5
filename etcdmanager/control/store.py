"""The control store: `control/` inside the backup store, where operators say what they want.

It reads tolerantly and writes strictly; it never waits, retries or decides. The documents are in
`etcdmanager.control.commands`. Methods block (a Store does): call them through asyncio.to_thread where a loop runs.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, Protocol, TypeVar

from agents.errors import ConflictError, NotFoundError, SpecError, VerificationError
from agents.stores.protocol import Entry, Store
from etcdmanager.backups.name import checked
from etcdmanager.control import commands as documents
from etcdmanager.control.commands import (
    BackupAnswer,
    BackupRequest,
    Claim,
    Failure,
    Formation,
    LeaderReport,
    Progress,
    Receipt,
    RestoreCommand,
    RestoreRequest,
)
from etcdmanager.control.member_requests import DIRECTORY as MEMBER_REQUESTS
from etcdmanager.control.member_requests import MemberRequest, MemberRequests, open_requests, parse_member_request
from etcdmanager.control.pause import PAUSE, Pause, parse_pause
from etcdmanager.spec import ClusterSpec

log = logging.getLogger(__name__)

CONTROL = "control"
SPEC = "etcd-cluster-spec"
CREATED = "etcd-cluster-created"
COMMAND = "_command.json"
_REQUEST, _CLAIM, _PROGRESS, _RECEIPT, _FAILED = "_request.json", "_claim.json", "_progress.json", "_receipt.json", "_failed.json"
_FORMATION = "_formation.json"
_LEADER = "_leader.json"
_REQUESTS = "_requests"
_DONE = ".done.json"
#: Commands of one second get different suffixes; Go's always have the first, so that its second command overwrites its first.
_SUFFIXES = 100

_D = TypeVar("_D")
_D_co = TypeVar("_D_co", covariant=True)


class _Parse(Protocol[_D_co]):
    def __call__(self, content: bytes, *, where: str) -> _D_co: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Found(Generic[_D]):
    """A document, and the version of the object that it was read from."""

    document: _D
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedCommand:
    """A command that stands in the store, and what lies beside it."""

    command: RestoreCommand
    claim: Found[Claim] | None
    #: Whether it was carried out, and only its deletion is missing: it must never be executed again.
    receipt: bool
    #: Whether it was given up, and only its deletion is missing.
    failed: bool
    #: The peers that whoever asked says are gone for good.
    gone: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BadObject:
    """An object that does not parse. It is isolated: everything else goes on."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlView:
    """One look at everything that operators asked for."""

    #: Oldest first.
    commands: tuple[QueuedCommand, ...]
    #: Those not answered yet, oldest first.
    requests: tuple[BackupRequest, ...]
    bad: tuple[BadObject, ...]
    #: What is asked of single members and not answered yet, oldest first.
    member_requests: tuple[MemberRequest, ...] = ()
    #: That nothing shall be begun for a while; None without one, or where it does not parse.
    pause: Pause | None = None

    @property
    def open_commands(self) -> tuple[QueuedCommand, ...]:
        """Return the commands that are neither carried out nor given up."""
        return tuple(queued for queued in self.commands if not queued.receipt and not queued.failed)


class ControlStore:
    """`control/` of one backup store."""

    def __init__(self, backup_store: Store) -> None:
        self._store = backup_store.child(CONTROL)

    @property
    def url(self) -> str:
        """The URL of the control directory, for messages."""
        return self._store.url

    @property
    def member_requests(self) -> MemberRequests:
        """What operators ask of single members."""
        return MemberRequests(self._store)

    # --- Go's three documents --------------------------------------------------------------------------------------

    def spec(self) -> ClusterSpec | None:
        """Return the desired spec; None where none was written. SpecError for one that does not parse."""
        return self._optional(SPEC, documents.parse_spec)

    def write_spec(self, spec: ClusterSpec) -> None:
        """Replace the desired spec."""
        self._store.write(SPEC, documents.render_spec(spec))

    def is_created(self) -> bool:
        """Return whether the cluster was ever created. An empty marker is VerificationError: somebody broke it."""
        try:
            content = self._store.read(CREATED)
        except NotFoundError:
            return False
        if not content.strip():
            raise VerificationError(f"{self._store.url}/{CREATED} is empty; wanted the marker of a created cluster", code="marker-empty")
        return True

    def write_created(self, created_at: datetime) -> None:
        """Write the marker that the cluster exists; an existing one stays as it is."""
        try:
            self._store.create(CREATED, documents.render_marker(created_at))
        except ConflictError:
            if not self._store.read(CREATED).strip():
                self._store.write(CREATED, documents.render_marker(created_at))

    def queue_restore(
        self, *, backup: str, spec: ClusterSpec, queued_at: datetime, request: RestoreRequest | None = None
    ) -> RestoreCommand:
        """Queue a restore; the leader acts on it when it sees it. Return the command with its name.

        Who asked is written first: a command without it is a Go tool's.
        """
        for suffix in range(_SUFFIXES):
            name = f"{queued_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z-{suffix:06d}"
            command = RestoreCommand(name=name, backup=checked(backup), spec=spec, queued_at=queued_at)
            # What lies beside a command is found by its name: one of the same second that was given up, or claimed, must not be inherited.
            if any(self._store.exists(f"{name}/{file}") for file in (COMMAND, _RECEIPT, _FAILED, _CLAIM)):
                continue
            if request is not None:
                self._store.write(f"{name}/{_REQUEST}", documents.render_request(request))
            try:
                self._store.create(f"{name}/{COMMAND}", documents.render_command(command))
            except ConflictError:
                continue
            return command
        raise ConflictError(f"{_SUFFIXES} commands were queued in one second at {self._store.url}; try again")

    def delete_command(self, name: str) -> None:
        """Take a command out of the queue; what lies beside it stays as history."""
        self._store.delete(f"{checked(name)}/{COMMAND}")

    # --- everything asked for --------------------------------------------------------------------------------------

    def observe(self) -> ControlView:
        """Return all queued commands and unanswered backup requests: one listing, and one read for each."""
        entries = self._store.list()
        keys = {entry.key for entry in entries}
        bad: list[BadObject] = []
        queued = [found for entry in entries if entry.key.endswith(f"/{COMMAND}") and (found := self._queued(entry, keys, bad)) is not None]
        requests = [
            request.document
            for entry in entries
            if entry.key.startswith(f"{_REQUESTS}/")
            and not entry.key.endswith(_DONE)
            and entry.key.removesuffix(".json") + _DONE not in keys
            and (request := self._isolated(entry.key, documents.parse_backup_request, bad)) is not None
        ]
        asked = [self._isolated(key, parse_member_request, bad) for key in open_requests(keys)]
        pause = self._isolated(PAUSE, parse_pause, bad) if PAUSE in keys else None
        return ControlView(
            pause=pause.document if pause is not None else None,
            member_requests=tuple(sorted((r.document for r in asked if r is not None), key=lambda r: (r.requested_at, r.id))),
            commands=tuple(sorted(queued, key=lambda q: (q.command.queued_at, q.command.name))),
            requests=tuple(sorted(requests, key=lambda r: (r.requested_at, r.id))),
            bad=tuple(bad),
        )

    def _queued(self, entry: Entry, keys: set[str], bad: list[BadObject]) -> QueuedCommand | None:
        name = entry.key.removesuffix(f"/{COMMAND}")
        found = self._isolated(entry.key, lambda content, *, where: documents.parse_command(content, name=name, where=where), bad)
        if found is None:
            return None
        claim_key = f"{name}/{_CLAIM}"
        claim = self._isolated(claim_key, documents.parse_claim, bad) if claim_key in keys else None
        if claim is None and claim_key in keys and self._store.exists(claim_key):
            return None  # A claim that cannot be read must not look like no claim: the command waits for a human.
        request_key = f"{name}/{_REQUEST}"
        request = self._isolated(request_key, documents.parse_request, bad) if request_key in keys else None
        return QueuedCommand(
            command=found.document,
            gone=request.document.gone if request is not None else (),
            claim=claim,
            receipt=f"{name}/{_RECEIPT}" in keys,
            failed=f"{name}/{_FAILED}" in keys,
        )

    # --- a restore's life ------------------------------------------------------------------------------------------

    def command(self, name: str) -> RestoreCommand | None:
        """Return a queued command; None where it is queued no more. Read it again right before acting on it."""
        return self._optional(
            f"{checked(name)}/{COMMAND}", lambda content, *, where: documents.parse_command(content, name=name, where=where)
        )

    def request(self, name: str) -> RestoreRequest | None:
        """Return who asked for a restore; None where a Go tool queued it."""
        return self._optional(f"{checked(name)}/{_REQUEST}", documents.parse_request)

    def create_claim(self, claim: Claim) -> Found[Claim]:
        """Claim a command; ConflictError where someone else did."""
        version = self._store.create(f"{checked(claim.command)}/{_CLAIM}", documents.render_claim(claim))
        return Found(document=claim, version=version)

    def claim(self, name: str) -> Found[Claim] | None:
        """Return a command's claim; None where it is unclaimed."""
        return self._versioned(f"{checked(name)}/{_CLAIM}", documents.parse_claim)

    def change_claim(self, claim: Claim, version: str) -> Found[Claim]:
        """Replace a claim that must still be at `version`; ConflictError where someone else changed it."""
        changed = self._store.replace_if_unchanged(f"{checked(claim.command)}/{_CLAIM}", documents.render_claim(claim), version)
        return Found(document=claim, version=changed)

    def write_progress(self, name: str, progress: Progress) -> None:
        """Tell whoever watches."""
        self._store.write(f"{checked(name)}/{_PROGRESS}", documents.render_progress(progress))

    def progress(self, name: str) -> Progress | None:
        """Return the last progress report; None before the first."""
        return self._optional(f"{checked(name)}/{_PROGRESS}", documents.parse_progress)

    def finish(self, receipt: Receipt) -> None:
        """Write the receipt, then take the command out of the queue. Repeating it is harmless."""
        self._store.write(f"{checked(receipt.command)}/{_RECEIPT}", documents.render_receipt(receipt))
        self.delete_command(receipt.command)

    def receipt(self, name: str) -> Receipt | None:
        """Return the receipt of a restore that was carried out; None otherwise."""
        return self._optional(f"{checked(name)}/{_RECEIPT}", documents.parse_receipt)

    def fail(self, failure: Failure) -> None:
        """Write why a command was given up, then take it out of the queue. Repeating it is harmless."""
        self._store.write(f"{checked(failure.command)}/{_FAILED}", documents.render_failure(failure))
        self.delete_command(failure.command)

    def failure(self, name: str) -> Failure | None:
        """Return why a restore was given up; None otherwise."""
        return self._optional(f"{checked(name)}/{_FAILED}", documents.parse_failure)

    def receipts(self) -> tuple[Receipt, ...]:
        """Return the receipts of all restores ever carried out here, oldest first; those that do not parse are left out."""
        bad: list[BadObject] = []
        found = (
            self._isolated(entry.key, documents.parse_receipt, bad) for entry in self._store.list() if entry.key.endswith(f"/{_RECEIPT}")
        )
        return tuple(sorted((item.document for item in found if item is not None), key=lambda receipt: receipt.finished_at))

    # --- formation -------------------------------------------------------------------------------------------------

    def formation(self) -> Found[Formation] | None:
        """Return the decision to form a cluster; None where nobody decided it, or it is history."""
        return self._versioned(_FORMATION, documents.parse_formation)

    def create_formation(self, formation: Formation) -> Found[Formation]:
        """Decide a formation; ConflictError where one is decided already."""
        return Found(document=formation, version=self._store.create(_FORMATION, documents.render_formation(formation)))

    def change_formation(self, formation: Formation, version: str) -> Found[Formation]:
        """Replace a formation that must still be at `version`; ConflictError where someone else changed it."""
        changed = self._store.replace_if_unchanged(_FORMATION, documents.render_formation(formation), version)
        return Found(document=formation, version=changed)

    def delete_formation(self) -> None:
        """Forget the formation, when the marker stands."""
        self._store.delete(_FORMATION)

    # --- the leader's report ----------------------------------------------------------------------------------------

    def write_leader_report(self, report: LeaderReport) -> None:
        """Tell how the cluster is; the leader does it now and then."""
        self._store.write(_LEADER, documents.render_leader_report(report))

    def leader_report(self) -> LeaderReport | None:
        """Return how the leader saw the cluster last; None where none ever told, or it does not parse. Look at its time."""
        bad: list[BadObject] = []
        found = self._isolated(_LEADER, documents.parse_leader_report, bad)
        for one in bad:
            log.warning("how the cluster is, is unknown: %s cannot be read: %s", one.key, one.reason)
        return found.document if found is not None else None

    # --- backup-now ------------------------------------------------------------------------------------------------

    def request_backup(self, request: BackupRequest) -> None:
        """Ask for a backup; ConflictError where the id was used before."""
        self._store.create(f"{_REQUESTS}/{checked(request.id)}.json", documents.render_backup_request(request))

    def answer_backup(self, answer: BackupAnswer) -> None:
        """Answer a backup-now; it is not listed as open from then on."""
        self._store.write(f"{_REQUESTS}/{checked(answer.id)}{_DONE}", documents.render_backup_answer(answer))

    def backup_answer(self, request_id: str) -> BackupAnswer | None:
        """Return what became of a backup-now; None while nobody answered it."""
        return self._optional(f"{_REQUESTS}/{checked(request_id)}{_DONE}", documents.parse_backup_answer)

    def forget_requests(self, *, answered_before: datetime) -> None:
        """Delete requests and answers that nobody will ask for again."""
        entries = [entry for directory in (_REQUESTS, MEMBER_REQUESTS) for entry in self._store.list(directory)]
        for key in _old_answers(entries, answered_before):
            self._store.delete(key.removesuffix(_DONE) + ".json")
            self._store.delete(key)

    # --- reading ---------------------------------------------------------------------------------------------------

    def _optional(self, key: str, parse: _Parse[_D]) -> _D | None:
        found = self._versioned(key, parse)
        return None if found is None else found.document

    def _versioned(self, key: str, parse: _Parse[_D]) -> Found[_D] | None:
        try:
            blob = self._store.read_versioned(key)
        except NotFoundError:
            return None
        return Found(document=parse(blob.content, where=f"{self._store.url}/{key}"), version=blob.version)

    def _isolated(self, key: str, parse: _Parse[_D], bad: list[BadObject]) -> Found[_D] | None:
        """Return a document; None where it vanished since it was listed, or does not parse, which is added to `bad`."""
        try:
            return self._versioned(key, parse)
        except SpecError as error:
            bad.append(BadObject(key=f"{self._store.url}/{key}", reason=str(error)))
            return None


def _old_answers(entries: Iterable[Entry], before: datetime) -> list[str]:
    return [entry.key for entry in entries if entry.key.endswith(_DONE) and entry.modified < before]
