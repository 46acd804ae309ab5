"""What every Store promises, asked of all of them: a directory, memory, and an S3 API on loopback."""

from __future__ import annotations

import hashlib
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from agents.errors import ConflictError, NotFoundError, SpecError
from agents.stores.protocol import Store
from agents.stores.url import open_store
from tests.support.azure_blob import AzureServer, azure_server
from tests.support.gcs import GcsServer, gcs_server
from tests.support.s3 import S3Server, s3_server
from tests.support.swift import SwiftServer, swift_server

#: A backup's directory holds colons; kops' secrets do too; the rest is what people put into names.
UNUSUAL_KEYS = (
    "2026-08-22T02:47:30Z-000977/_etcd_backup.meta",
    "secrets/system:controller_manager",
    "with space/and+plus&and=equals",
    "percent%20literal/100%",
    "hash#question?star*tilde~",
    "back\\slash",
    "Ünïcode/日本語/🔑",
    ".hidden/.well-known",
    "trailing.",
    "-dash/--flag",
)

MALFORMED_KEYS = (
    "",
    "/",
    "/absolute",
    "trailing/",
    "double//slash",
    ".",
    "..",
    "../up",
    "a/../b",
    "a/..",
    "a/./b",
    "nul\0byte",
    "line\nbreak",
    "\ud800",
    ".partial-1",
    "a/.partial-1/b",
    "x" * 1025,
)


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(scope="module")
def gcs() -> Iterator[GcsServer]:
    with gcs_server() as server:
        yield server


@pytest.fixture(scope="module")
def azure() -> Iterator[AzureServer]:
    with azure_server() as server:
        yield server


@pytest.fixture(scope="module")
def swift() -> Iterator[SwiftServer]:
    with swift_server() as server:
        yield server


@pytest.fixture(
    params=[
        "file",
        "memory",
        pytest.param("s3", marks=pytest.mark.s3),
        pytest.param("s3-prefix", marks=pytest.mark.s3),
        "gcs",
        "azure",
        "swift",
    ],
)
def open_again(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Store]:
    """Return a function that opens the same, at first empty store, again and again, as other processes would."""
    unique = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:16]
    match request.param:
        case "file":
            url, environment = f"file://{tmp_path}/not yet there/ü", {}
        case "memory":
            url, environment = f"memory://{unique}/below", {}
        case "gcs" | "azure" | "swift":
            other: GcsServer | AzureServer | SwiftServer = request.getfixturevalue(request.param)
            url, environment = f"{other.url}/{unique}/ü", dict(other.environment)
        case _:
            server: S3Server = request.getfixturevalue("s3")
            prefix = unique if request.param == "s3" else f"{unique}/with space/ü:%20"
            url, environment = f"{server.url}/{prefix}", dict(server.environment)
    return lambda: open_store(url, environment=environment)


@pytest.fixture
def store(open_again: Callable[[], Store]) -> Store:
    return open_again()


def test_what_was_written_is_read(store: Store) -> None:
    store.write("control/etcd-cluster-spec", b'{"memberCount":3}')

    assert store.read("control/etcd-cluster-spec") == b'{"memberCount":3}'
    assert store.exists("control/etcd-cluster-spec")


def test_a_write_replaces_the_whole_blob(store: Store) -> None:
    store.write("a", b"a long first content")
    store.write("a", b"short")

    assert store.read("a") == b"short"


def test_an_empty_blob_exists_and_is_empty(store: Store) -> None:
    store.write("empty", b"")
    store.write("empty-from-no-pieces", iter(()))

    assert store.read("empty") == b""
    assert list(store.stream("empty")) == []
    assert store.read("empty-from-no-pieces") == b""
    assert [entry.size_bytes for entry in store.list()] == [0, 0]


def test_everyone_who_opens_the_url_sees_the_same_blobs(open_again: Callable[[], Store]) -> None:
    open_again().write("a", b"1")

    assert open_again().read("a") == b"1"
    assert open_again().url == open_again().url


def test_a_blob_that_does_not_exist_is_not_found(store: Store) -> None:
    assert not store.exists("absent")
    for read in (store.read, store.read_versioned, store.stream):
        with pytest.raises(NotFoundError, match="absent"):
            read("absent")


def test_a_directory_is_not_a_blob(store: Store) -> None:
    store.write("a/b", b"1")

    assert not store.exists("a")
    for read in (store.read, store.stream):
        with pytest.raises(NotFoundError):
            read("a")


def test_what_would_be_below_a_blob_does_not_exist(store: Store) -> None:
    store.write("a", b"1")

    assert not store.exists("a/b")
    assert store.list("a") == ()
    with pytest.raises(NotFoundError):
        store.read("a/b")
    store.delete("a/b")
    assert store.read("a") == b"1"


@pytest.mark.parametrize("key", UNUSUAL_KEYS)
def test_unusual_keys_are_names_like_any_other(store: Store, key: str) -> None:
    store.write(key, key.encode())

    assert store.read(key) == key.encode()
    assert [entry.key for entry in store.list()] == [key]
    store.delete(key)
    assert not store.exists(key)


@pytest.mark.parametrize("key", MALFORMED_KEYS, ids=repr)
def test_a_malformed_key_is_refused_by_every_method(store: Store, key: str) -> None:
    calls: tuple[Callable[[], object], ...] = (
        lambda: store.read(key),
        lambda: store.read_versioned(key),
        lambda: store.stream(key),
        lambda: store.write(key, b""),
        lambda: store.create(key, b""),
        lambda: store.replace_if_unchanged(key, b"", "version"),
        lambda: store.exists(key),
        lambda: store.delete(key),
        lambda: store.child(key),
    )
    for call in calls:
        with pytest.raises(SpecError, match="store key"):
            call()
    if key:
        with pytest.raises(SpecError, match="store key"):
            store.list(key)


def test_a_listing_is_sorted_complete_and_tells_size_and_time(store: Store) -> None:
    names = ["b", "a/2", "a/1/x", "a-", "a.b", "Z", "ä", "a/10"]
    for name in names:
        store.write(name, b"x" * len(name))

    listed = store.list()

    assert [entry.key for entry in listed] == sorted(names)
    assert [entry.size_bytes for entry in listed] == [len(name) for name in sorted(names)]
    assert all(abs(datetime.now(UTC) - entry.modified) < timedelta(minutes=1) for entry in listed)


def test_a_listing_below_a_directory_keeps_keys_relative_to_the_store(store: Store) -> None:
    for name in ("a/1", "a/b/2", "ab/3", "a.4"):
        store.write(name, b"")

    assert [entry.key for entry in store.list("a")] == ["a/1", "a/b/2"]
    assert [entry.key for entry in store.list("a/b")] == ["a/b/2"]


def test_where_nothing_was_written_nothing_is_listed(store: Store) -> None:
    assert store.list() == ()
    assert store.list("absent/directory") == ()


def test_a_listing_of_more_than_one_page_is_complete(store: Store) -> None:
    for number in range(1010):  # S3 pages have 1,000 entries
        store.write(f"{number:04}", b"")

    assert [entry.key for entry in store.list()] == [f"{number:04}" for number in range(1010)]


def test_deleting_is_idempotent(store: Store) -> None:
    store.write("a/b", b"1")

    store.delete("a/b")
    store.delete("a/b")
    store.delete("never/was")

    assert store.list() == ()


def test_a_child_is_the_same_blobs_under_shorter_names(store: Store) -> None:
    child = store.child("backups/etcd").child("main")
    child.write("control/spec", b"1")
    store.write("elsewhere", b"2")

    assert store.read("backups/etcd/main/control/spec") == b"1"
    assert [entry.key for entry in child.list()] == ["control/spec"]
    assert [entry.key for entry in child.list("control")] == ["control/spec"]
    assert child.url == f"{store.url}/backups/etcd/main"


def test_of_two_creations_the_second_conflicts_and_changes_nothing(store: Store) -> None:
    store.create("lock", b"first")

    with pytest.raises(ConflictError, match="lock"):
        store.create("lock", b"second")

    assert store.read("lock") == b"first"


def test_a_created_blob_can_be_replaced_by_the_version_that_create_returned(store: Store) -> None:
    version = store.create("lock", b"1")

    second = store.replace_if_unchanged("lock", b"2", version)
    third = store.replace_if_unchanged("lock", b"3", second)

    assert store.read_versioned("lock").content == b"3"
    assert store.read_versioned("lock").version == third
    assert len({version, second, third}) == 3


def test_a_replacement_of_a_blob_that_changed_conflicts_and_changes_nothing(store: Store) -> None:
    version = store.create("lock", b"1")
    store.write("lock", b"changed")

    with pytest.raises(ConflictError, match="lock"):
        store.replace_if_unchanged("lock", b"2", version)

    assert store.read("lock") == b"changed"


def test_a_replacement_of_a_blob_that_is_gone_conflicts_and_creates_nothing(store: Store) -> None:
    version = store.create("lock", b"1")
    store.delete("lock")

    with pytest.raises(ConflictError, match="lock"):
        store.replace_if_unchanged("lock", b"2", version)

    assert store.list() == ()


def test_a_blob_can_be_created_again_after_it_was_deleted(store: Store) -> None:
    store.create("lock", b"1")
    store.delete("lock")

    store.create("lock", b"2")

    assert store.read("lock") == b"2"


def test_a_version_that_was_read_is_good_for_a_replacement(store: Store) -> None:
    store.write("small", b"1")
    store.write("in-pieces", iter((b"1", b"2")))

    for key in ("small", "in-pieces"):
        store.replace_if_unchanged(key, b"new", store.read_versioned(key).version)
        assert store.read(key) == b"new"


def test_of_sixteen_racing_creators_exactly_one_wins(open_again: Callable[[], Store]) -> None:
    for key in ("race/1", "race/2", "race/3"):
        winners = race([partial(open_again().create, key, b"from %d" % number) for number in range(16)])

        assert len(winners) == 1
        assert open_again().read(key) == b"from %d" % winners[0]


def test_of_sixteen_racing_replacements_exactly_one_wins(open_again: Callable[[], Store]) -> None:
    version = open_again().create("race", b"start")
    for _ in range(3):
        winners = race(
            [
                partial(open_again().replace_if_unchanged, "race", b"%d after %s" % (number, version.encode()), version)
                for number in range(16)
            ]
        )

        assert len(winners) == 1
        found = open_again().read_versioned("race")
        assert found.content == b"%d after %s" % (winners[0], version.encode())
        version = found.version


def race(attempts: list[Callable[[], object]]) -> list[int]:
    """Run all attempts at once; return who did not get ConflictError."""
    start = threading.Barrier(len(attempts))

    def run(number: int) -> int | None:
        start.wait(timeout=30)
        try:
            attempts[number]()
        except ConflictError:
            return None
        return number

    with ThreadPoolExecutor(max_workers=len(attempts)) as pool:
        return [number for number in pool.map(run, range(len(attempts))) if number is not None]


def test_increments_by_many_writers_are_never_lost(open_again: Callable[[], Store]) -> None:
    open_again().create("counter", b"0")

    def add_one(_: int) -> None:
        own = open_again()
        while True:
            found = own.read_versioned("counter")
            try:
                own.replace_if_unchanged("counter", b"%d" % (int(found.content) + 1), found.version)
            except ConflictError:
                continue
            return

    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(add_one, range(24)))

    assert open_again().read("counter") == b"24"


def test_readers_see_the_old_content_or_the_new_one_and_nothing_between(open_again: Callable[[], Store]) -> None:
    contents = [bytes([letter]) * 200_000 for letter in b"ab"]
    open_again().write("a", contents[0])
    done = threading.Event()

    def write_alternately() -> None:
        own = open_again()
        for number in range(30):
            own.write("a", iter((contents[number % 2][:100_000], contents[number % 2][100_000:])))
        done.set()

    def read_until_done() -> set[bytes]:
        own, seen = open_again(), set()
        while not done.is_set():
            seen.add(own.read("a"))
        return seen

    with ThreadPoolExecutor(max_workers=3) as pool:
        readers = [pool.submit(read_until_done) for _ in range(2)]
        pool.submit(write_alternately).result(timeout=60)

    assert set().union(*(reader.result() for reader in readers)) <= set(contents)


def test_pieces_that_stop_coming_leave_the_old_blob_and_nothing_else(store: Store) -> None:
    store.write("backup", b"old")

    def pieces() -> Iterator[bytes]:
        yield b"x" * (20 << 20)
        raise ConnectionResetError("the snapshot's source went away")

    with pytest.raises(ConnectionResetError, match="source went away"):
        store.write("backup", pieces())
    with pytest.raises(ConnectionResetError, match="source went away"):
        store.write("new", pieces())

    assert [(entry.key, entry.size_bytes) for entry in store.list()] == [("backup", 3)]


def test_an_error_of_the_callers_source_is_not_taken_for_one_of_the_store(store: Store, tmp_path: Path) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"x"
        yield (tmp_path / "absent").read_bytes()

    with pytest.raises(FileNotFoundError):
        store.write("backup", pieces())


def test_a_big_blob_is_streamed_both_ways_without_being_held(open_again: Callable[[], Store]) -> None:
    store = open_again()
    piece = bytes(range(256)) * 4096  # 1 MiB
    total = 96
    digest = hashlib.sha256(piece * total).hexdigest()
    tracemalloc.start()
    try:
        store.write("big", (piece for _ in range(total)))
        received, size = hashlib.sha256(), 0
        for part in store.stream("big"):
            received.update(part)
            size += len(part)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert size == total << 20
    assert received.hexdigest() == digest
    if store.url.startswith("file://"):  # everywhere else the other end is in this process too
        assert peak < 8 << 20


def test_a_stream_is_of_one_state_of_the_blob(store: Store) -> None:
    old = b"o" * (3 << 20)
    store.write("a", old)

    stream = store.stream("a")
    first = next(stream)
    store.write("a", b"n" * (3 << 20))

    assert first + b"".join(stream) == old


def test_an_abandoned_stream_does_no_harm(store: Store) -> None:
    store.write("a", b"x" * (3 << 20))

    stream = store.stream("a")
    next(stream)
    del stream

    store.delete("a")
    assert not store.exists("a")
