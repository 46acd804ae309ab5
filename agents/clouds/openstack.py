"""OpenStack's metadata: a disk with the label config-2 where there is one, or else the metadata service."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta

from agents.clouds.endpoint import endpoint_of
from agents.clouds.http import ask
from agents.errors import NotFoundError, TransientError
from agents.host.protocol import Host

#: The disk's label, in the spelling of ISO 9660 and of FAT.
LABELS = ("config-2", "CONFIG-2")
META_DATA = "openstack/latest/meta_data.json"
_MOUNT_POINT = "/run/node-agents/config-drive"
_TIMEOUT = timedelta(seconds=20)


class OpenStackMetadata:
    """Paths below latest/ of the EC2-like service ("meta-data/local-ipv4"), or members of meta_data.json ("uuid", "name")."""

    def __init__(self, environment: Mapping[str, str], host: Host | None = None) -> None:
        self._endpoint = endpoint_of(environment)
        self._host = host
        self._document: Mapping[str, object] | None = None

    def get(self, path: str) -> str | None:
        """Return a value."""
        if path.startswith("meta-data/"):
            return ask(f"{self._endpoint}/latest/{path}", headers={})
        value = self._meta_data().get(path)
        return value if isinstance(value, str) else None

    def _meta_data(self) -> Mapping[str, object]:
        if self._document is None:
            text = None if self._host is None else read_config_drive(self._host)
            self._document = _parsed(ask(f"{self._endpoint}/{META_DATA}", headers={}) if text is None else text)
        return self._document


def read_config_drive(host: Host) -> str | None:
    """Return meta_data.json of the configuration drive, mounting it for a moment, read-only; None where there is no such disk."""
    device = next((path for label in LABELS if host.stat(path := f"/dev/disk/by-label/{label}") is not None), None)
    if device is None:
        return None
    host.make_directory(_MOUNT_POINT, mode=0o700)
    mounted = host.run(("mount", "-o", "ro", device, _MOUNT_POINT), timeout=_TIMEOUT)
    if not mounted.ok:
        raise TransientError(f"the configuration drive {device} cannot be mounted: {mounted.stderr.strip()}")
    try:
        return host.read(f"{_MOUNT_POINT}/{META_DATA}").decode(errors="replace")
    except NotFoundError:
        return None
    finally:
        host.run(("umount", _MOUNT_POINT), timeout=_TIMEOUT)


def _parsed(text: str | None) -> Mapping[str, object]:
    try:
        found = json.loads(text or "")
    except ValueError as error:
        raise TransientError(f"OpenStack's {META_DATA} is no JSON") from error
    if not isinstance(found, dict):
        raise TransientError(f"OpenStack's {META_DATA} is no object")
    return found
