"""The phases of a volume and what is done in each: pure, and the only place that decides anything about volumes.

    wanted      Attach
       ▼
    attached
       ▼
    located     AskStore Format Peek Check
       ▼
    checked     Mount
       ▼
    mounted     Grow Mark Publish
       ▼
    published   Start

    anywhere    Unpublish Refuse Wait Rest

    wanted      the configuration names it          mounted     it is mounted at its place, and nowhere else
    attached    the machine should show it          published   etcd-manager may use it, and knows how
    located     exactly one device fits
    checked     it is ours, and its file system is sound

The phase is read off the view each time, never stored: after a crash at any point the next look says where we are.
What is never done: formatting what is not provably blank; repairing or mounting for writing what belongs to someone else;
overwriting a marker; mounting over a directory that holds something.

Source: reference protokube.md §1.6 and §1.10, etcd-manager.md §8.3; the deadlines are those of §7.3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from protokube.marker import DamagedMarker, Marker, foreignness
from protokube.spec import FindBy, WantedVolume
from protokube.volumes.view import Blank, Device, Filesystem, Held, Inside, Mounted, Publication, Unfinished, Unknown, VolumeView

#: Attaching takes seconds; upstream waits for ever. After this it is reported as failed, and still waited for.
ATTACH_DEADLINE = timedelta(minutes=5)
#: From attached to a device node: udev takes milliseconds, a busy hypervisor some seconds.
DEVICE_DEADLINE = timedelta(minutes=2)
#: How long a store may be silent while a blank volume waits for its word.
STORE_DEADLINE = timedelta(minutes=5)
#: An older answer of the store is not good enough for formatting: a cluster may have been made since.
STORE_ANSWER_LIFETIME = timedelta(seconds=30)
#: What we mount. Others are refused: etcd wants one of these, and we could neither check nor grow them.
FILESYSTEMS = ("ext4", "xfs")
#: Where kops' etcd-manager mounts a volume on the host, and leaves it (reference etcd-manager.md §8.3).
_FORMER_PLACE = re.compile(r"/mnt/(?:disks/)?master-[^/]+")


class Phase(Enum):
    """How far a volume is, in order."""

    WANTED = "wanted"
    ATTACHED = "attached"
    LOCATED = "located"
    CHECKED = "checked"
    MOUNTED = "mounted"
    PUBLISHED = "published"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attach:
    """Attach an image file as a loop device."""

    image: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AskStore:
    """Ask the backup store whether this etcd cluster ever had data."""

    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """Make a file system on a device that is proven blank."""

    device: Device


@dataclass(frozen=True, slots=True, kw_only=True)
class Peek:
    """Look into the file system without writing to it."""

    device: Device
    filesystem: Filesystem


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Run fsck, which repairs what can be repaired safely."""

    device: Device
    filesystem: Filesystem


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """Mount it at its place."""

    device: Device
    filesystem: Filesystem
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Grow:
    """Let the file system fill its device, which may have grown."""

    device: Device
    filesystem: Filesystem
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Write the marker of a volume that has none."""

    member_name: str
    volume_id: str
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """Tell etcd-manager where its volume is."""

    publication: Publication


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Have systemd start etcd-manager, which may have been skipped for want of the publication; nothing happens where it runs.

    Once in each life of protokube: a former one may have been killed between publishing and starting.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpublish:
    """Take back a publication that is not true any more, and stop etcd-manager, which would write onto the root disk."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Nothing can be done but wait; after `until` it is reported as failed, and still waited for."""

    #: Completes "waiting for …".
    reason: str
    until: datetime
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Going on could lose data; only the operator may change what is in the way."""

    code: str
    reason: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """All is well."""


Action = Attach | AskStore | Format | Peek | Check | Mount | Grow | Mark | Publish | Start | Unpublish
Step = Action | Wait | Refuse | Rest

#: What may be done in which phase; the drawing above says the same, and a test compares them.
TABLE: Mapping[Phase, tuple[type[Step], ...]] = {
    Phase.WANTED: (Attach,),
    Phase.ATTACHED: (),
    Phase.LOCATED: (AskStore, Format, Peek, Check),
    Phase.CHECKED: (Mount,),
    Phase.MOUNTED: (Grow, Mark, Publish),
    Phase.PUBLISHED: (Start,),
}
ANYWHERE: tuple[type[Step], ...] = (Unpublish, Refuse, Wait, Rest)


def phase_of(view: VolumeView) -> Phase:
    """Return how far the volume is."""
    if view.is_in_place:
        wanted = publication(view)
        said = wanted is not None and view.published is not None and view.published.says_the_same_as(wanted)
        return Phase.PUBLISHED if said and (view.grown or view.device is None) else Phase.MOUNTED
    if view.device is None:
        attached = view.image_present and view.wanted.find.by is not FindBy.IMAGE
        return Phase.ATTACHED if attached else Phase.WANTED
    sound = isinstance(view.content, Filesystem) and view.peek is not None and view.check is not None and not view.check.complaint
    return Phase.CHECKED if sound else Phase.LOCATED


def next_step(view: VolumeView) -> Step:
    """Return the one thing to do next. Total: every view has an answer."""
    if (view.published is not None or view.publication_damaged) and (reason := _untrue(view)):
        return Unpublish(reason=reason)
    if problem := _ambiguity(view):
        return problem
    match phase_of(view):
        case Phase.WANTED:
            step = _attach(view)
        case Phase.ATTACHED:
            step = _wait_for_device(view)
        case Phase.LOCATED:
            step = _in_the_way(view) or _identify(view)
        case Phase.CHECKED:
            step = _in_the_way(view) or _mount(view)
        case Phase.MOUNTED | Phase.PUBLISHED:
            step = _use(view)
    return step


def publication(view: VolumeView) -> Publication | None:
    """Return what is to be published of a volume in its place; None while it must not be."""
    if not view.is_in_place or not isinstance(view.marker, Marker) or foreignness(view.marker, view.wanted):
        return None
    if any(mounted.read_only for mounted in view.mounts):
        return None
    filesystem = view.content if isinstance(view.content, Filesystem) else Filesystem(kind="")
    return Publication(
        cluster_name=view.wanted.cluster_name,
        etcd_cluster=view.wanted.etcd_cluster,
        member=view.marker.member_name,
        mount_point=view.place,
        device=view.device.path if view.device else "",
        uuid=filesystem.uuid,
        filesystem=filesystem.kind,
    )


def chosen_place(wanted: WantedVolume, *, has_disks_directory: bool) -> str:
    """Return where a device is mounted: as configured, else where etcd-manager would have mounted it."""
    parent = "/mnt/disks" if has_disks_directory else "/mnt"
    return wanted.mount_point or f"{parent}/master-{wanted.etcd_cluster}"


def actual_place(wanted: WantedVolume, chosen: str, mounts: tuple[Mounted, ...]) -> str:
    """Return the place of a device with these mounts: `chosen`, unless kops' etcd-manager mounted it, whole and for writing, where it does.

    Such a mount is taken as it is: its etcd may still run out of it, and to unmount or check it would pull the ground from under
    it. After the next boot it is mounted where we choose. A configured place is never exchanged for another.
    """
    if wanted.mount_point or any(one.path == chosen for one in mounts):
        return chosen
    former = {one.path for one in mounts if one.root == "/" and not one.read_only and _FORMER_PLACE.fullmatch(one.path)}
    return former.pop() if len(former) == 1 else chosen


def _untrue(view: VolumeView) -> str:
    """Return why a publication of this volume is not true, or "". A device that is only hidden for a moment is no reason."""
    if view.publication_damaged:
        return "the publication cannot be read"
    if displaced := _displaced(view):
        return displaced
    if any(mounted.read_only for mounted in view.mounts):
        return f"{view.place} has become read-only"
    if view.marker is None:
        return f"the marker in {view.place} is gone"
    foreign = foreignness(view.marker, view.wanted)
    return f"{view.place} is another volume: {foreign}" if foreign else ""


def _displaced(view: VolumeView) -> str:
    if view.wanted.find.by is FindBy.DIRECTORY:
        return "" if view.is_in_place else f"{view.wanted.find.value} is gone, or is not the only one"
    if not view.mounts:
        return f"nothing is mounted at {view.place} any more"
    if view.device is not None and not view.is_in_place:
        return f"at {view.place} something else than {view.device.path} is mounted"
    return ""


def _ambiguity(view: VolumeView) -> Step | None:
    found = view.wanted.find
    if found.by is FindBy.CLOUD:
        return Refuse(
            code="cloud-volumes-not-built",
            reason=f"volumes of the cloud ({found.value}) are not built yet",
            hint="name the device in /etc/node-agents/protokube.d/, as find: {path: …} or {serial: …}",
        )
    if view.trouble:
        return Refuse(code="not-a-device", reason=view.trouble, hint="correct find in the configuration")
    several = view.directories or tuple(device.path for device in view.devices)
    if len(several) > 1:
        return Refuse(
            code="ambiguous-volume",
            reason=f"wanted one volume with {found}, found {len(several)}: {', '.join(several)}",
            hint="detach the wrong one, or name the right one by path in /etc/node-agents/protokube.d/",
        )
    return None


def _attach(view: VolumeView) -> Step:
    image = view.wanted.find.value
    if view.image_present:
        return Attach(image=image)
    return Wait(reason=f"image file {image} to exist", until=view.since + ATTACH_DEADLINE, hint=f"make it: truncate --size=8G {image}")


def _wait_for_device(view: VolumeView) -> Step:
    what = "directory" if view.wanted.find.by is FindBy.DIRECTORY else "device"
    shown = f"{view.wanted.find.value}/mnt" if what == "directory" else str(view.wanted.find)
    hint = (
        "prepare the directory"
        if what == "directory"
        else "attach it; `lsblk -o NAME,SERIAL,LABEL,UUID` and `protokube volumes` show what there is"
    )
    return Wait(reason=f"{what} {shown} of etcd {view.wanted.etcd_cluster}", until=view.since + DEVICE_DEADLINE, hint=hint)


def _in_the_way(view: VolumeView) -> Step | None:
    """Return what keeps us from touching the device or its place."""
    device = view.device
    if device is None:
        return None
    if view.elsewhere:
        return Refuse(
            code="mounted-elsewhere",
            reason=f"{device.path} is mounted at {', '.join(view.elsewhere)}, wanted at {view.place}",
            hint=f"unmount it (and remove it from /etc/fstab), or set mountPoint: {view.elsewhere[0]}",
        )
    if view.mounts:
        what = "several file systems are" if len(view.mounts) > 1 else "another file system is"
        return Refuse(
            code="place-taken",
            reason=f"{what} mounted at {view.place}, wanted {device.path} alone",
            hint=f"unmount what should not be there (findmnt {view.place}), or set another mountPoint",
        )
    if view.inside in {Inside.ETCD, Inside.OTHER}:
        return Refuse(
            code="place-not-empty",
            reason=f"{view.place} holds files, which mounting {device.path} there would hide",
            hint="was etcd run there without its volume? look, move the files away, or set another mountPoint",
        )
    if device.read_only:
        return Refuse(code="read-only-device", reason=f"{device.path} is read-only", hint="attach it for writing")
    return None


def _identify(view: VolumeView) -> Step:
    device = view.device
    match view.content:
        case Blank() if device is not None:
            return _format_if_allowed(view, device)
        case Unfinished() if device is not None:
            if not view.wanted.allow_format:
                return _not_allowed(device, "was about to be formatted")
            return Format(device=device)
        case Filesystem() as filesystem if device is not None:
            return _examine(view, device, filesystem)
        case Unknown(description=description) if device is not None:
            return Refuse(
                code="not-blank",
                reason=f"{device.path} is not blank: {description}; wanted an ext4 or xfs file system, or a blank device",
                hint=f"look what it is; if nobody needs it, `wipefs --all {device.path}` and zero its first and last MiB",
            )
        case _:
            return _wait_for_device(view)


def _not_allowed(device: Device, state: str) -> Refuse:
    return Refuse(
        code="format-not-allowed",
        reason=f"{device.path} {state}, and allowFormat is false",
        hint="set allowFormat: true for it in /etc/node-agents/protokube.d/, or attach the right volume",
    )


def _format_if_allowed(view: VolumeView, device: Device) -> Step:
    """Return the way to formatting: blank, allowed, named, and nobody's data would be missed."""
    wanted = view.wanted
    if not wanted.allow_format:
        return _not_allowed(device, "is blank")
    if not wanted.member_name:
        return _nameless(device.path)
    if not wanted.backup_store or view.permitted:
        return Format(device=device)
    return _format_if_unmissed(view, device)


def _format_if_unmissed(view: VolumeView, device: Device) -> Step:
    wanted, answer = view.wanted, view.store
    if answer is None or view.now - answer.asked > STORE_ANSWER_LIFETIME:
        return AskStore(url=wanted.backup_store)
    match answer.held:
        case Held.NO:
            return Format(device=device)
        case Held.YES:
            return Refuse(
                code="S1-cluster-had-data",
                reason=f"{device.path} is blank, but etcd {wanted.etcd_cluster} had data: {answer.detail}",
                hint="attach the volume with the data; if it is lost: "
                f"`protokube permit-format {wanted.etcd_cluster} --i-really-want-an-empty-cluster {wanted.cluster_name}`",
            )
        case Held.UNKNOWN:
            return Wait(
                reason=f"the backup store {wanted.backup_store}, which says whether blank {device.path} may be formatted ({answer.detail})",
                until=view.since + STORE_DEADLINE,
                hint="check the network and the store's credentials",
            )


def _nameless(where: str) -> Refuse:
    return Refuse(
        code="no-member-name",
        reason=f"neither the configuration nor {where} says which member's data it holds",
        hint="give memberName for it in /etc/node-agents/protokube.d/",
    )


def _examine(view: VolumeView, device: Device, filesystem: Filesystem) -> Step:
    if filesystem.kind not in FILESYSTEMS:
        return Refuse(
            code="not-blank",
            reason=f"{device.path} holds {filesystem.kind}, wanted {' or '.join(FILESYSTEMS)}",
            hint="attach the right volume; a volume that is not blank is never formatted",
        )
    if view.peek is None:
        return Peek(device=device, filesystem=filesystem)
    if problem := _whose(view, device.path, view.peek.marker, view.peek.inside):
        return problem
    if view.check is None:
        return Check(device=device, filesystem=filesystem)
    return Refuse(
        code="damaged-filesystem",
        reason=f"fsck cannot repair {device.path} by itself: {view.check.complaint}",
        hint=f"run `fsck -f {device.path}` and answer its questions, then `systemctl restart protokube`; or restore from a backup",
    )


def _whose(view: VolumeView, where: str, marker: Marker | DamagedMarker | None, inside: Inside) -> Refuse | None:
    """Return why a file system with this marker and content is not ours to use; None where it is, or may become ours."""
    if marker is not None:
        foreign = foreignness(marker, view.wanted)
        hint = "attach the right volume; if this one is right, correct memberName or clusterName in the configuration"
        return Refuse(code="foreign-volume", reason=f"{where} is another volume: {foreign}", hint=hint) if foreign else None
    if inside is Inside.OTHER:
        return Refuse(
            code="foreign-content",
            reason=f"{where} has no marker and holds files that are not etcd-manager's",
            hint="attach the right volume, or move the files away",
        )
    if inside is not Inside.UNREADABLE and not view.wanted.member_name:
        return _nameless(where)
    return None


def _mount(view: VolumeView) -> Step:
    device, filesystem = view.device, view.content
    if device is None or not isinstance(filesystem, Filesystem):
        return _wait_for_device(view)
    if view.peek is not None and (problem := _whose(view, device.path, view.peek.marker, view.peek.inside)):
        return problem
    return Mount(device=device, filesystem=filesystem, place=view.place)


def _use(view: VolumeView) -> Step:
    if any(mounted.read_only for mounted in view.mounts):
        return Refuse(
            code="read-only-mount",
            reason=f"{view.place} is mounted read-only",
            hint="the kernel does so when the disk fails: look at `dmesg`; then unmount it and restart protokube",
        )
    if problem := _whose(view, view.place, view.marker, view.inside):
        return problem
    filesystem = view.content if isinstance(view.content, Filesystem) else Filesystem(kind="")
    if view.marker is None:
        member = view.wanted.member_name
        return Mark(member_name=member, volume_id=filesystem.uuid, place=view.place) if member else _nameless(view.place)
    if view.device is not None and not view.grown:
        return Grow(device=view.device, filesystem=filesystem, place=view.place)
    wanted = publication(view)
    if wanted is not None and (view.published is None or not view.published.says_the_same_as(wanted)):
        return Publish(publication=wanted)
    return Rest() if view.started else Start()
