from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from agents.stores.local import LocalStore
from agents.stores.memory import MemoryStore
from etcdmanager.control.history import KEEP, Event, History

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def event(at: datetime, text: str = "did it") -> Event:
    return Event(at=at, by="root@cp-a", what="remove-member", text=text, reason="INC-1")


@given(
    st.lists(st.builds(event, st.datetimes(NOON.replace(tzinfo=None) - KEEP, NOON.replace(tzinfo=None), timezones=st.just(UTC)), st.text()))
)
def test_what_was_written_is_read_in_order(events: list[Event]) -> None:
    history = History(MemoryStore())
    for one in events:
        history.append(one)

    found = history.events()

    def to_the_microsecond(one: Event) -> tuple[datetime, str]:
        return one.at, one.text

    assert sorted(found, key=to_the_microsecond) == sorted(events, key=to_the_microsecond)
    assert [one.at for one in found] == sorted(one.at for one in events)


def test_two_who_write_at_once_take_nothing_away_from_each_other(tmp_path: Path) -> None:
    def write(who: int) -> None:
        history = History(LocalStore(tmp_path))
        for number in range(20):
            history.append(event(NOON, f"{who}/{number}"))

    threads = [threading.Thread(target=write, args=(who,)) for who in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({one.text for one in History(LocalStore(tmp_path)).events()}) == 40


def test_a_damaged_line_hides_no_other() -> None:
    store = MemoryStore()
    history = History(store)
    history.append(event(NOON, "before"))
    store.write("control/_history/2026-11-20.jsonl", store.read("control/_history/2026-11-20.jsonl") + b'{"at": 5}\nno json\n[]\n')
    history.append(event(NOON, "after"))

    assert [one.text for one in history.events()] == ["before", "after"]


def test_old_days_are_forgotten_and_nothing_else_is() -> None:
    store = MemoryStore()
    history = History(store)
    for days in (0, 89, 91, 400):
        history.append(event(NOON - timedelta(days=days)))
    store.write("control/_history/notes.txt", b"mine")

    history.forget(NOON)

    assert [one.at for one in history.events()] == [NOON - timedelta(days=89), NOON]
    assert store.exists("control/_history/notes.txt")


def test_since_leaves_earlier_events_out() -> None:
    history = History(MemoryStore())
    for hours in range(48):
        history.append(event(NOON - timedelta(hours=hours)))

    assert len(history.events(since=NOON - timedelta(hours=24))) == 25
