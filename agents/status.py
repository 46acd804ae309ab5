"""What an agent is doing and what it waits for, in a file that `status` commands and other agents read (docs/contracts.md)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from agents.documents import as_list, as_mapping, as_str, dump_json, load_json
from agents.errors import SpecError
from agents.host.protocol import Host
from agents.timestamps import format_timestamp, parse_timestamp

API_VERSION = "node-agents/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """One thing that is being waited for."""

    #: "volume vol-0a1 to be attached": completes the sentence "waiting for …".
    reason: str
    since: datetime
    #: The deadline; None: it is waited for without end (a leader, a peer).
    until: datetime | None = None
    #: What an operator can do about it, or "".
    hint: str = ""
    #: How the last attempt failed, or "".
    last_error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """An agent's status at one moment."""

    #: "nodeup", "protokube", "etcd-manager@main": also the file's name.
    agent: str
    #: One word: "starting", "running", "waiting", "degraded", "failed", "stopping", "done".
    state: str
    #: A sentence for people.
    message: str = ""
    waiting: tuple[Waiting, ...] = ()
    #: A document of the agent's own.
    details: Mapping[str, object] = field(default_factory=dict)
    #: When this was written; None: not said. A reader judges by it whether the agent is alive.
    updated: datetime | None = None


def status_path(agent: str) -> str:
    """Return where an agent's status lies."""
    return f"/run/node-agents/status/{agent}.json"


def write_status(host: Host, status: Status, path: str | None = None) -> None:
    """Publish a status, atomically and readable by everyone; `path` defaults to the agent's own."""
    document: dict[str, object] = {
        "apiVersion": API_VERSION,
        "kind": "Status",
        "agent": status.agent,
        "state": status.state,
        "message": status.message,
        "updated": _optional_timestamp(status.updated),
        "waiting": [
            {
                "reason": waiting.reason,
                "since": format_timestamp(waiting.since),
                "until": _optional_timestamp(waiting.until),
                "hint": waiting.hint,
                "lastError": waiting.last_error,
            }
            for waiting in status.waiting
        ],
        "details": dict(status.details),
    }
    host.write(path or status_path(status.agent), dump_json(document).encode(), mode=0o644)


def read_status(host: Host, path: str) -> Status:
    """Return the status in a file; NotFoundError where there is none, SpecError where it is something else."""
    document = as_mapping(load_json(host.read(path), where=path), where=path)
    if (document.get("apiVersion"), document.get("kind")) != (API_VERSION, "Status"):
        raise SpecError(f"{path}: wanted a Status of {API_VERSION}, found {document.get('kind')!r} of {document.get('apiVersion')!r}")
    rows = as_list(document.get("waiting"), where=f"{path}: waiting")
    return Status(
        agent=as_str(document.get("agent"), where=f"{path}: agent"),
        state=as_str(document.get("state"), where=f"{path}: state"),
        message=as_str(document.get("message", ""), where=f"{path}: message"),
        waiting=tuple(_read_waiting(row, where=f"{path}: waiting[{index}]") for index, row in enumerate(rows)),
        details=as_mapping(document.get("details"), where=f"{path}: details"),
        updated=_read_timestamp(document.get("updated"), where=f"{path}: updated"),
    )


def _read_waiting(row: object, *, where: str) -> Waiting:
    fields = as_mapping(row, where=where)
    return Waiting(
        reason=as_str(fields.get("reason"), where=f"{where}.reason"),
        since=parse_timestamp(as_str(fields.get("since"), where=f"{where}.since"), where=f"{where}.since"),
        until=_read_timestamp(fields.get("until"), where=f"{where}.until"),
        hint=as_str(fields.get("hint", ""), where=f"{where}.hint"),
        last_error=as_str(fields.get("lastError", ""), where=f"{where}.lastError"),
    )


def _optional_timestamp(moment: datetime | None) -> str | None:
    return None if moment is None else format_timestamp(moment)


def _read_timestamp(value: object, *, where: str) -> datetime | None:
    return None if value is None else parse_timestamp(as_str(value, where=where), where=where)
