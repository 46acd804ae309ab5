"""Signing with the attestation key that Google put into the virtual TPM of every shielded instance.

Six commands of the TPM 2.0 library specification (part 3), encoded here; nothing of the TPM's state is changed:

    NV_ReadPublic, NV_Read   the key's template, from the index where Google keeps it
    CreatePrimary            the key itself: the same template gives the same key, as long as the endorsement seed is the same
    Hash                     of what is signed, with a ticket that it does not look like the TPM's own statements
    Sign                     a restricted key signs only with such a ticket
    FlushContext             the key leaves the TPM's few slots

Source: reference/nodeup.md 1.7.3; TCG TPM 2.0 Library, parts 2 (structures) and 3 (commands).
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import Protocol

from agents.errors import SpecError, TransientError, VerificationError

#: The kernel's resource manager first: the plain device serves one process at a time.
DEVICES = ("/dev/tpmrm0", "/dev/tpm0")

#: Google's index for the template of the RSA attestation key.
TEMPLATE_INDEX = 0x01C10001

_NO_SESSIONS, _SESSIONS = 0x8001, 0x8002
_OWNER, _ENDORSEMENT = 0x40000001, 0x4000000B
_RSASSA, _SHA256 = 0x0014, 0x000B
_NV_READ, _CREATE_PRIMARY, _SIGN, _FLUSH, _NV_READ_PUBLIC, _HASH = 0x14E, 0x131, 0x15D, 0x165, 0x169, 0x17D

#: The password session with an empty password: handle, no nonce, no attributes, no password.
_EMPTY_PASSWORD = struct.pack(">IHBH", 0x40000009, 0, 0, 0)

#: All TPMs take as much in one NV_Read, and in one Hash.
_NV_PIECE_BYTES = 512
_LARGEST_HASHED_BYTES = 1024
_LARGEST_RESPONSE_BYTES = 4096

#: TPM_RC_RETRY: the TPM did something for itself instead, such as noting that a key's authority is used for the first time.
_RETRY = struct.pack(">I", 0x922)
_REPEATS = 5

#: TPM_RC_HANDLE for the first handle: there is nothing at the index.
_NO_SUCH_HANDLE = 0x18B
#: Warnings that mean: later (TPM_RC_YIELDED, TESTING, RETRY, and out of memory for objects or sessions).
_PASSING = frozenset({0x908, 0x90A, 0x922, 0x902, 0x903, 0x904})


class Tpm(Protocol):
    """Something that executes commands."""

    def exchange(self, command: bytes) -> bytes:
        """Return the response to a command."""
        ...


class AttestationKey(Protocol):
    """Something that signs."""

    def sign(self, message: bytes) -> bytes:
        """Return the RSASSA-PKCS1-v1_5 signature over the SHA-256 of a message."""
        ...


class TpmDevice:
    """The machine's TPM."""

    def exchange(self, command: bytes) -> bytes:
        """Write a command and read the response, in one opening of the device."""
        try:
            device = _open()
        except OSError as error:
            raise TransientError(f"the TPM cannot be opened: {error.strerror}", code="tpm") from error
        try:
            os.write(device, command)
            return os.read(device, _LARGEST_RESPONSE_BYTES)
        except OSError as error:
            raise TransientError(f"the TPM does not answer: {error.strerror}", code="tpm") from error
        finally:
            os.close(device)


def _open() -> int:
    for path in DEVICES:
        try:
            return os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
    raise SpecError(
        f"this instance has no TPM ({' or '.join(DEVICES)}), and kops-controller believes nothing else on GCE",
        code="tpm-missing",
        hint="the instance template must enable the virtual TPM (shielded VM)",
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Takes big-endian values off the front of a response; each method returns the rest as well."""

    rest: bytes

    def number(self, format_: str) -> tuple[int, _Reader]:
        size = struct.calcsize(format_)
        if len(self.rest) < size:
            raise VerificationError("the TPM's response ends early", code="tpm")
        return int(struct.unpack(format_, self.rest[:size])[0]), _Reader(self.rest[size:])

    def sized(self) -> tuple[bytes, _Reader]:
        size, after = self.number(">H")
        if len(after.rest) < size:
            raise VerificationError("the TPM's response ends early", code="tpm")
        return after.rest[:size], _Reader(after.rest[size:])


class TpmKey:
    """The attestation key; it is made anew for each signature, which takes a virtual TPM some tens of milliseconds."""

    def __init__(self, tpm: Tpm, *, template_index: int = TEMPLATE_INDEX) -> None:
        self._tpm = tpm
        self._template_index = template_index

    def sign(self, message: bytes) -> bytes:
        """Return the signature; SpecError where this TPM has no such key, TransientError where it is busy."""
        handle = self._create(self._template())
        try:
            digest, ticket = self._hash(message)
            return self._sign(handle, digest, ticket)
        finally:
            self._command(_FLUSH, struct.pack(">I", handle))

    def _template(self) -> bytes:
        index = struct.pack(">I", self._template_index)
        public, _ = self._command(_NV_READ_PUBLIC, index).sized()
        size = int.from_bytes(public[-2:], "big")
        template = b""
        while len(template) < size:
            piece = struct.pack(">HH", min(_NV_PIECE_BYTES, size - len(template)), len(template))
            read, _ = self._authorised(_NV_READ, struct.pack(">I", _OWNER) + index, piece).sized()
            if not read:
                raise VerificationError("the TPM's index of the key's template ends early", code="tpm")
            template += read
        return template

    def _create(self, template: bytes) -> int:
        sensitive, outside_info, no_registers = _sized(_sized(b"") + _sized(b"")), _sized(b""), struct.pack(">I", 0)
        parameters = sensitive + _sized(template) + outside_info + no_registers
        response = self._with_sessions(_CREATE_PRIMARY, struct.pack(">I", _ENDORSEMENT), parameters)
        handle, _ = response.number(">I")
        return handle

    def _hash(self, message: bytes) -> tuple[bytes, bytes]:
        """Return the digest and the ticket; the ticket is the rest of the response, and is handed back as it is."""
        if len(message) > _LARGEST_HASHED_BYTES:
            raise SpecError(f"a TPM hashes at most {_LARGEST_HASHED_BYTES} bytes at once, and the claim has {len(message)}", code="tpm")
        response = self._command(_HASH, _sized(message) + struct.pack(">HI", _SHA256, _OWNER))
        digest, after = response.sized()
        return digest, after.rest

    def _sign(self, handle: int, digest: bytes, ticket: bytes) -> bytes:
        scheme = struct.pack(">HH", _RSASSA, _SHA256)
        response = self._authorised(_SIGN, struct.pack(">I", handle), _sized(digest) + scheme + ticket)
        algorithm, after = response.number(">H")
        if algorithm != _RSASSA:
            raise SpecError(f"the TPM's attestation key signs with algorithm {algorithm:#06x}, wanted RSASSA", code="tpm")
        _, after = after.number(">H")
        signature, _ = after.sized()
        return signature

    def _command(self, code: int, body: bytes) -> _Reader:
        return self._executed(struct.pack(">HII", _NO_SESSIONS, 10 + len(body), code) + body, code)

    def _with_sessions(self, code: int, handles: bytes, parameters: bytes) -> _Reader:
        body = handles + struct.pack(">I", len(_EMPTY_PASSWORD)) + _EMPTY_PASSWORD + parameters
        return self._executed(struct.pack(">HII", _SESSIONS, 10 + len(body), code) + body, code)

    def _executed(self, command: bytes, code: int) -> _Reader:
        """Return what follows the header of a good response; a TPM that wants the same command again gets it (the kernel does so too)."""
        for _ in range(_REPEATS):
            response = self._tpm.exchange(command)
            if response[6:10] != _RETRY:
                break
        return _checked(response, code)

    def _authorised(self, code: int, handles: bytes, parameters: bytes) -> _Reader:
        """Return the parameters of a response that has no handles: they come after their size."""
        _, after = self._with_sessions(code, handles, parameters).number(">I")
        return after


def _sized(content: bytes) -> bytes:
    return struct.pack(">H", len(content)) + content


def _checked(response: bytes, code: int) -> _Reader:
    """Return what follows the header of a good response."""
    _, after = _Reader(response).number(">H")
    _, after = after.number(">I")
    result, after = after.number(">I")
    if result == 0:
        return after
    said = f"TPM command {code:#05x} failed with {result:#05x}"
    if result in _PASSING:
        raise TransientError(said, code="tpm")
    if result == _NO_SUCH_HANDLE and code == _NV_READ_PUBLIC:
        raise SpecError("this TPM has no attestation key of Google's; is this a shielded VM of GCE?", code="tpm-no-key")
    raise VerificationError(said, code="tpm")
