from __future__ import annotations

import pytest

from agents.errors import AccessError, ConflictError, TransientError
from agents.stores.memory import MemoryStore
from tests.fakes.store_faults import Fault, FaultyStore


def test_without_faults_everything_goes_well_and_calls_are_noted() -> None:
    store = FaultyStore(MemoryStore())

    store.child("a").write("b", b"1")

    assert store.read("a/b") == b"1"
    assert store.calls == (("write", "a/b"), ("read", "a/b"))


def test_a_fault_before_the_effect_leaves_nothing_and_passes() -> None:
    store = FaultyStore(MemoryStore(), Fault(method="create", error=AccessError("no")))

    with pytest.raises(AccessError):
        store.create("a", b"1")
    assert not store.exists("a")
    store.create("a", b"1")


def test_a_lost_answer_leaves_the_effect() -> None:
    store = FaultyStore(MemoryStore(), Fault(method="create", after_effect=True))

    with pytest.raises(TransientError):
        store.create("a", b"1")
    with pytest.raises(ConflictError):
        store.create("a", b"1")


def test_skip_and_times_count_matching_calls_only() -> None:
    store = FaultyStore(MemoryStore(), Fault(method="exists", key="a/*", skip=1, times=2))

    outcomes = []
    for key in ("a/x", "b", "a/x", "b", "a/x", "a/x"):
        try:
            outcomes.append(str(store.exists(key)))
        except TransientError:
            outcomes.append("failed")

    assert outcomes == ["False", "False", "failed", "False", "failed", "False"]


def test_a_torn_stream_yields_what_came_before_and_fails_then() -> None:
    store = FaultyStore(MemoryStore(), Fault(method="stream", after_bytes=3))
    store.write("a", b"12345")
    stream = store.stream("a")

    assert next(stream) == b"123"
    with pytest.raises(TransientError):
        next(stream)


def test_a_write_that_is_torn_changes_nothing() -> None:
    store = FaultyStore(MemoryStore(), Fault(method="write", after_bytes=3, skip=1))
    store.write("a", b"old")

    with pytest.raises(TransientError):
        store.write("a", iter((b"12", b"345")))

    assert store.read("a") == b"old"
