"""Looking at one wanted volume: configuration, kernel, file system and publication, in one frozen view. It changes nothing."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from datetime import datetime

from agents.errors import NotFoundError, SpecError
from agents.host.protocol import FileKind, Host
from agents.host.reading import names_if_there
from protokube.marker import NAME, DamagedMarker, Marker, parse_marker
from protokube.permit import is_permitted
from protokube.publish import read_publication
from protokube.spec import FindBy, WantedVolume
from protokube.volumes.devices import BlockDevices, NotADeviceError
from protokube.volumes.memory import Memory
from protokube.volumes.mount_table import PATH, parse_mounts
from protokube.volumes.phase import actual_place, chosen_place
from protokube.volumes.view import Content, Device, Inside, Mounted, VolumeView

log = logging.getLogger(__name__)

#: Where file systems are mounted read-only for a look; execute.py mounts there, and its leftovers are nobody's use of a device.
PEEK_DIRECTORY = "/run/node-agents/peek"
#: What etcd-manager, ours and the Go one, has in a directory that it used, or that an operator prepared for it.
_ETCD_NAMES = frozenset({"state", "data", "myid", "please-create-new-cluster", "etcd.run.json", "manager.lock"})


def look(host: Host, wanted: WantedVolume, memory: Memory, now: datetime) -> tuple[VolumeView, Memory]:
    """Return the view, and the memory without what it remembered of another device."""
    view = VolumeView(
        now=now,
        wanted=wanted,
        since=memory.since,
        store=memory.store,
        started=memory.started,
        permitted=is_permitted(host, cluster_name=wanted.cluster_name, etcd_cluster=wanted.etcd_cluster),
    )
    try:
        view = replace(view, published=read_publication(host, wanted.etcd_cluster))
    except SpecError as error:
        log.warning("%s", error)
        view = replace(view, publication_damaged=True)
    match wanted.find.by:
        case FindBy.CLOUD:
            return view, memory
        case FindBy.DIRECTORY:
            return _with_directory(host, view), memory
        case _:
            return _with_device(host, view, memory)


def inside_of(host: Host, directory: str) -> Inside:
    """Return what a directory holds."""
    try:
        names = {name for name in host.list(directory) if not name.startswith(".") and name != "lost+found"}
    except NotFoundError:
        return Inside.ABSENT
    if not names:
        return Inside.EMPTY
    return Inside.ETCD if names & _ETCD_NAMES else Inside.OTHER


def read_marker(host: Host, directory: str) -> Marker | DamagedMarker | None:
    """Return the marker in a directory; None for none."""
    path = f"{directory}/{NAME}"
    try:
        return parse_marker(host.read(path), where=path)
    except NotFoundError:
        return None


def _with_directory(host: Host, view: VolumeView) -> VolumeView:
    pattern = view.wanted.find.value.rstrip("/")
    if pattern.endswith("*"):
        parent, _, prefix = pattern[:-1].rpartition("/")
        names = names_if_there(host, parent or "/")
        found = tuple(f"{parent}/{name}" for name in names if name.startswith(prefix) and _is_directory(host, f"{parent}/{name}/mnt"))
    else:
        found = (pattern,) if _is_directory(host, f"{pattern}/mnt") else ()
    if len(found) != 1:
        return replace(view, directories=found)
    place = f"{found[0]}/mnt"
    wanted = view.wanted
    if not wanted.member_name:
        # kops' external volumes: the name of the directory is the member's (reference etcd-manager.md §8.4).
        wanted = replace(wanted, member_name=found[0].rpartition("/")[2])
    mounts = tuple(one for one in _mount_table(host) if one.path == place)
    return replace(
        view,
        wanted=wanted,
        directories=found,
        place=place,
        mounts=mounts,
        inside=inside_of(host, place),
        marker=read_marker(host, place),
    )


def _with_device(host: Host, view: VolumeView, memory: Memory) -> tuple[VolumeView, Memory]:
    devices = BlockDevices(host)
    # The mount table knows no symlinks.
    chosen = os.path.realpath(chosen_place(view.wanted, has_disks_directory=_is_directory(host, "/mnt/disks")))
    table = _mount_table(host)
    view = _at_its_place(host, view, chosen, table, memory.device)
    if view.wanted.find.by is FindBy.IMAGE:
        view = replace(view, image_present=_is_file(host, view.wanted.find.value))
    known = memory.device
    if known is not None and [one.number for one in view.mounts] == [known.number] and devices.is_there(known.number):
        # In its place, and looked at by this process: what finds a device (udev's links, blkid) need not be asked each time.
        found: tuple[Device, ...] = (known,)
    else:
        try:
            found = _find(devices, view.wanted)
        except NotADeviceError as error:
            return replace(view, trouble=str(error)), memory
    view = replace(view, devices=found)
    device = view.device
    if device is None:
        return _with_marker(host, view), memory
    view = _at_its_place(host, view, chosen, table, device)
    if memory.device is None or memory.device.number != device.number:
        memory = Memory(since=memory.since, device=device, store=memory.store)
    content = _content(devices, view, memory)
    if memory.content != content:
        memory = replace(memory, content=content, peek=None, check=None, grown=False)
    view = replace(
        view,
        elsewhere=_elsewhere(table, device, view.place),
        content=content,
        peek=memory.peek,
        check=memory.check,
        grown=memory.grown,
    )
    return _with_marker(host, view), memory


def _at_its_place(host: Host, view: VolumeView, chosen: str, table: tuple[Mounted, ...], device: Device | None) -> VolumeView:
    """Return the view with the place of that device (None: not known yet), what is mounted there and what it holds."""
    place = actual_place(view.wanted, chosen, tuple(one for one in table if device is not None and one.number == device.number))
    if place == view.place:
        return view
    return replace(view, place=place, mounts=tuple(one for one in table if one.path == place), inside=inside_of(host, place))


def _with_marker(host: Host, view: VolumeView) -> VolumeView:
    """Return the view with the marker at its place, if anything is mounted there."""
    return replace(view, marker=read_marker(host, view.place)) if view.mounts else view


def _find(devices: BlockDevices, wanted: WantedVolume) -> tuple[Device, ...]:
    value = wanted.find.value
    match wanted.find.by:
        case FindBy.PATH:
            found = devices.by_path(value)
            return (found,) if found is not None else ()
        case FindBy.LABEL:
            return devices.by_tag("LABEL", value)
        case FindBy.UUID:
            return devices.by_tag("UUID", value)
        case FindBy.SERIAL:
            return devices.by_serial(value)
        case FindBy.IMAGE:
            return devices.by_image(value)
        case FindBy.DIRECTORY | FindBy.CLOUD:
            return ()


def _content(devices: BlockDevices, view: VolumeView, memory: Memory) -> Content | None:
    device = view.device
    if device is None:
        return None
    if not view.is_in_place:
        return devices.content(device, view.wanted)
    # A mounted file system does not change its kind; asked once for its UUID.
    return memory.content if memory.content is not None else devices.probe(device)


def _elsewhere(table: tuple[Mounted, ...], device: Device, place: str) -> tuple[str, ...]:
    return tuple(
        one.path for one in table if one.number == device.number and one.path != place and not one.path.startswith(f"{PEEK_DIRECTORY}/")
    )


def _mount_table(host: Host) -> tuple[Mounted, ...]:
    return parse_mounts(host.read(PATH).decode(errors="surrogateescape"))


def _is_directory(host: Host, path: str) -> bool:
    """Return whether there is a directory, or a link to one."""
    try:
        host.list(path)
    except NotFoundError:
        return False
    return True


def _is_file(host: Host, path: str) -> bool:
    found = host.stat(path)
    return found is not None and found.kind is FileKind.FILE
