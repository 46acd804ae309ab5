"""Where peers may be found: those that flags name, and files that managers of one machine or mount leave for each other.

Only where to look: who really answers there is proven by TLS and Ping (`etcdmanager.peering.gossip`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from agents.documents import as_int, as_list, as_mapping, as_str, dump_json, load_json
from agents.errors import NotFoundError, SpecError
from agents.host.protocol import Host
from etcdmanager.spec import SeedPeer, endpoint

log = logging.getLogger(__name__)


class Discovery(Protocol):
    """One source of peers. It blocks; call it in a thread."""

    def poll(self) -> tuple[SeedPeer, ...]:
        """Return the peers known to this source, ourselves among them or not."""
        ...


class StaticDiscovery:
    """The peers of `--static-config` and `--peers`."""

    def __init__(self, seeds: Sequence[SeedPeer]) -> None:
        self._seeds = tuple(seeds)

    def poll(self) -> tuple[SeedPeer, ...]:
        """Return them."""
        return self._seeds


class FileDiscovery:
    """One JSON file per peer in a shared directory, as the Go program's tests do: `{"id": …, "endpoints": [{"ip": …, "port": …}]}`."""

    def __init__(self, host: Host, directory: str, own: SeedPeer) -> None:
        self._host = host
        self._directory = directory.rstrip("/")
        self._own = own

    def poll(self) -> tuple[SeedPeer, ...]:
        """Leave our own file if it is not there, and return what all files say; a bad file is skipped and reported."""
        self._announce()
        found = []
        for name in self._host.list(self._directory):
            path = f"{self._directory}/{name}"
            if name.startswith("."):
                continue
            try:
                found.append(parse_seed(self._host.read(path), where=path))
            except SpecError as error:
                log.warning("skipping a peer's file: %s", error)
            except NotFoundError:
                continue
        return tuple(found)

    def _announce(self) -> None:
        path = f"{self._directory}/{self._own.id}"
        content = render_seed(self._own)
        try:
            if self._host.read(path) == content:
                return
        except NotFoundError:
            pass
        self._host.write(path, content)


def parse_seed(content: bytes, *, where: str) -> SeedPeer:
    """Return the peer that a file describes; SpecError for anything else."""
    document = as_mapping(load_json(content, where=where), where=where)
    endpoints = []
    for item in as_list(document.get("endpoints"), where=f"{where}: endpoints"):
        entry = as_mapping(item, where=f"{where}: endpoints")
        endpoints.append(endpoint(as_str(entry.get("ip"), where=f"{where}: ip"), as_int(entry.get("port"), where=f"{where}: port")))
    return SeedPeer(id=as_str(document.get("id"), where=f"{where}: id"), endpoints=tuple(endpoints))


def render_seed(peer: SeedPeer) -> bytes:
    """Return the file that describes a peer."""
    split = [item.rpartition(":") for item in peer.endpoints]
    endpoints: list[dict[str, object]] = [{"ip": host.strip("[]"), "port": int(port)} for host, _, port in split]
    return (dump_json({"id": peer.id, "endpoints": endpoints}) + "\n").encode()
