"""The leader's ways to its surroundings, as Protocols: the managers that are known, and etcd's members."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from etcdmanager.backups.store import BackupStore
from etcdmanager.control.store import ControlStore
from etcdmanager.etcd.answers import Member
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

    def addresses(self, peer_id: str) -> tuple[str, ...]:
        """Return every endpoint that was ever named for a peer; a former machine of it may still run its etcd there."""
        ...

    def twins(self, peer_id: str) -> tuple[str, ...]:
        """Return the endpoints of managers that all say they are this peer; empty unless there are two."""
        ...

    def connection(self, peer_id: str) -> PeerConnection | None:
        """Return the way to a peer; None where nobody ever said where it is."""
        ...


class Etcds(Protocol):
    """Clients to the members' etcds, with our client certificate; kept and reused."""

    def client(self, node: EtcdNode, *, quarantined: bool) -> EtcdClient:
        """Return a client to one member, where it listens in that mode."""
        ...

    async def answers_at(self, member: Member, node: EtcdNode | None, addresses: Sequence[str], *, deadline: timedelta) -> str:
        """Return the URL at which the listed member's own etcd answers, "" where nothing of it does.

        It is asked at the URLs that etcd lists and those of its manager's configuration (`node`, where a manager answers), at
        their hosts and at `addresses` ("ip:port" of managers of its name).
        """
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
