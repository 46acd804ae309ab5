"""Status files."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from agents.errors import NotFoundError, SpecError
from agents.status import Status, Waiting, read_status, status_path, write_status
from tests.fakes.host import FakeHost

WHEN = datetime(2026, 8, 22, 2, 57, 11, tzinfo=UTC)
STATUS = Status(
    agent="protokube",
    state="waiting",
    message="one volume of two is mounted",
    waiting=(
        Waiting(reason="volume vol-0a1 to be attached", since=WHEN, until=WHEN.replace(minute=59), hint="attach it", last_error="in use"),
    ),
    details={"volumes": ["main"]},
    updated=WHEN,
)


@pytest.mark.parametrize("status", [STATUS, Status(agent="nodeup", state="done")], ids=["full", "bare"])
def test_what_was_published_is_read(status: Status) -> None:
    host = FakeHost()
    write_status(host, status)
    assert read_status(host, status_path(status.agent)) == status


def test_the_file_is_the_contract() -> None:
    host = FakeHost()
    write_status(host, STATUS)
    assert json.loads(host.read("/run/node-agents/status/protokube.json")) == {
        "apiVersion": "node-agents/v1",
        "kind": "Status",
        "agent": "protokube",
        "state": "waiting",
        "message": "one volume of two is mounted",
        "updated": "2026-08-22T02:57:11Z",
        "waiting": [
            {
                "reason": "volume vol-0a1 to be attached",
                "since": "2026-08-22T02:57:11Z",
                "until": "2026-08-22T02:59:11Z",
                "hint": "attach it",
                "lastError": "in use",
            }
        ],
        "details": {"volumes": ["main"]},
    }


def test_a_missing_or_foreign_file_is_said() -> None:
    host = FakeHost({"/other": b'{"kind": "Other"}'})
    with pytest.raises(NotFoundError):
        read_status(host, "/missing")
    with pytest.raises(SpecError, match="wanted a Status"):
        read_status(host, "/other")
