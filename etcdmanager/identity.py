"""Who this manager is and where its data lies: from the flags, from the volume that protokube mounted, or from a file beside the data.

Identity follows the volume: a new machine with the old volume is the old member.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from dataclasses import dataclass

from agents.documents import as_mapping, as_str, load_json
from agents.errors import BusyError, NotFoundError, SpecError
from agents.host.protocol import Host
from etcdmanager.spec import ManagerConfig

#: Go's file; it is read where neither a flag nor a volume names us, and written once.
_MYID = "myid"
_LOCK_FILE = "manager.lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Our peer id (which is also etcd's member name), our address, and the directory of our data."""

    peer_id: str
    address: str
    data_dir: str


def identify(config: ManagerConfig, host: Host) -> Identity:
    """Return who we are; SpecError where nothing says where the data is, NotFoundError while the volume is not published."""
    data_dir, peer_id = config.data_dir, config.peer_id
    if config.volume_file:
        volume = as_mapping(load_json(host.read(config.volume_file), where=config.volume_file), where=config.volume_file)
        data_dir = as_str(volume.get("mountPoint"), where=f"{config.volume_file}: mountPoint")
        peer_id = peer_id or as_str(volume.get("member"), where=f"{config.volume_file}: member")
    if not data_dir:
        raise SpecError("nothing says where the data is", hint="give --data-dir, or --volume-file as protokube writes it")
    data_dir = data_dir.rstrip("/") or "/"
    return Identity(peer_id=peer_id or _own_id(host, data_dir), address=config.address or "127.0.0.1", data_dir=data_dir)


def _own_id(host: Host, data_dir: str) -> str:
    """Return the id in `<data-dir>/myid`, written now if it is missing: 22 random characters, as Go's."""
    path = f"{data_dir}/{_MYID}"
    try:
        found = host.read(path).decode().strip()
    except NotFoundError:
        found = ""
    if found:
        return found
    made = secrets.token_urlsafe(16)
    host.write(path, made.encode(), mode=0o644)
    return made


class DataDirectoryLock:
    """Keeps a second manager away from our data directory; held until the process ends, however it ends."""

    def __init__(self, host: Host, data_dir: str) -> None:
        host.make_directory(data_dir, mode=0o700)
        path = host.local_path(f"{data_dir}/{_LOCK_FILE}")
        # Not inherited by etcd (PEP 446), which outlives us.
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            raise BusyError(f"another etcd-manager runs on {data_dir}", code="data-dir-busy", hint=f"fuser {path} names it") from error

    def release(self) -> None:
        """Let another manager have it."""
        os.close(self._fd)
