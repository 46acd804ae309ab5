from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from agents.status import Status, Waiting
from nodeup.status_view import StatusView, status_document, status_lines

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
REFUSED = "kops-controller.internal.demo.example.com has only the placeholder 203.0.113.123"


def view(status: Status, *, is_alive: bool = True, is_before_boot: bool = False) -> StatusView:
    return StatusView(hostname="nodes-a", status=status, now=NOW, is_alive=is_alive, is_before_boot=is_before_boot)


def test_a_node_that_waits_says_for_what_since_when_and_what_to_do() -> None:
    waiting = Waiting(
        reason="kops-controller (placeholder)",
        since=NOW - timedelta(minutes=4, seconds=12),
        until=NOW + timedelta(seconds=8),
        hint="look at dns-controller",
        last_error=REFUSED,
    )
    status = Status(agent="nodeup", state="waiting", message="attempt 7: load", waiting=(waiting,), details={"attempt": 7, "phase": "load"})

    assert list(status_lines(view(status))) == [
        "nodes-a  waiting  phase load  attempt 7",
        "  attempt 7: load",
        "  waiting for kops-controller (placeholder), since 4m12s, tried again in 8s",
        f"    last error: {REFUSED}",
        "    hint: look at dns-controller",
    ]


def test_bars_show_when_a_kind_of_step_began_and_ended() -> None:
    rows = [
        {"phase": "asset", "from": 0.0, "to": 5.0, "steps": 2, "changed": 2},
        {"phase": "unit:kubelet.service", "from": 5.0, "to": 10.0, "steps": 1, "changed": 1},
    ]
    status = Status(agent="nodeup", state="done", message="done", details={"timeline": rows})

    lines = list(status_lines(view(status)))

    assert lines[-2] == "  asset                 ■■■■■■■■■■■■■■■                    5.0 s  2 steps, 2 changed"
    assert lines[-1] == "  unit:kubelet.service                 ■■■■■■■■■■■■■■■     5.0 s  1 steps, 1 changed"


def test_the_steps_that_run_longest_come_first() -> None:
    running = [{"id": f"file:/{age}", "since": (NOW - timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%SZ")} for age in range(10)]
    status = Status(agent="nodeup", state="running", message="", details={"running": running})

    lines = [line for line in status_lines(view(status)) if "now:" in line]

    assert lines[0] == "  now: file:/9, for 9s"
    assert lines[-1] == "  now: … and 2 more"


def test_a_nodeup_that_died_at_work_is_not_said_to_run() -> None:
    found = view(Status(agent="nodeup", state="running", message="attempt 1: apply"), is_alive=False)

    assert found.state == "died"
    assert found.is_over
    assert any("journalctl -u kops-configuration" in line for line in status_lines(found))


def test_a_result_of_an_earlier_boot_says_so() -> None:
    found = view(Status(agent="nodeup", state="done", message="done: 3 changes"), is_before_boot=True)

    assert "  this is of an earlier boot" in list(status_lines(found))[1]
    assert status_document(found)["isOfEarlierBoot"] is True


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 10**6) | st.floats(0, 1e6) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["phase", "from", "to", "seconds", "id", "since"]), inner),
    max_leaves=8,
)


@given(details=st.dictionaries(st.sampled_from(["phase", "phases", "timeline", "running", "hint", "began", "attempt"]), JSON))
def test_whatever_a_status_file_holds_is_shown(details: dict[str, object]) -> None:
    found = view(Status(agent="nodeup", state="running", message="m", details=details))

    assert list(status_lines(found))
    assert status_document(found)["state"] == "running"
