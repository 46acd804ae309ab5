"""Block devices as the kernel shows them: where one is, what is on it, and the two writes that formatting needs besides mkfs.

It looks and answers; what an answer means is decided in `protokube.volumes.phase`. Sources: sysfs(5), blkid(8), losetup(8).
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterable, Iterator
from datetime import timedelta

from agents.errors import AgentError, NotFoundError, SpecError, TransientError
from agents.host.os_errors import os_errors, translate
from agents.host.protocol import FileKind, Host
from protokube.spec import WantedVolume
from protokube.volumes.view import Blank, Content, Device, DeviceNumber, Filesystem, Unfinished, Unknown

#: blkid reads some blocks of a device; a disk that does not answer for so long is reported.
_LOOK_DEADLINE = timedelta(seconds=30)
_SECTOR = 512
_MIB = 1 << 20
#: Begins the first sector of a device that is being formatted.
_INTENT = b"node-agents: being formatted\n"
#: A BSD disk label's magic number at its place. mke2fs's first write zeros the first two sectors, except where this stands
#: (`zap_sector`); without it a mkfs that was killed would leave a device with neither record nor file system.
_KEPT_BY_MKE2FS = (64, bytes.fromhex("57455682"))


class BlockDevices:
    """The block devices of a host."""

    def __init__(self, host: Host) -> None:
        self._host = host

    # --- finding

    def by_path(self, path: str) -> Device | None:
        """Return the device at `path`, symlinks followed; None while nothing is there, NotADeviceError for something else."""
        real = os.path.realpath(self._host.local_path(path))
        found = self._host.stat(real)
        if found is None:
            return None
        if found.kind is not FileKind.BLOCK_DEVICE or found.rdev is None:
            raise NotADeviceError(f"{path} is a {found.kind.value}, wanted a block device")
        return self._device(real, found.rdev)

    def by_tag(self, tag: str, value: str) -> tuple[Device, ...]:
        """Return the devices whose file system has this LABEL or UUID; not those that are parts of another device (multipath, md)."""
        argv = ["blkid", "-c", "/dev/null", "-o", "device", "-t", f"{tag}={value}"]
        result = self._host.run(argv, timeout=_LOOK_DEADLINE)
        # 2: nothing has it.
        if result.exit_code not in {0, 2}:
            raise TransientError(f"`{' '.join(argv)}` exited with {result.exit_code}: {result.stderr.strip()}")
        found = [self.by_path(path) for path in result.stdout.split()]
        return _each_once(device for device in found if device is not None and not self._holders(device.number))

    def by_serial(self, serial: str) -> tuple[Device, ...]:
        """Return the whole disks with this serial number; dashes do not matter, as AWS leaves them out of a volume's id on NVMe."""
        found = []
        for name in self._list("/sys/block"):
            if serial.replace("-", "") in {one.replace("-", "") for one in self._serials(name)}:
                major, minor = self._text(f"/sys/block/{name}/dev").split(":")
                number = (int(major), int(minor))
                path = self._node_of(name, number)
                if path and not self._holders(number):
                    found.append(self._device(path, number))
        return _each_once(found)

    def by_image(self, image: str) -> tuple[Device, ...]:
        """Return the loop devices behind which this file is."""
        argv = ["losetup", "--json", "--list", "--output", "NAME", "--associated", image]
        result = self._host.run(argv, timeout=_LOOK_DEADLINE)
        if not result.ok:
            raise TransientError(f"`{' '.join(argv)}` exited with {result.exit_code}: {result.stderr.strip()}")
        rows = json.loads(result.stdout or "{}").get("loopdevices", [])
        found = [self.by_path(row["name"]) for row in rows]
        return _each_once(device for device in found if device is not None)

    def is_there(self, number: DeviceNumber) -> bool:
        """Return whether the kernel still has a device."""
        return self._host.stat(_sysfs(number)) is not None

    # --- looking at what is on one

    def content(self, device: Device, wanted: WantedVolume) -> Content:
        """Return what is on a device that is not mounted. Nothing is written. Blank is a proof, not the lack of a finding."""
        intent, found = self._intent(device), self.probe(device)
        if intent is not None:
            return _unfinished(intent, found, wanted)
        if found is not None:
            return found
        users = [*self._holders(device.number), *self._partitions(device.number)]
        if users:
            return Unknown(description=f"it is used by {', '.join(users)}")
        return self._proof_of_blankness(device)

    def probe(self, device: Device) -> Filesystem | Unknown | None:
        """Return the signature that blkid finds; None for no signature."""
        argv = ["blkid", "-p", "-s", "TYPE", "-s", "PTTYPE", "-s", "UUID", "-o", "export", device.path]
        result = self._host.run(argv, timeout=_LOOK_DEADLINE)
        match result.exit_code:
            case 0:
                found = dict(line.split("=", 1) for line in result.stdout.splitlines() if "=" in line)
                if table := found.get("PTTYPE"):
                    return Unknown(description=f"it has a partition table ({table})")
                return Filesystem(kind=found.get("TYPE", "unknown"), uuid=found.get("UUID", ""))
            case 2:
                return None
            case 8:
                return Unknown(description="blkid finds the signatures of several things on it")
            case code:
                raise TransientError(f"`{' '.join(argv)}` exited with {code}: {result.stderr.strip()}")

    def _proof_of_blankness(self, device: Device) -> Content:
        # O_EXCL on a block device: EBUSY while anything in the kernel uses it (a mount in any namespace, md, dm, swap).
        try:
            descriptor = os.open(self._host.local_path(device.path), os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC)
        except OSError as error:
            if error.errno == errno.EBUSY:
                return Unknown(description="the kernel says that it is in use")
            raise translate(error, wanted="open", path=device.path) from error
        with os_errors("read", device.path):
            try:
                size = os.lseek(descriptor, 0, os.SEEK_END)
                for start, name in ((0, "first"), (max(0, size - _MIB), "last")):
                    if any(os.pread(descriptor, _MIB, start)):
                        return Unknown(description=f"blkid does not know what is on it, but its {name} MiB is not all zeros")
            finally:
                os.close(descriptor)
        return Blank()

    # --- the record of an unfinished format

    def write_intent(self, device: Device, wanted: WantedVolume, *, uuid: str) -> None:
        """Record in the device's first sector, durably, that it was proven blank and gets a file system of that UUID for `wanted`."""
        self._write_sector(device, record_of(wanted, uuid=uuid))

    def clear_intent(self, device: Device) -> None:
        """Remove the record: the file system is complete."""
        self._write_sector(device, bytes(_SECTOR))

    def _intent(self, device: Device) -> tuple[str, str] | None:
        """Return the UUID and the volume that the record names; None where there is no record."""
        with os_errors("read", device.path):
            descriptor = os.open(self._host.local_path(device.path), os.O_RDONLY | os.O_CLOEXEC)
            try:
                sector = os.pread(descriptor, _SECTOR, 0)
            finally:
                os.close(descriptor)
        if not sector.startswith(_INTENT):
            return None
        place, magic = _KEPT_BY_MKE2FS
        uuid, _, volume = sector[place + len(magic) :].rstrip(b"\0").decode(errors="replace").strip().partition(" ")
        return uuid, volume

    def _write_sector(self, device: Device, sector: bytes) -> None:
        with os_errors("write", device.path):
            descriptor = os.open(self._host.local_path(device.path), os.O_WRONLY | os.O_EXCL | os.O_CLOEXEC)
            try:
                found = os.fstat(descriptor)
                if not stat.S_ISBLK(found.st_mode) or (os.major(found.st_rdev), os.minor(found.st_rdev)) != device.number:
                    raise TransientError(f"{device.path} is not the device any more that it was a moment ago")
                os.pwrite(descriptor, sector, 0)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    # --- sysfs

    def _device(self, path: str, number: DeviceNumber) -> Device:
        sysfs = _sysfs(number)
        sectors = self._text(f"{sysfs}/size")
        return Device(
            path=path,
            number=number,
            size_bytes=int(sectors or "0") * _SECTOR,
            read_only=self._text(f"{sysfs}/ro") == "1",
        )

    def _serials(self, name: str) -> Iterator[str]:
        """Yield a disk's serial number from where virtio, NVMe and MMC, and SCSI show it."""
        yield from filter(None, (self._text(f"/sys/block/{name}/{place}") for place in ("serial", "device/serial")))
        # SCSI's vital product data, page 0x80: four bytes of header.
        page = self._bytes(f"/sys/block/{name}/device/vpd_pg80")[4:]
        if text := page.decode(errors="replace").strip(" \0"):
            yield text

    def _node_of(self, name: str, number: DeviceNumber) -> str:
        """Return the path of a device node; nearly always named as in sysfs, which writes "!" for "/"."""
        candidates = (name.replace("!", "/"), *self._list("/dev"))
        for candidate in candidates:
            found = self._host.stat(f"/dev/{candidate}")
            if found is not None and found.kind is FileKind.BLOCK_DEVICE and found.rdev == number:
                return f"/dev/{candidate}"
        return ""

    def _holders(self, number: DeviceNumber) -> tuple[str, ...]:
        return self._list(f"{_sysfs(number)}/holders")

    def _partitions(self, number: DeviceNumber) -> tuple[str, ...]:
        here = _sysfs(number)
        return tuple(name for name in self._list(here) if self._host.stat(f"{here}/{name}/partition") is not None)

    def _list(self, path: str) -> tuple[str, ...]:
        try:
            return self._host.list(path)
        except NotFoundError:
            return ()

    def _text(self, path: str) -> str:
        return self._bytes(path).decode(errors="replace").strip()

    def _bytes(self, path: str) -> bytes:
        try:
            return self._host.read(path)
        except AgentError:
            # An attribute that this kind of disk does not have, or cannot tell just now: it has no serial number for us.
            return b""


class NotADeviceError(SpecError):
    """What was named as a block device is something else; the operator must name another path."""

    code = "not-a-device"


def record_of(wanted: WantedVolume, *, uuid: str) -> bytes:
    """Return the first sector of a device that is being formatted for `wanted`."""
    place, magic = _KEPT_BY_MKE2FS
    sector = _INTENT.ljust(place, b"\0") + magic + f"{uuid} {_volume_of(wanted)}\n".encode()
    return sector.ljust(_SECTOR, b"\0")


def _volume_of(wanted: WantedVolume) -> str:
    """Return the text that ties an unfinished format to one volume."""
    return f"{wanted.cluster_name} {wanted.etcd_cluster} {wanted.member_name}"


def _unfinished(intent: tuple[str, str], found: Filesystem | Unknown | None, wanted: WantedVolume) -> Content:
    """Return what a device with our record holds: nothing yet, or the file system that the record announced, is ours to make again."""
    uuid, volume = intent
    if volume != _volume_of(wanted):
        return Unknown(description=f"it is being formatted for another volume: {volume}")
    if found is None or found == Filesystem(kind="ext4", uuid=uuid):
        return Unfinished(uuid=uuid)
    what = f"a {found.kind} of UUID {found.uuid}" if isinstance(found, Filesystem) else found.description
    return Unknown(description=f"it carries the record of an unfinished format, and since then somebody put something on it: {what}")


def _sysfs(number: DeviceNumber) -> str:
    return f"/sys/dev/block/{number[0]}:{number[1]}"


def _each_once(devices: Iterable[Device]) -> tuple[Device, ...]:
    return tuple({device.number: device for device in devices}.values())
