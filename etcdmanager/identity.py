"""Who this manager is and where its data lies: from the flags, from the volume that protokube mounted, or from a file beside the data.

Identity follows the volume: a new machine with the old volume is the old member.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from agents.documents import as_mapping, as_str, load_json
from agents.errors import BusyError, NotFoundError, RefusedError, SpecError, TransientError
from agents.host.os_errors import os_errors
from agents.host.protocol import Host
from etcdmanager.spec import ManagerConfig

#: Go's file; it is read where neither a flag nor a volume names us, and written once.
_MYID = "myid"
#: Only managers of this project have it open.
LOCK_FILE = "manager.lock"
#: What protokube puts at the root of a volume (docs/contracts.md); without it, what is at the mount point is not the volume.
_MARKER = ".etcd-volume.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Our peer id (which is also etcd's member name), our address, and the directory of our data."""

    peer_id: str
    address: str
    data_dir: str


def identify(config: ManagerConfig, host: Host) -> Identity:
    """Return who we are.

    SpecError where nothing says where the data is; NotFoundError while the volume is not published, TransientError while it
    is published and not mounted, RefusedError where another one is mounted in its place.
    """
    data_dir, peer_id = config.data_dir, config.peer_id
    if config.volume_file:
        data_dir, member = _published(host, config.volume_file)
        peer_id = peer_id or member
    if not data_dir:
        raise SpecError("nothing says where the data is", hint="give --data-dir, or --volume-file as protokube writes it")
    data_dir = data_dir.rstrip("/") or "/"
    return Identity(peer_id=peer_id or _own_id(host, data_dir), address=config.address or "127.0.0.1", data_dir=data_dir)


def _published(host: Host, path: str) -> tuple[str, str]:
    """Return the mount point and the member that a publication names, once the volume's marker says the same.

    An empty mount point would look like a blank disk: a member that has lost its data, to be replaced by a new one on the root disk.
    """
    volume = as_mapping(load_json(host.read(path), where=path), where=path)
    place = as_str(volume.get("mountPoint"), where=f"{path}: mountPoint")
    said = f"{place}/{_MARKER}"
    try:
        marker = as_mapping(load_json(host.read(said), where=said), where=said)
    except NotFoundError as error:
        raise TransientError(
            f"{path} publishes {place}, but there is no volume: {said} is missing",
            code="volume-not-mounted",
            hint="findmnt, protokube status; protokube mounts it again or takes the publication back",
        ) from error
    for ours, theirs in (("clusterName", "clusterName"), ("etcdCluster", "etcdCluster"), ("member", "memberName")):
        wanted, found = volume.get(ours), marker.get(theirs)
        if wanted != found:
            raise RefusedError(
                f"{place} is not the volume that {path} publishes: wanted {ours} {wanted!r}, found {found!r}",
                code="foreign-volume",
                hint="protokube status",
            )
    return place, as_str(volume.get("member"), where=f"{path}: member")


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
    """Keeps a second manager away from our data directory; held until the process ends, however it ends.

    The file that we hold also tells whether the directory is still the one that we began with: a volume that was unmounted
    leaves an empty directory behind, which is no blank disk.
    """

    def __init__(self, host: Host, data_dir: str) -> None:
        host.make_directory(data_dir, mode=0o700)
        self._data_dir = data_dir
        self._path = host.local_path(f"{data_dir}/{LOCK_FILE}")
        #: A random name of this data directory, made once: of two managers with one id it tells which is which.
        self.disk_id = ""
        # Not inherited by etcd (PEP 446), which outlives us.
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            raise BusyError(
                f"another etcd-manager runs on {data_dir}", code="data-dir-busy", hint=f"fuser {self._path} names it"
            ) from error
        with os_errors("read", self._path):
            self.disk_id = os.pread(self._fd, 64, 0).decode("ascii", "replace").strip() or self._name()

    def _name(self) -> str:
        """Write a new name into the file and return it; the file keeps its inode, which the lock is on."""
        made = secrets.token_urlsafe(9)
        os.pwrite(self._fd, made.encode(), 0)
        return made

    def require(self) -> None:
        """Raise TransientError where the data directory is not the one that we locked: its volume is away, or another is in its place."""
        ours = os.fstat(self._fd)
        with os_errors("look at", self._data_dir):
            try:
                there = Path(self._path).stat()
            except FileNotFoundError:
                there = None
        if there is None or (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino):
            raise TransientError(
                f"{self._data_dir} is not the directory any more that this manager began with: was its volume unmounted?",
                code="volume-not-mounted",
                hint=f"findmnt {self._data_dir}; the etcd that runs is left alone",
            )

    def release(self) -> None:
        """Let another manager have it."""
        os.close(self._fd)
