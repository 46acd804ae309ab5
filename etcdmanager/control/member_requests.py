"""What an operator asks of one member, and the answer: `control/_member_requests/<id>.json` and `<id>.done.json`. Go never looks there.

    move-leader NAME      raft is to be led by NAME
    remove-member NAME    NAME is to leave the list, where more members run than are wanted
    defragment NAME       the database file of NAME is to be rewritten without holes
    replace-member NAME   NAME is to leave the list, and an empty peer of another name to take its place

The leading manager carries them out, one at a time, by its own rules; a request that a rule refuses is answered with the refusal.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from agents.errors import NotFoundError, SpecError
from agents.stores.protocol import Store
from etcdmanager.backups.name import checked
from etcdmanager.protojson import parse_object, render_object, time_text

DIRECTORY = "_member_requests"
_DONE = ".done.json"


class MemberVerb(Enum):
    """What is asked for; the values are the documents' and the command line's."""

    MOVE_LEADER = "move-leader"
    REMOVE = "remove-member"
    REPLACE = "replace-member"
    DEFRAGMENT = "defragment"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberRequest:
    """One thing asked of one member."""

    id: str
    verb: MemberVerb
    member: str
    requested_by: str
    requested_at: datetime
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberAnswer:
    """What became of it: `text` says it; `code` is "" where it was done, else a rule's."""

    id: str
    answered_at: datetime
    text: str
    code: str = ""


class MemberRequests:
    """The requests in a control store. Methods block, as a Store does."""

    def __init__(self, control: Store) -> None:
        self._store = control

    def ask(self, request: MemberRequest) -> None:
        """Ask; ConflictError where the id was used before."""
        self._store.create(f"{DIRECTORY}/{checked(request.id)}.json", _render(request))

    def answer(self, answer: MemberAnswer) -> None:
        """Answer; the request is not open from then on."""
        document = [("id", answer.id), ("answeredAt", time_text(answer.answered_at)), ("text", answer.text), ("code", answer.code)]
        self._store.write(f"{DIRECTORY}/{checked(answer.id)}{_DONE}", render_object(document))

    def answer_to(self, request_id: str) -> MemberAnswer | None:
        """Return what became of a request; None while nobody answered it."""
        key = f"{DIRECTORY}/{checked(request_id)}{_DONE}"
        try:
            content = self._store.read(key)
        except NotFoundError:
            return None
        fields = parse_object(content, where=f"{self._store.url}/{key}")
        at = _at(fields.time("answeredAt"), key)
        return MemberAnswer(id=fields.text("id"), answered_at=at, text=fields.text("text"), code=fields.text("code"))


def open_requests(keys: Collection[str]) -> tuple[str, ...]:
    """Return the keys of the requests that nobody answered yet, of all keys of a control store."""
    asked = (key for key in keys if key.startswith(f"{DIRECTORY}/") and not key.endswith(_DONE))
    return tuple(sorted(key for key in asked if key.removesuffix(".json") + _DONE not in keys))


def parse_member_request(content: bytes, *, where: str) -> MemberRequest:
    """Return a request; SpecError for what is none."""
    fields = parse_object(content, where=where)
    try:
        verb = MemberVerb(fields.text("verb"))
    except ValueError as error:
        raise SpecError(f"{where}: verb {fields.text('verb')!r} is none of ours", hint="delete it, or update the managers") from error
    return MemberRequest(
        id=fields.text("id"),
        verb=verb,
        member=fields.text("member"),
        requested_by=fields.text("requestedBy"),
        requested_at=_at(fields.time("requestedAt"), where),
        reason=fields.text("reason"),
    )


def _render(request: MemberRequest) -> bytes:
    return render_object(
        [
            ("id", request.id),
            ("verb", request.verb.value),
            ("member", request.member),
            ("requestedBy", request.requested_by),
            ("requestedAt", time_text(request.requested_at)),
            ("reason", request.reason),
        ]
    )


def _at(time: datetime | None, where: str) -> datetime:
    if time is None:
        raise SpecError(f"{where} names no time")
    return time
