from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.errors import AccessError, NotFoundError, SpecError, VerificationError
from agents.exit_codes import ExitCode
from agents.stores.local import LocalStore
from etcdmanager.backups.copying import copy_backup
from etcdmanager.backups.encryption import MAGIC, BackupKeys, keys_of, no_keys, read_key_file, sealed, unsealed
from etcdmanager.backups.store import BackupStore
from etcdmanager.backups.verify import verify_light
from etcdmanager.cli import main_with
from etcdmanager.deltas.chain import Lineage, Span
from etcdmanager.deltas.segment import Change, Moment, Segment
from etcdmanager.deltas.store import DeltaStore
from tests.support.snapshot import SampleBackups, manifest, sample_backups, snapshot

CHUNK = 16
TAG = 16
HEADER = 68


def key_file(path: Path, *keys: bytes, mode: int = 0o600) -> str:
    path.write_text("# keys of the tests\n" + "".join(f"{base64.b64encode(key).decode()}  # one\n\n" for key in keys))
    path.chmod(mode)
    return str(path)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> BackupKeys:
    return read_key_file(key_file(tmp_path_factory.mktemp("keys") / "keys", b"a" * 32, b"b" * 32))


def seal(plain: bytes, keys: BackupKeys) -> bytes:
    return b"".join(sealed([plain], keys.keys[0], chunk_bytes=CHUNK))


def unseal(content: bytes, keys: BackupKeys) -> bytes:
    return b"".join(unsealed([content], keys, where="it"))


def pieces(content: bytes, cuts: list[int]) -> Iterator[bytes]:
    at = 0
    for cut in sorted(cut % (len(content) + 1) for cut in cuts):
        yield content[at:cut]
        at = cut
    yield content[at:]


PLAIN = st.binary(max_size=5 * CHUNK + 3)


@given(PLAIN, st.lists(st.integers(0, 10_000), max_size=6), st.lists(st.integers(0, 10_000), max_size=6))
def test_what_was_encrypted_comes_back_however_it_is_cut_into_pieces(
    keys: BackupKeys, plain: bytes, written: list[int], read: list[int]
) -> None:
    content = b"".join(sealed(pieces(plain, written), keys.keys[0], chunk_bytes=CHUNK))

    assert b"".join(unsealed(pieces(content, read), keys, where="it")) == plain


@given(PLAIN, st.integers(0, 10_000), st.integers(1, 255))
def test_any_changed_byte_is_noticed(keys: BackupKeys, plain: bytes, at: int, change: int) -> None:
    content = bytearray(seal(plain, keys))
    content[at % len(content)] ^= change

    if bytes(content).startswith(b"etcd-backup-aes256gcm-1\n"):
        with pytest.raises((VerificationError, AccessError)):
            unseal(bytes(content), keys)
    else:
        assert unseal(bytes(content), keys) == bytes(content)  # it is no encrypted file any more, and no gzip either


@given(PLAIN, st.integers(0, 10_000))
def test_any_cut_is_noticed(keys: BackupKeys, plain: bytes, length: int) -> None:
    content = seal(plain, keys)
    cut = content[: 24 + length % (len(content) - 24)]

    with pytest.raises(VerificationError):
        unseal(cut, keys)


@given(st.binary(min_size=3 * CHUNK, max_size=6 * CHUNK), st.permutations(range(3)))
def test_chunks_that_are_reordered_repeated_left_out_or_added_are_noticed(keys: BackupKeys, plain: bytes, order: list[int]) -> None:
    content = seal(plain, keys)
    header, body = content[:HEADER], content[HEADER:]
    chunks = [body[at : at + CHUNK + TAG] for at in range(0, len(body), CHUNK + TAG)]
    wrong = [
        [*(chunks[index] for index in order), *chunks[3:]] if order != sorted(order) else [*chunks[1:]],
        [chunks[0], *chunks],
        chunks[:-1],
        [*chunks, chunks[-1]],
        [*chunks, b"x"],
    ]

    for changed in wrong:
        with pytest.raises(VerificationError):
            unseal(header + b"".join(changed), keys)


def test_chunks_of_another_file_of_the_same_key_do_not_fit(keys: BackupKeys) -> None:
    one, other = seal(b"1" * CHUNK * 2, keys), seal(b"2" * CHUNK * 2, keys)

    with pytest.raises(VerificationError):
        unseal(one[: HEADER + CHUNK + TAG] + other[HEADER + CHUNK + TAG :], keys)
    assert seal(b"", keys) != seal(b"", keys)


def test_after_a_rotation_the_new_key_encrypts_and_the_old_one_still_decrypts(tmp_path: Path) -> None:
    before = read_key_file(key_file(tmp_path / "before", b"o" * 32))
    after = read_key_file(key_file(tmp_path / "after", b"n" * 32, b"o" * 32))

    assert unseal(seal(b"old", before), after) == b"old"
    with pytest.raises(AccessError, match=f"encrypted with key {after.id}, and there are only {before.id}"):
        unseal(seal(b"new", after), before)


def test_without_a_key_the_error_says_which_one_is_wanted(keys: BackupKeys) -> None:
    with pytest.raises(AccessError, match=f"it is encrypted with key {keys.id}, and no key was given") as caught:
        unseal(seal(b"secret", keys), no_keys())
    assert "--key-file" in caught.value.hint


@pytest.mark.parametrize("content", [b"", b"x", os.urandom(200)])
def test_what_is_not_encrypted_passes_as_it_is(keys: BackupKeys, content: bytes) -> None:
    assert unseal(content, keys) == content


def test_a_key_file_that_others_can_read_or_that_holds_no_keys_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="mode 0640"):
        read_key_file(key_file(tmp_path / "open", b"a" * 32, mode=0o640))
    with pytest.raises(SpecError, match="holds no key"):
        read_key_file(key_file(tmp_path / "empty"))
    with pytest.raises(SpecError, match="line 2: a key of 31 bytes"):
        read_key_file(key_file(tmp_path / "short", b"a" * 31))
    (tmp_path / "text").write_text("no base64!")
    (tmp_path / "text").chmod(0o600)
    with pytest.raises(SpecError, match="line 1: no base64"):
        read_key_file(str(tmp_path / "text"))
    with pytest.raises(NotFoundError):
        keys_of(str(tmp_path / "missing"))()


def test_a_key_is_never_printed(keys: BackupKeys) -> None:
    assert "aaaa" not in repr(keys)
    assert "YWFh" not in repr(keys)


# --- backups and deltas


@pytest.fixture
def encrypted(tmp_path: Path) -> tuple[SampleBackups, str]:
    """A store whose newest backup is encrypted, and the file with the key."""
    sample = sample_backups(tmp_path / "store")
    path = key_file(tmp_path / "keys", b"k" * 32)
    key = read_key_file(path).keys[0]
    backups = BackupStore(LocalStore(sample.directory))
    content = b"".join(sealed(backups.stream(sample.newest), key))
    backups.write_snapshot(sample.newest, content)
    told = replace(
        manifest(snapshot(sample.keys)), gz_size_bytes=len(content), gz_sha256=hashlib.sha256(content).hexdigest(), encryption_key=key.id
    )
    backups.write_manifest(sample.newest, told)
    return sample, path


def test_an_encrypted_backup_is_proven_with_its_key_and_says_what_is_missing_without(
    encrypted: tuple[SampleBackups, str], tmp_path: Path
) -> None:
    sample, path = encrypted
    store = LocalStore(sample.directory)

    for name in (sample.newest, sample.oldest):
        assert verify_light(BackupStore(store, keys=keys_of(path)), name, scratch=tmp_path).contents.keys == sample.keys
    with pytest.raises(AccessError, match=f"backup {sample.newest} is encrypted with key"):
        verify_light(BackupStore(store), sample.newest, scratch=tmp_path)
    assert b"etcdVersion" in (sample.directory / sample.newest / "_etcd_backup.meta").read_bytes()


def test_an_encrypted_backup_is_copied_as_it_is_with_the_key_or_without_but_never_when_it_was_changed(
    encrypted: tuple[SampleBackups, str], tmp_path: Path
) -> None:
    sample, path = encrypted
    for number, keys in enumerate((keys_of(path), no_keys)):
        target = BackupStore(LocalStore(tmp_path / f"target-{number}"))
        copy_backup(BackupStore(LocalStore(sample.directory), keys=keys), target, sample.newest)
        assert b"".join(target.stream(sample.newest)) == (sample.directory / sample.newest / "etcd.backup.gz").read_bytes()

    sample.damage(sample.newest)
    for number, keys in enumerate((keys_of(path), no_keys)):
        target = BackupStore(LocalStore(tmp_path / f"again-{number}"))
        with pytest.raises(VerificationError):
            copy_backup(BackupStore(LocalStore(sample.directory), keys=keys), target, sample.newest)
        assert not target.store.list()


def test_deltas_are_encrypted_too_and_merged_ones_with_the_newest_key(tmp_path: Path) -> None:
    store, lineage = LocalStore(tmp_path / "store"), Lineage(cluster_id=1, started_at=datetime(2026, 1, 1, tzinfo=UTC))
    old, new = key_file(tmp_path / "old", b"o" * 32), key_file(tmp_path / "new", b"n" * 32, b"o" * 32)
    spans = [Span(first=revision, last=revision) for revision in (5, 6)]
    for span in spans:
        changes = (Change(revision=span.first, key=b"the-key", value=b"v"),)
        moment = Moment(at=datetime(2026, 1, 1, tzinfo=UTC), revision=span.last)
        DeltaStore(store, keys_of(old)).write(
            lineage, Segment(cluster_id=1, first=span.first, last=span.last, changes=changes, moments=(moment,))
        )
    assert all(store.read(entry.key).startswith(MAGIC) for entry in store.list())
    with pytest.raises(AccessError):
        DeltaStore(store).read(lineage, spans[0])

    whole = DeltaStore(store, keys_of(new)).merge(lineage, spans)

    assert DeltaStore(store, keys_of(new)).read(lineage, whole).changes[0].key == b"the-key"
    with pytest.raises(AccessError):
        DeltaStore(store, keys_of(old)).read(lineage, whole)


def test_verbs_take_the_keys_from_a_file_or_a_variable_and_the_listing_says_what_is_encrypted(
    encrypted: tuple[SampleBackups, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    sample, path = encrypted
    words = ["latest", "--backup-store", str(sample.directory), "--scratch", str(tmp_path)]

    assert main_with(["list-backups", "--backup-store", str(sample.directory)]) == ExitCode.OK
    assert "verified, encrypted" in capsys.readouterr().out
    assert main_with(["verify-backup", *words]) == ExitCode.ACCESS
    told = capsys.readouterr().out
    assert "not proven" in told
    assert "--key-file" in told
    assert main_with(["verify-backup", *words, "--key-file", path]) == ExitCode.OK
    monkeypatch.setenv("ETCD_MANAGER_BACKUP_ENCRYPTION_KEY_FILE", path)
    assert main_with(["browse", *words]) == ExitCode.OK
