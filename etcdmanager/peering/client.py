"""Asking one other manager: a typed, asynchronous client in which every call has a deadline.

Nothing here retries or decides. Errors of every method: DeadlineError when `deadline` ends, TransientError for a peer that
cannot be reached or a Go peer's plain error, AccessError when TLS or the token is not accepted, and whatever AgentError
one of our own peers raised (its class, code and hint travel along, see `etcdmanager.peering.errors`).
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol, TypeVar

import grpc
import grpc.aio

from agents.errors import InvariantError, NotFoundError
from etcdmanager.peering import codec
from etcdmanager.peering import messages as m
from etcdmanager.peering.errors import UNIMPLEMENTED, from_rpc_error
from etcdmanager.peering.proto import (
    cluster_pb2,
    cluster_pb2_grpc,
    manager_pb2,
    manager_pb2_grpc,
    member_pb2,
    member_pb2_grpc,
)
from etcdmanager.peering.tls import PeerTls, channel_credentials, server_name

#: Called for every piece of news about a long piece of work; it must return at once.
OnProgress = Callable[[m.Progress], None]

#: A dead TCP connection is noticed within these instead of the kernel's fifteen minutes (B-19).
_CHANNEL_OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
)


class Peer(Protocol):
    """One other manager (or ourselves, over loopback). `deadline` bounds the whole call."""

    @property
    def id(self) -> str:
        """The peer id that the other side has proved by its certificate."""
        ...

    async def ping(self, info: m.PeerInfo, *, deadline: timedelta) -> m.PeerInfo:
        """Say who we are and return who they are."""
        ...

    async def notify_leadership(self, view: m.View, *, deadline: timedelta) -> m.LeadershipAnswer:
        """Claim or assert leadership. A refusal is an answer, not an error."""
        ...

    async def info(self, *, deadline: timedelta) -> m.Info:
        """Return what every manager says about its member, Go's included."""
        ...

    async def describe(self, *, deadline: timedelta) -> m.Description | None:
        """Return everything about its member; None from a Go peer, which cannot say."""
        ...

    async def update_endpoints(self, members: Sequence[m.MemberMapEntry], *, deadline: timedelta) -> None:
        """Tell it the members' names and addresses, for its hosts file."""
        ...

    async def join(self, request: m.JoinRequest, header: m.Header, *, deadline: timedelta) -> None:
        """Take it through a step of becoming a member; it does not wait for etcd to be healthy."""
        ...

    async def reconfigure(self, request: m.ReconfigureRequest, header: m.Header, *, deadline: timedelta) -> None:
        """Change quarantine, version or TLS; our peers restart etcd only if something changes, Go's always."""
        ...

    async def stop_etcd(self, header: m.Header, *, deadline: timedelta) -> None:
        """Stop etcd and move its data to the trash."""
        ...

    async def do_backup(self, storage: str, info: m.BackupInfo, header: m.Header, *, deadline: timedelta) -> str:
        """Back its member up into `storage` and return the backup's name (Go's call: no progress)."""
        ...

    async def do_restore(self, storage: str, backup_name: str, header: m.Header, *, deadline: timedelta) -> None:
        """Copy a backup's keys into its running etcd (Go's call)."""
        ...

    async def prepare_restore(
        self, request: m.PrepareRestoreRequest, header: m.Header, *, deadline: timedelta, on_progress: OnProgress | None = None
    ) -> m.PreparedRestore:
        """Have it fetch, verify and restore beside its serving data. Repeating it for a prepared token returns at once."""
        ...

    async def commit_restore(self, cluster_token: str, header: m.Header, *, deadline: timedelta) -> str:
        """Swap prepared data in and return the token whose data went to the trash ("": none). Repeatable."""
        ...

    async def abort_restore(self, cluster_token: str, header: m.Header, *, deadline: timedelta) -> None:
        """Throw prepared data away; RefusedError once committed. Repeatable."""
        ...

    async def take_backup(
        self, request: m.TakeBackupRequest, header: m.Header, *, deadline: timedelta, on_progress: OnProgress | None = None
    ) -> m.TakenBackup:
        """Back its member up, verified at capture."""
        ...

    async def close(self) -> None:
        """Close the connection; calls under way fail."""
        ...


class PeerClient:
    """A Peer over gRPC. It connects when first used and reconnects by itself; the address never changes.

    `tls` None talks in the clear (`--insecure`).
    """

    def __init__(self, peer_id: str, endpoint: str, *, tls: PeerTls | None) -> None:
        self._id = peer_id
        self.endpoint = endpoint
        if tls is None:
            self._channel = grpc.aio.insecure_channel(endpoint, options=_CHANNEL_OPTIONS)
        else:
            options = (*_CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", server_name(peer_id)))
            self._channel = grpc.aio.secure_channel(endpoint, channel_credentials(tls), options=options)
        self._cluster = cluster_pb2_grpc.ClusterServiceStub(self._channel)
        self._manager = manager_pb2_grpc.EtcdManagerServiceStub(self._channel)
        self._member = member_pb2_grpc.MemberServiceStub(self._channel)

    @property
    def id(self) -> str:
        """The peer id that the server's certificate must carry."""
        return self._id

    async def ping(self, info: m.PeerInfo, *, deadline: timedelta) -> m.PeerInfo:
        """See Peer."""
        with self._mapped("Ping"):
            request = cluster_pb2.PingRequest(info=codec.peer_info_to_wire(info))
            answer = await self._cluster.Ping(request, timeout=deadline.total_seconds())
            return codec.peer_info_from_wire(answer.info)

    async def notify_leadership(self, view: m.View, *, deadline: timedelta) -> m.LeadershipAnswer:
        """See Peer."""
        with self._mapped("LeaderNotification"):
            request = cluster_pb2.LeaderNotificationRequest(view=codec.view_to_wire(view))
            answer = await self._cluster.LeaderNotification(request, timeout=deadline.total_seconds())
            return codec.answer_from_wire(answer)

    async def info(self, *, deadline: timedelta) -> m.Info:
        """See Peer."""
        with self._mapped("GetInfo"):
            answer = await self._manager.GetInfo(manager_pb2.GetInfoRequest(), timeout=deadline.total_seconds())
            return codec.info_from_wire(answer)

    async def describe(self, *, deadline: timedelta) -> m.Description | None:
        """See Peer."""
        try:
            with self._mapped("Describe"):
                answer = await self._member.Describe(member_pb2.DescribeRequest(), timeout=deadline.total_seconds())
        except NotFoundError as error:
            if error.code == UNIMPLEMENTED:
                return None
            raise
        return codec.description_from_wire(answer)

    async def update_endpoints(self, members: Sequence[m.MemberMapEntry], *, deadline: timedelta) -> None:
        """See Peer."""
        with self._mapped("UpdateEndpoints"):
            request = manager_pb2.UpdateEndpointsRequest(member_map=codec.member_map_to_wire(members))
            await self._manager.UpdateEndpoints(request, timeout=deadline.total_seconds())

    async def join(self, request: m.JoinRequest, header: m.Header, *, deadline: timedelta) -> None:
        """See Peer."""
        with self._mapped(f"JoinCluster({request.phase.name})"):
            await self._manager.JoinCluster(codec.join_to_wire(request, header), timeout=deadline.total_seconds())

    async def reconfigure(self, request: m.ReconfigureRequest, header: m.Header, *, deadline: timedelta) -> None:
        """See Peer."""
        message = manager_pb2.ReconfigureRequest(
            header=codec.header_to_wire(header),
            set_etcd_version=request.set_etcd_version,
            quarantined=request.quarantined,
            enable_tls=request.enable_tls,
            adopt_peer_urls=request.adopt_peer_urls,
        )
        with self._mapped("Reconfigure"):
            await self._manager.Reconfigure(message, timeout=deadline.total_seconds())

    async def stop_etcd(self, header: m.Header, *, deadline: timedelta) -> None:
        """See Peer."""
        with self._mapped("StopEtcd"):
            request = manager_pb2.StopEtcdRequest(header=codec.header_to_wire(header))
            await self._manager.StopEtcd(request, timeout=deadline.total_seconds())

    async def do_backup(self, storage: str, info: m.BackupInfo, header: m.Header, *, deadline: timedelta) -> str:
        """See Peer."""
        message = manager_pb2.DoBackupRequest(header=codec.header_to_wire(header), storage=storage, info=codec.backup_info_to_wire(info))
        with self._mapped("DoBackup"):
            answer = await self._manager.DoBackup(message, timeout=deadline.total_seconds())
            return str(answer.name)

    async def do_restore(self, storage: str, backup_name: str, header: m.Header, *, deadline: timedelta) -> None:
        """See Peer."""
        message = manager_pb2.DoRestoreRequest(header=codec.header_to_wire(header), storage=storage, backup_name=backup_name)
        with self._mapped("DoRestore"):
            await self._manager.DoRestore(message, timeout=deadline.total_seconds())

    async def prepare_restore(
        self, request: m.PrepareRestoreRequest, header: m.Header, *, deadline: timedelta, on_progress: OnProgress | None = None
    ) -> m.PreparedRestore:
        """See Peer."""
        with self._mapped("PrepareRestore"):
            call = self._member.PrepareRestore(codec.prepare_to_wire(request, header), timeout=deadline.total_seconds())
            async for news in _stream(call, on_progress):
                if news.HasField("result"):
                    return codec.prepared_from_wire(news.result)
        raise InvariantError(f"peer {self._id} ended PrepareRestore without a result")

    async def commit_restore(self, cluster_token: str, header: m.Header, *, deadline: timedelta) -> str:
        """See Peer."""
        message = member_pb2.CommitRestoreRequest(header=codec.header_to_wire(header), cluster_token=cluster_token)
        with self._mapped("CommitRestore"):
            answer = await self._member.CommitRestore(message, timeout=deadline.total_seconds())
            return str(answer.archived_token)

    async def abort_restore(self, cluster_token: str, header: m.Header, *, deadline: timedelta) -> None:
        """See Peer."""
        message = member_pb2.AbortRestoreRequest(header=codec.header_to_wire(header), cluster_token=cluster_token)
        with self._mapped("AbortRestore"):
            await self._member.AbortRestore(message, timeout=deadline.total_seconds())

    async def take_backup(
        self, request: m.TakeBackupRequest, header: m.Header, *, deadline: timedelta, on_progress: OnProgress | None = None
    ) -> m.TakenBackup:
        """See Peer."""
        with self._mapped("TakeBackup"):
            call = self._member.TakeBackup(codec.take_backup_to_wire(request, header), timeout=deadline.total_seconds())
            async for news in _stream(call, on_progress):
                if news.HasField("result"):
                    return codec.taken_from_wire(news.result)
        raise InvariantError(f"peer {self._id} ended TakeBackup without a result")

    async def close(self) -> None:
        """See Peer."""
        await self._channel.close(grace=None)

    @contextmanager
    def _mapped(self, call: str) -> Iterator[None]:
        try:
            yield
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, peer=self._id, call=call) from error


_News = TypeVar("_News", member_pb2.RestoreProgress, member_pb2.BackupProgress)


async def _stream(call: AsyncIterable[_News], on_progress: OnProgress | None) -> AsyncIterator[_News]:
    async for news in call:
        if on_progress is not None:
            on_progress(codec.progress_from_wire(news))
        yield news
