"""One protokube per machine: a lock for as long as the process lives, however it ends."""

from __future__ import annotations

import fcntl
import os

from agents.errors import BusyError
from agents.host.os_errors import os_errors
from agents.host.protocol import Host

PATH = "/run/node-agents/protokube.lock"


class Claim:
    """The right to touch this machine's volumes; BusyError where another protokube has it."""

    def __init__(self, host: Host, path: str = PATH) -> None:
        host.make_directory(path.rpartition("/")[0])
        with os_errors("open", path):
            # Not inherited by commands (PEP 446): an fsck that outlives us does not keep the next protokube out; fsck has its own lock.
            self._descriptor = os.open(host.local_path(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._descriptor)
            raise BusyError(
                f"protokube runs already, as process {holder}", code="protokube-runs", hint="systemctl status protokube"
            ) from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let another protokube have it."""
        os.close(self._descriptor)
