"""Doing one step of a volume. Whether it worked is not judged here: the next look says so.

Losing power between any two operations leaves what the next run continues from: a device in the middle of formatting carries a
record of that, a peek's mount is taken away by the next peek, everything else is read off the machine.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agents.errors import AccessError, AgentError, ConflictError, DeadlineError, NotFoundError, RefusedError, SpecError, TransientError
from agents.host.protocol import CommandResult, Host
from protokube.marker import NAME as MARKER_NAME
from protokube.marker import Marker, dump_marker
from protokube.permit import use_up
from protokube.publish import remove_publication, write_publication
from protokube.spec import WantedVolume
from protokube.volumes import phase
from protokube.volumes.devices import BlockDevices
from protokube.volumes.memory import Memory
from protokube.volumes.mount_table import PATH, parse_mounts
from protokube.volumes.observe import PEEK_DIRECTORY, inside_of, read_marker
from protokube.volumes.view import Blank, CheckResult, Device, Filesystem, Glimpse, Held, Inside, StoreAnswer, Unfinished

log = logging.getLogger(__name__)

#: For mount, umount, losetup: a moment, unless a journal of hundreds of MiB is replayed from a slow disk.
QUICK_DEADLINE = timedelta(minutes=2)
#: A full check of an ext4 of terabytes (reference protokube.md §7.3).
FSCK_DEADLINE = timedelta(minutes=30)
MKFS_DEADLINE = timedelta(minutes=30)
#: fsck's exit code is a sum: 1 repaired, 2 the system should be rebooted (of a root file system), 4 and above not in order.
_FSCK_NOT_IN_ORDER = 4
#: By default ext4 goes on after it found itself damaged; read-only it is noticed, and taken back.
_MOUNT_OPTIONS = {"ext4": "nodev,nosuid,errors=remount-ro", "xfs": "nodev,nosuid"}
#: Journal replay writes; without it a look at a foreign or damaged file system leaves every byte as it was.
_WITHOUT_REPLAY = {"ext4": "ro,noload", "xfs": "ro,norecovery"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Executor:
    """Carries out the steps of one volume."""

    host: Host
    wanted: WantedVolume
    #: Credentials and endpoints for the backup store.
    environment: Mapping[str, str]

    def execute(self, step: phase.Action, memory: Memory, now: datetime) -> Memory:  # noqa: C901 (one case for each step)
        """Do one step; return what is to be remembered. AgentErrors say what did not work."""
        match step:
            case phase.Attach(image=image):
                self._command("losetup", "--find", "--nooverlap", image)
            case phase.AskStore(url=url):
                memory = replace(memory, store=self._ask_store(url, now))
            case phase.Format(device=device):
                self._format(device)
                memory = replace(memory, content=None)
            case phase.Peek(device=device, filesystem=filesystem):
                memory = replace(memory, peek=self._peek(device, filesystem))
            case phase.Check(device=device, filesystem=filesystem):
                memory = replace(memory, check=self._check(device, filesystem))
            case phase.Mount(device=device, filesystem=filesystem, place=place):
                self.host.make_directory(place, mode=0o750)
                self._command("mount", "-t", filesystem.kind, "-o", _MOUNT_OPTIONS[filesystem.kind], device.path, place)
            case phase.Grow(device=device, filesystem=filesystem, place=place):
                self._grow(device, filesystem, place)
                memory = replace(memory, grown=True)
            case phase.Mark():
                self._mark(step, now)
            case phase.Publish(publication=publication):
                write_publication(self.host, replace(publication, mounted_at=now))
                memory = replace(memory, started=False)
            case phase.Start():
                self._systemctl("start")
                memory = replace(memory, started=True)
            case phase.Unpublish():
                # Stopped first: while the publication stands, a next run would do both again.
                self._systemctl("stop")
                remove_publication(self.host, self.wanted.etcd_cluster)
                # Whoever took it away may have changed it.
                memory = replace(memory, peek=None, check=None, grown=False, started=False)
        return memory

    # --- steps

    def _format(self, device: Device) -> None:
        """Format a device that is proven blank *now*, or that carries the record of an unfinished format of this volume."""
        devices = BlockDevices(self.host)
        found = devices.content(device, self.wanted)
        if not isinstance(found, Blank | Unfinished):
            raise RefusedError(f"{device.path} is not blank any more: {found}; it is left alone", code="not-blank")
        use_up(self.host, self.wanted.etcd_cluster)
        # The same one again: what an earlier try left must still be known by the record.
        name = found.uuid if isinstance(found, Unfinished) else str(uuid.uuid4())
        devices.write_intent(device, self.wanted, uuid=name)
        # nodiscard: the device is blank, and discarding would take the record away before there is a file system.
        result = self.host.run(["mkfs.ext4", "-F", "-q", "-m0", "-U", name, "-E", "nodiscard", device.path], timeout=MKFS_DEADLINE)
        _expect_success(result)
        devices.clear_intent(device)

    def _peek(self, device: Device, filesystem: Filesystem) -> Glimpse:
        place = f"{PEEK_DIRECTORY}/{self.wanted.etcd_cluster}"
        # What a process that was killed here left behind.
        for _ in [one for one in parse_mounts(self.host.read(PATH).decode(errors="surrogateescape")) if one.path == place]:
            self._command("umount", place)
        self.host.make_directory(place, mode=0o700)
        options = f"{_WITHOUT_REPLAY[filesystem.kind]},nodev,nosuid,noexec"
        argv = ["mount", "-t", filesystem.kind, "-o", options, device.path, place]
        result = self.host.run(argv, timeout=QUICK_DEADLINE)
        if not result.ok:
            log.info("%s cannot be looked into before a repair: %s", device.path, result.stderr.strip())
            return Glimpse(inside=Inside.UNREADABLE)
        try:
            return Glimpse(inside=inside_of(self.host, place), marker=read_marker(self.host, place))
        except TransientError:
            # The disk did not answer; it is not the file system.
            raise
        except AgentError as error:
            log.info("%s cannot be read before a repair: %s", device.path, error)
            return Glimpse(inside=Inside.UNREADABLE)
        finally:
            self._command("umount", place)

    def _check(self, device: Device, filesystem: Filesystem) -> CheckResult:
        if filesystem.kind == "xfs":
            # It repairs itself by its log when it is mounted; fsck.xfs does nothing.
            return CheckResult()
        try:
            result = self.host.run(["fsck", "-T", "-a", device.path], timeout=FSCK_DEADLINE)
        except DeadlineError as error:
            return CheckResult(complaint=str(error))
        said = " ".join((result.stdout + result.stderr).split())[-400:]
        if result.exit_code < 0 or result.exit_code >= _FSCK_NOT_IN_ORDER:
            return CheckResult(complaint=f"exit code {result.exit_code}: {said}")
        if result.exit_code:
            log.warning("fsck repaired %s: %s", device.path, said)
        return CheckResult()

    def _grow(self, device: Device, filesystem: Filesystem, place: str) -> None:
        """Grow; a file system that stays smaller than its device still works."""
        argv = ["xfs_growfs", "-d", place] if filesystem.kind == "xfs" else ["resize2fs", device.path]
        try:
            _expect_success(self.host.run(argv, timeout=FSCK_DEADLINE))
        except (TransientError, NotFoundError, DeadlineError) as error:
            log.warning("%s was not grown to the size of its device: %s", place, error)

    def _mark(self, step: phase.Mark, now: datetime) -> None:
        path = f"{step.place}/{MARKER_NAME}"
        if self.host.stat(path) is not None:
            raise ConflictError(f"{path} exists; a marker is never overwritten")
        marker = Marker(
            cluster_name=self.wanted.cluster_name,
            etcd_cluster=self.wanted.etcd_cluster,
            member_name=step.member_name,
            volume_id=step.volume_id,
            created_at=now,
        )
        self.host.write(path, dump_marker(marker), mode=0o644)

    def _ask_store(self, url: str, now: datetime) -> StoreAnswer:
        from agents.stores.url import open_store

        try:
            store = open_store(url, environment=self.environment)
            # Source: reference etcd-manager.md §2.2 and §3.1. A backup exists once its metadata does.
            if store.exists("control/etcd-cluster-created"):
                return StoreAnswer(held=Held.YES, detail=f"{url}/control/etcd-cluster-created exists", asked=now)
            backups = [entry.key for entry in store.list() if entry.key.endswith("/_etcd_backup.meta")]
        except (TransientError, AccessError, DeadlineError, NotFoundError, SpecError) as error:
            return StoreAnswer(held=Held.UNKNOWN, detail=str(error), asked=now)
        if backups:
            detail = f"{url} holds {len(backups)} backups, the newest {max(backups).rpartition('/')[0]}"
            return StoreAnswer(held=Held.YES, detail=detail, asked=now)
        return StoreAnswer(held=Held.NO, detail="", asked=now)

    # --- commands

    def _command(self, *argv: str) -> None:
        _expect_success(self.host.run(argv, timeout=QUICK_DEADLINE))

    def _systemctl(self, verb: str) -> None:
        """Have systemd start or stop the manager of this volume; without waiting, for its unit may be waiting for us."""
        unit = f"etcd-manager@{self.wanted.etcd_cluster}.service"
        try:
            _expect_success(self.host.run(["systemctl", verb, "--no-block", unit], timeout=QUICK_DEADLINE))
        except AgentError as error:
            # No systemd here, or nodeup has not written the unit yet and will start it itself.
            log.info("systemd was not told to %s %s: %s", verb, unit, error)


def _expect_success(result: CommandResult) -> None:
    if not result.ok:
        said = (result.stderr.strip() or result.stdout.strip())[-500:]
        raise TransientError(f"`{' '.join(result.argv)}` exited with {result.exit_code}: {said}")
