"""Encrypting what lies in a backup store, by a key that never lies there: AES-256-GCM in chunks, in constant memory.

    header   magic (24 bytes) | key id (8) | salt (32) | chunk size (u32, big-endian)
    chunk    ciphertext of chunk-size bytes, the last one of fewer | tag (16)
    nonce    number of the chunk (11 bytes) | whether it is the last (1)

Each file has a key of its own: HKDF-SHA256 of the operator's key with the salt, so that no nonce is ever used twice. The header is
authenticated with every chunk. Chunks that are changed, cut, reordered, repeated, left out or added do not open: the number of each and the
end of all are in the nonces (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár). A file without the magic is not
encrypted, and passes as it is.

Go's programs cannot read such a backup. Names, sizes, times and the manifest's figures stay readable for all.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import stat
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from agents.errors import AccessError, SpecError, VerificationError
from agents.host.os_errors import os_errors
from agents.secret import Secret

MAGIC = b"etcd-backup-aes256gcm-1\n"
_HEADER = struct.Struct(">24s8s32sI")
_TAG_BYTES = 16
_KEY_BYTES = 32
#: What is held in memory, and decrypted before anything of it is believed.
CHUNK_BYTES = 1 << 20
#: A header that was made up must not make us hold gigabytes.
_MOST_CHUNK_BYTES = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupKey:
    """An operator's key, and the id by which files name it."""

    #: 16 hexadecimal digits, of a hash of the key.
    id: str
    secret: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupKeys:
    """The keys of one cluster's backups: the first encrypts, all decrypt. None: nothing is encrypted."""

    keys: tuple[BackupKey, ...] = ()

    @property
    def id(self) -> str:
        """Return the id of the key that new files are encrypted with; "" where they are not."""
        return self.keys[0].id if self.keys else ""

    def find(self, key_id: str) -> BackupKey | None:
        """Return the key of that id; None where we do not have it."""
        return next((key for key in self.keys if key.id == key_id), None)


#: The keys at this moment: a file is read anew, so that a key can be added without a restart. SpecError, AccessError, NotFoundError.
KeySource = Callable[[], BackupKeys]
NO_KEYS = BackupKeys()


def no_keys() -> BackupKeys:
    """Return that nothing is encrypted."""
    return NO_KEYS


def keys_of(path: str) -> KeySource:
    """Return the keys in a file, "" for none."""
    return partial(read_key_file, path) if path else no_keys


def read_key_file(path: str) -> BackupKeys:
    """Return the keys of a file that only its owner may read: 32 bytes in base64 a line, the first one encrypts; `#` begins a comment.

    SpecError for anything else, NotFoundError, AccessError.
    """
    with os_errors("read", path), Path(path).open("rb") as file:
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        text = file.read().decode("ascii", "replace")
    if mode & 0o077:
        raise SpecError(
            f"the keys in {path} can be read by others (mode {mode:04o}); wanted 0600", code="backup-key-file", hint=f"chmod 600 {path}"
        )
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    keys = tuple(_key(line, f"{path}: line {number}") for number, line in enumerate(lines, start=1) if line)
    if not keys:
        raise SpecError(f"{path} holds no key", code="backup-key-file", hint="openssl rand -base64 32")
    return BackupKeys(keys=keys)


def sealed(pieces: Iterable[bytes], key: BackupKey, *, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """Yield the encrypted file."""
    header = _HEADER.pack(MAGIC, bytes.fromhex(key.id), os.urandom(32), chunk_bytes)
    cipher = _Cipher(key, header)
    yield header
    for number, (chunk, is_last) in enumerate(_chunks(pieces, chunk_bytes)):
        yield cipher.seal(number, chunk, is_last=is_last)


def unsealed(pieces: Iterable[bytes], keys: BackupKeys, *, where: str) -> Iterator[bytes]:
    """Yield what an encrypted file holds, and any other file as it is.

    AccessError where it is encrypted with a key that we do not have; VerificationError where it is not exactly what was written. What was
    yielded before such an error is genuine, but the file may have been cut after it.
    """
    rest = iter(pieces)
    start = _at_least(rest, _HEADER.size)
    if not start.startswith(MAGIC):
        if start:
            yield start
        yield from rest
        return
    cipher, chunk_bytes = _cipher_of(start, keys, where)
    body = _chunks(_joined(start[_HEADER.size :], rest), chunk_bytes + _TAG_BYTES)
    for number, (chunk, is_last) in enumerate(body):
        yield cipher.open(number, chunk, is_last=is_last, where=where)


def _cipher_of(start: bytes, keys: BackupKeys, where: str) -> tuple[_Cipher, int]:
    if len(start) < _HEADER.size:
        raise VerificationError(f"{where}: the encrypted data ends in its header", code="backup-decrypt")
    header = start[: _HEADER.size]
    _, key_id, _, chunk_bytes = _HEADER.unpack(header)
    if not 0 < chunk_bytes <= _MOST_CHUNK_BYTES:
        raise VerificationError(f"{where}: encrypted in chunks of {chunk_bytes} bytes, which nothing writes", code="backup-decrypt")
    key = keys.find(key_id.hex())
    if key is None:
        ours = ", ".join(key.id for key in keys.keys)
        found = f"there are only {ours}" if ours else "no key was given"
        raise AccessError(
            f"{where} is encrypted with key {key_id.hex()}, and {found}",
            code="backup-key-missing",
            hint="give the file with that key: --key-file FILE, on managers --backup-encryption-key-file",
        )
    return _Cipher(key, header), chunk_bytes


class _Cipher:
    """The cipher of one file."""

    def __init__(self, key: BackupKey, header: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        _, _, salt, _ = _HEADER.unpack(header)
        own = HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=salt, info=MAGIC).derive(key.secret.reveal())
        self._gcm = AESGCM(own)
        self._header = header

    def seal(self, number: int, chunk: bytes, *, is_last: bool) -> bytes:
        """Return one chunk encrypted."""
        return self._gcm.encrypt(_nonce(number, is_last=is_last), chunk, self._header)

    def open(self, number: int, chunk: bytes, *, is_last: bool, where: str) -> bytes:
        """Return one chunk decrypted; VerificationError where it is not that chunk."""
        from cryptography.exceptions import InvalidTag

        try:
            return self._gcm.decrypt(_nonce(number, is_last=is_last), chunk, self._header)
        except (InvalidTag, ValueError) as error:
            end = " or its end is missing" if is_last else ""
            raise VerificationError(f"{where}: chunk {number} of the encrypted data was changed{end}", code="backup-decrypt") from error


def _nonce(number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])


def _chunks(pieces: Iterable[bytes], size: int) -> Iterator[tuple[bytes, bool]]:
    """Yield chunks of `size` bytes, and with each whether it is the last; that one may be shorter, and is empty if there is nothing."""
    waiting = bytearray()
    for piece in pieces:
        waiting += piece
        # A full chunk may be the last one, as long as nothing follows.
        while len(waiting) > size:
            yield bytes(waiting[:size]), False
            del waiting[:size]
    yield bytes(waiting), True


def _at_least(pieces: Iterator[bytes], size: int) -> bytes:
    """Return the first pieces, `size` bytes or more where there are so many."""
    start = b""
    for piece in pieces:
        start += piece
        if len(start) >= size:
            break
    return start


def _joined(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _key(line: str, where: str) -> BackupKey:
    try:
        secret = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SpecError(f"{where}: no base64", code="backup-key-file") from error
    if len(secret) != _KEY_BYTES:
        raise SpecError(
            f"{where}: a key of {len(secret)} bytes, wanted {_KEY_BYTES}", code="backup-key-file", hint="openssl rand -base64 32"
        )
    return BackupKey(id=hashlib.sha256(b"etcd-backup-key-id" + secret).hexdigest()[:16], secret=Secret(secret))
