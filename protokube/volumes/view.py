"""What is known about one wanted volume at one moment; frozen, and all that a decision gets. Made by `protokube.volumes.observe`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from protokube.marker import DamagedMarker, Marker
from protokube.spec import FindBy, WantedVolume

#: (major, minor): what a device *is*, whatever its path; paths differ by symlinks and change with the order of discovery (kops#4813).
DeviceNumber = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A block device of this machine."""

    path: str
    number: DeviceNumber
    size_bytes: int
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Blank:
    """Proven: no signature that blkid knows, no user in the kernel, first and last MiB all zeros."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """We proved it blank for this very volume and began to format it; the record in its first sector says so."""

    #: Of the file system that was to be.
    uuid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Filesystem:
    """A whole-device file system."""

    kind: str
    uuid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """Something is on it, or it is in use; described for people."""

    description: str


Content = Blank | Unfinished | Filesystem | Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounted:
    """One line of the kernel's mount table."""

    path: str
    number: DeviceNumber
    filesystem: str
    read_only: bool = False
    #: What of the file system is mounted there; a bind mount has a directory.
    root: str = "/"


class Inside(Enum):
    """What a directory holds, as far as we care; lost+found and dot files do not count."""

    ABSENT = "absent"
    EMPTY = "empty"
    ETCD = "etcd"
    OTHER = "other"
    #: It could not be looked at before a repair.
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Glimpse:
    """What a read-only look into an unmounted file system found."""

    inside: Inside
    marker: Marker | DamagedMarker | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """How fsck ended; `complaint` is "" for a file system that is sound, maybe after a repair."""

    complaint: str = ""


class Held(Enum):
    """Whether the backup store says that this etcd cluster had data."""

    NO = "no"
    YES = "yes"
    #: It did not answer.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAnswer:
    """What the backup store said, and when."""

    held: Held
    detail: str
    asked: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What /run/node-agents/volumes/<etcd>.json says: where etcd-manager finds its data, and whose it is."""

    cluster_name: str
    etcd_cluster: str
    member: str
    mount_point: str
    device: str = ""
    uuid: str = ""
    filesystem: str = ""
    mounted_at: datetime | None = None

    def says_the_same_as(self, other: Publication) -> bool:
        """Return whether both lead to the same place; the time does not matter."""
        return replace(self, mounted_at=None) == replace(other, mounted_at=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeView:
    """One wanted volume and everything that matters for what to do next."""

    now: datetime
    wanted: WantedVolume
    #: Since when it is in its phase.
    since: datetime
    #: Why looking for it found what it cannot be ("/dev/vdb is a directory"), or "".
    trouble: str = ""
    #: Whether the image file exists; True for everything that is no image.
    image_present: bool = True
    #: All devices that fit; more than one is an ambiguity that only the operator can end.
    devices: tuple[Device, ...] = ()
    #: All directories that fit; only for volumes found by directory.
    directories: tuple[str, ...] = ()
    #: Where it shall be, or is, mounted.
    place: str = ""
    #: What is mounted at `place`, bottom first.
    mounts: tuple[Mounted, ...] = ()
    #: Where else the device is mounted.
    elsewhere: tuple[str, ...] = ()
    content: Content | None = None
    #: None: not looked into since we run.
    peek: Glimpse | None = None
    #: None: not checked since we run.
    check: CheckResult | None = None
    store: StoreAnswer | None = None
    #: An operator allowed formatting although the etcd cluster had data.
    permitted: bool = False
    #: What is in `place`.
    inside: Inside = Inside.ABSENT
    #: The marker in `place`, once the volume is mounted there.
    marker: Marker | DamagedMarker | None = None
    grown: bool = False
    published: Publication | None = None
    #: systemd was told to start etcd-manager since we run.
    started: bool = False
    #: The publication exists and cannot be read.
    publication_damaged: bool = False

    @property
    def device(self) -> Device | None:
        """The one device that fits; None for none, or several."""
        return self.devices[0] if len(self.devices) == 1 else None

    @property
    def is_in_place(self) -> bool:
        """Whether exactly our volume is mounted where it shall be (or is the directory that the operator prepared)."""
        if self.wanted.find.by is FindBy.DIRECTORY:
            return len(self.directories) == 1 and self.inside is not Inside.ABSENT
        return self.device is not None and len(self.mounts) == 1 and self.mounts[0].number == self.device.number
