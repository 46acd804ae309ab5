"""The leader's ways to its surroundings, as Protocols: the managers that are known, and etcd's members."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from etcdmanager.backups.store import BackupStore
from etcdmanager.control.store import ControlStore
from etcdmanager.etcd.client import EtcdClient
from etcdmanager.peering.client import Peer as PeerConnection
from etcdmanager.peering.messages import PeerInfo
from etcdmanager.spec import EtcdNode


class Group(Protocol):
    """The managers that are known, ourselves included."""

    def known(self) -> tuple[str, ...]:
        """Return all peer ids that configuration, discovery or gossip ever named, sorted."""
        ...

    def info(self, peer_id: str) -> PeerInfo | None:
        """Return what a peer says of itself; None for one that was not in contact lately."""
        ...

    def silence(self, peer_id: str) -> str:
        """Return why there is no use in asking a peer now, "" where there is: it was in contact lately."""
        ...

    def connection(self, peer_id: str) -> PeerConnection | None:
        """Return the way to a peer; None where nobody ever said where it is."""
        ...


class Etcds(Protocol):
    """Clients to the members' etcds, with our client certificate; kept and reused."""

    def client(self, node: EtcdNode, *, quarantined: bool) -> EtcdClient:
        """Return a client to one member, where it listens in that mode."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Everything outside that a leader looks at and acts on."""

    cluster_name: str
    #: Our own peer id.
    me: str
    group: Group
    etcds: Etcds
    control: ControlStore
    backups: BackupStore
