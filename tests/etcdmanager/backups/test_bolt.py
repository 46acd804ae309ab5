from __future__ import annotations

import random
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.errors import VerificationError
from etcdmanager.backups.bolt import Contents, read_contents
from tests.support.snapshot import bolt_database


def read(database: bytes, *, size_bytes: int | None = None) -> Contents:
    with tempfile.TemporaryFile() as file:
        file.write(database)
        file.flush()
        return read_contents(file, size_bytes=size_bytes)


@given(st.integers(0, 60))
def test_every_key_and_revision_is_counted(keys: int) -> None:
    contents = read(bolt_database(keys))

    assert (contents.keys, contents.versions, contents.revision) == (keys, keys, keys + 1)


def test_what_stands_behind_the_database_is_not_part_of_it() -> None:
    database = bolt_database(3)

    assert read(database + bytes(32), size_bytes=len(database)).size_bytes == len(database)


@given(st.integers(0, 4 * 4096 - 1))
def test_a_file_that_was_cut_off_is_never_sound(length: int) -> None:
    with pytest.raises(VerificationError):
        read(bolt_database(5)[:length])


@settings(max_examples=300)
@given(st.binary(min_size=1, max_size=60), st.integers(0, 4 * 4096), st.randoms(use_true_random=False))
def test_damage_is_noticed_or_harmless_and_never_anything_else(junk: bytes, position: int, chance: random.Random) -> None:
    database = bytearray(bolt_database(20))
    position = chance.choice([position, 2 * 4096 + position % 64, 3 * 4096 + position % 700])
    database[position : position + len(junk)] = junk

    try:
        contents = read(bytes(database[: 4 * 4096]))
    except VerificationError:
        return
    assert contents.keys <= 20


@given(st.binary(max_size=20_000))
def test_no_bytes_at_all_make_it_fail_otherwise(junk: bytes) -> None:
    with pytest.raises(VerificationError):
        read(junk)


def test_one_damaged_meta_page_does_not_matter() -> None:
    database = bytearray(bolt_database(5))
    database[20:40] = bytes(20)

    assert read(bytes(database)).keys == 5
