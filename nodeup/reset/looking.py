"""Looking at what a node left on the machine; what cannot be looked at is as if it were not there, and said in the log."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import timedelta

from agents.documents import as_list, as_mapping, load_yaml
from agents.errors import AgentError
from agents.host.protocol import Host
from nodeup.bootstrap.tokens import MACHINE_KEY
from nodeup.engine.owned import read_manifest
from nodeup.reset.steps import IMAGE_TREES, TREES, ResetView
from nodeup.resources.mount import mounts

log = logging.getLogger(__name__)

_DEADLINE = timedelta(seconds=30)
_SERVICES = ("--type=service", "--plain", "--no-legend", "--full")
_PUBLISHED = "/run/node-agents/volumes"
_PROTOKUBE = "/etc/node-agents/protokube.yaml"
_DROP_INS = "/etc/node-agents/protokube.d"
#: The identity marker at the root of each etcd volume (docs/contracts.md).
MARKER = ".etcd-volume.json"
#: What `kops toolbox enroll` made, and no apply can make again: without it a machine on bare metal never joins any more.
STAYS = MACHINE_KEY
#: Where kops and protokube mount etcd volumes; backups of metal are there, too.
_VOLUME_PLACES = ("/mnt/master-", "/mnt/disks")


def look(host: Host) -> ResetView:
    """Return the view."""
    mounted = tuple(mount.mountpoint for mount in mounts(host))
    owned = tuple(_owned(host))
    paths = (*TREES, *IMAGE_TREES, *owned)
    return ResetView(
        units=tuple(dict.fromkeys((*_units(_said(host, "systemctl", "list-units", "--all", *_SERVICES)), *_enabled(host)))),
        pods=tuple(_said(host, "crictl", "pods", "--quiet").split()),
        mount_points=mounted,
        links=tuple(_links(_said(host, "ip", "-o", "link", "show"))),
        rules=tuple((command, saved) for command in ("iptables", "ip6tables") if (saved := _said(host, f"{command}-save"))),
        nft_tables=tuple(_tables(_said(host, "nft", "list", "tables"))),
        has_ipvs=len(_text(host, "/proc/net/ip_vs").splitlines()) > 3,
        existing=tuple(path for path in dict.fromkeys(paths) if _is_there(host, path, mounted)),
        parts=tuple(
            (tree, tuple(_without(host, tree, STAYS))) for tree in TREES if _is_or_holds(tree, STAYS) and host.stat(STAYS) is not None
        ),
        owned=owned,
        protected=tuple(dict.fromkeys(_protected(host, mounted))),
    )


def _is_there(host: Host, path: str, mounted: tuple[str, ...]) -> bool:
    """Whether there is something to remove: of a disk of its own, which an operator mounted, only what is on it."""
    return host.stat(path) is not None and (path not in mounted or bool(_names(host, path)))


def etcd_members(host: Host) -> tuple[str, ...]:
    """Return the etcd clusters of which this machine has a volume mounted."""
    return tuple(name.removesuffix(".json") for name in _names(host, _PUBLISHED) if name.endswith(".json"))


def _protected(host: Host, mounted: tuple[str, ...]) -> Iterator[str]:
    yield from _VOLUME_PLACES[1:]
    yield from (path for path in mounted if path.startswith(_VOLUME_PLACES) or host.stat(f"{path}/{MARKER}") is not None)
    for name in _names(host, _PUBLISHED):
        yield from _paths_in(_parsed(_text(host, f"{_PUBLISHED}/{name}")))
    for path in (_PROTOKUBE, *(f"{_DROP_INS}/{name}" for name in _names(host, _DROP_INS))):
        try:
            document = as_mapping(load_yaml(_text(host, path), where=path), where=path)
            entries = as_list(document.get("volumes"), where=path)
        except AgentError as error:
            log.warning("%s: %s", path, error)
            continue
        for entry in entries:
            yield from _paths_in(entry)


def _paths_in(document: object) -> Iterator[str]:
    """Yield every path in what describes a volume, whatever its field: to protect too much costs nothing."""
    if isinstance(document, dict):
        for value in document.values():
            yield from _paths_in(value)
    elif isinstance(document, str):
        path = document.removeprefix("file://").rstrip("*").rstrip("/")
        if path.startswith("/") and path.count("/") > 1 and not path.startswith("/dev/"):
            yield path


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _owned(host: Host) -> Iterator[str]:
    """Yield what nodeup wrote where nothing stood before; what replaced something stays, for its former content is not ours to guess."""
    try:
        manifest = read_manifest(host)
    except AgentError as error:
        log.warning("what nodeup wrote is not known: %s", error)
        return
    yield from (owned.path for owned in manifest.things.values() if owned.path and owned.former is None)


def _units(listed: str) -> Iterator[str]:
    from nodeup.reset.steps import RUNTIME, UNITS

    for line in listed.splitlines():
        words = line.replace("●", " ").split()
        # NAME LOAD ACTIVE SUB: one that ended, or never ran, needs no stopping.
        if len(words) > 3 and words[0].startswith((*UNITS, RUNTIME)) and words[2] in {"active", "activating", "reloading", "deactivating"}:
            yield words[0]


def _is_or_holds(path: str, other: str) -> bool:
    return path == other or other.startswith(f"{path}/")


def _without(host: Host, tree: str, kept: str) -> Iterator[str]:
    """Yield what a directory holds, whole where it can be, but for one path in it."""
    for path in (f"{tree}/{name}" for name in _names(host, tree)):
        if not _is_or_holds(path, kept):
            yield path
        elif path != kept:
            yield from _without(host, path, kept)


def _enabled(host: Host) -> Iterator[str]:
    """Yield those of our units that the next boot would start."""
    from nodeup.reset.steps import RUNTIME, UNITS

    for line in _said(host, "systemctl", "list-unit-files", "--state=enabled", *_SERVICES).splitlines():
        name = (line.split() or [""])[0]
        if name.startswith((*UNITS, RUNTIME)) and "@." not in name:
            yield name


def _links(listed: str) -> Iterator[str]:
    for line in listed.splitlines():
        parts = line.split(": ", 2)
        if len(parts) == 3:
            yield parts[1].split("@", 1)[0]


def _tables(listed: str) -> Iterator[tuple[str, str]]:
    for line in listed.splitlines():
        words = line.split()
        if len(words) == 3 and words[0] == "table":
            yield words[1], words[2]


def _said(host: Host, *argv: str) -> str:
    try:
        result = host.run(argv, timeout=_DEADLINE)
    except AgentError as error:
        log.info("not looked at: %s", error)
        return ""
    return result.stdout if result.ok else ""


def _text(host: Host, path: str) -> str:
    try:
        return host.read(path).decode(errors="replace")
    except AgentError:
        return ""


def _names(host: Host, path: str) -> tuple[str, ...]:
    try:
        return host.list(path)
    except AgentError:
        return ()
