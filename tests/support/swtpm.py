"""A real TPM 2.0, in software (swtpm), on a socket of this test; prepared as Google prepares the TPMs of shielded instances.

It is looked for on PATH, or where NODE_AGENTS_SWTPM says; LD_LIBRARY_PATH may be needed for one that is only unpacked.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

OWNER, ENDORSEMENT = 0x40000001, 0x4000000B
PASSWORD_SESSION = struct.pack(">IIHBH", 9, 0x40000009, 0, 0, 0)

#: fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign.
ATTRIBUTES = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 16 | 1 << 18
#: RSA, SHA-256, no policy, no symmetric, RSASSA with SHA-256, 2048 bits, the usual exponent, unique of zeros.
TEMPLATE = struct.pack(">HHIHHHHHI", 0x0001, 0x000B, ATTRIBUTES, 0, 0x0010, 0x0014, 0x000B, 2048, 0) + struct.pack(">H", 256) + bytes(256)


class SocketTpm:
    """Executes commands over a socket."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(20)
        # Between bind and listen the path is there, and nobody listens.
        while self._socket.connect_ex(str(path)) != 0:
            assert path.exists()
        self.codes: list[int] = []

    def exchange(self, command: bytes) -> bytes:
        self.codes.append(struct.unpack(">I", command[6:10])[0])
        self._socket.sendall(command)
        return self._socket.recv(4096)

    def close(self) -> None:
        self._socket.close()

    def do(self, code: int, handles: bytes, parameters: bytes) -> bytes:
        """Execute a command that needs authority; return what follows the header."""
        body = handles + PASSWORD_SESSION * (1 if handles else 0) + parameters
        answer = self.exchange(struct.pack(">HII", 0x8002 if handles else 0x8001, 10 + len(body), code) + body)
        result = struct.unpack(">I", answer[6:10])[0]
        assert result == 0, f"command {code:#x}: {result:#x}"
        return answer[10:]


@contextmanager
def swtpm(directory: Path) -> Iterator[SocketTpm]:
    """Run a TPM until the block ends; skips where there is no swtpm."""
    program = os.environ.get("NODE_AGENTS_SWTPM") or shutil.which("swtpm")
    if program is None:
        pytest.skip("needs swtpm (apt-get install swtpm, or NODE_AGENTS_SWTPM)")
    path = directory / "tpm.sock"
    argv = [program, "socket", "--tpm2", "--tpmstate", f"dir={directory}", "--server", f"type=unixio,path={path}"]
    process = subprocess.Popen([*argv, "--flags", "not-need-init,startup-clear"], stderr=subprocess.PIPE)
    try:
        while not path.exists():
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
        tpm = SocketTpm(path)
        try:
            yield tpm
        finally:
            tpm.close()
    finally:
        process.terminate()
        process.wait(timeout=20)
        if process.stderr is not None:
            process.stderr.close()


def keep_template(tpm: SocketTpm, index: int, template: bytes = TEMPLATE) -> None:
    """Define an index that its owner may read and write, and put the template there."""
    attributes = 1 << 1 | 1 << 17  # OWNERWRITE, OWNERREAD
    public = struct.pack(">IHIHH", index, 0x000B, attributes, 0, len(template))
    tpm.do(0x12A, struct.pack(">I", OWNER), struct.pack(">H", 0) + struct.pack(">H", len(public)) + public)
    for offset in range(0, len(template), 256):
        piece = template[offset : offset + 256]
        tpm.do(0x137, struct.pack(">II", OWNER, index), struct.pack(">H", len(piece)) + piece + struct.pack(">H", offset))


def public_key(tpm: SocketTpm, template: bytes = TEMPLATE) -> RSAPublicKey:
    """Return the public half of the key that the template gives: what Google tells kops-controller."""
    parameters = struct.pack(">HHH", 4, 0, 0) + struct.pack(">H", len(template)) + template + struct.pack(">HI", 0, 0)
    answer = tpm.do(0x131, struct.pack(">I", ENDORSEMENT), parameters)
    handle = struct.unpack(">I", answer[:4])[0]
    public = answer[10:]  # after the handle, the parameters' size, and the structure's size
    size = struct.unpack(">H", public[22:24])[0]
    modulus = int.from_bytes(public[24 : 24 + size], "big")
    body = struct.pack(">I", handle)
    tpm.exchange(struct.pack(">HII", 0x8001, 10 + len(body), 0x165) + body)
    return RSAPublicNumbers(65537, modulus).public_key()
