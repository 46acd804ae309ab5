"""The gRPC server of one manager: bytes to values and back, errors to status codes, and who is calling. It decides nothing.

One port serves the Go program's two services and our own (reference, section 4.1). What the calls mean is in `Handlers`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Protocol, TypeVar

import grpc
import grpc.aio

from agents.errors import AccessError, AgentError, SpecError, TransientError
from etcdmanager.peering import codec
from etcdmanager.peering import messages as m
from etcdmanager.peering.errors import status_of, trailing_metadata
from etcdmanager.peering.proto import (
    cluster_pb2,
    cluster_pb2_grpc,
    manager_pb2,
    manager_pb2_grpc,
    member_pb2,
    member_pb2_grpc,
)
from etcdmanager.peering.tls import PeerTls, peer_of_client_name, server_credentials

log = logging.getLogger(__name__)

Report = Callable[[m.Progress], None]

#: Peers ping each channel about as often as this; grpc would call a peer with keepalives of 10 s a flood.
_SERVER_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Two managers on one address and port are a mistake, not load balancing.
    ("grpc.so_reuseport", 0),
)


class Group(Protocol):
    """Who else there is: what the server tells gossip, and asks it."""

    @property
    def own(self) -> m.PeerInfo:
        """Who we are."""
        ...

    def healthy(self) -> tuple[m.PeerInfo, ...]:
        """Return whom we have been in contact with lately, ourselves included, by id."""
        ...

    def heard(self, info: m.PeerInfo) -> None:
        """Note that this peer has just called."""
        ...

    def introduced(self, peers: Collection[m.PeerInfo]) -> None:
        """Note that somebody else knows these peers."""
        ...


class Handlers(Protocol):
    """What may be asked of this member. `caller` is the peer id that the caller's certificate proves, None without TLS."""

    async def notify_leadership(self, view: m.View, *, caller: str | None, healthy: Collection[m.PeerInfo]) -> m.LeadershipAnswer:
        """Accept or refuse a leader."""
        ...

    async def info(self) -> m.Info:
        """Answer GetInfo."""
        ...

    async def describe(self) -> m.Description:
        """Answer Describe."""
        ...

    async def update_endpoints(self, members: Sequence[m.MemberMapEntry]) -> None:
        """Learn the members' addresses."""
        ...

    async def join(self, request: m.JoinRequest, header: m.Header, *, caller: str | None) -> None:
        """Take a step of becoming a member."""
        ...

    async def reconfigure(self, request: m.ReconfigureRequest, header: m.Header, *, caller: str | None) -> None:
        """Change quarantine, version or TLS."""
        ...

    async def stop_etcd(self, header: m.Header, *, caller: str | None) -> None:
        """Stop etcd and archive its data."""
        ...

    async def do_backup(self, storage: str, info: m.BackupInfo, header: m.Header, *, caller: str | None) -> str:
        """Back up; return the name."""
        ...

    async def do_restore(self, storage: str, backup_name: str, header: m.Header, *, caller: str | None) -> None:
        """Copy a backup into the running etcd."""
        ...

    async def take_backup(self, request: m.TakeBackupRequest, header: m.Header, *, caller: str | None, report: Report) -> m.TakenBackup:
        """Back up with progress."""
        ...

    async def prepare_restore(
        self, request: m.PrepareRestoreRequest, header: m.Header, *, caller: str | None, report: Report
    ) -> m.PreparedRestore:
        """Restore beside the serving data."""
        ...

    async def commit_restore(self, cluster_token: str, header: m.Header, *, caller: str | None) -> str:
        """Swap prepared data in; return the archived token."""
        ...

    async def abort_restore(self, cluster_token: str, header: m.Header, *, caller: str | None) -> None:
        """Throw prepared data away."""
        ...


Context = grpc.aio.ServicerContext[object, object]
_T = TypeVar("_T")


class ClusterServicer(cluster_pb2_grpc.ClusterServiceServicer):
    """The service privateapi.ClusterService: gossip and leadership."""

    def __init__(self, group: Group, handlers: Handlers) -> None:
        self._group = group
        self._handlers = handlers

    async def Ping(self, request: cluster_pb2.PingRequest, context: Context) -> cluster_pb2.PingResponse:  # noqa: N802
        """Answer who we are; note who called."""

        async def answer() -> cluster_pb2.PingResponse:
            info = codec.peer_info_from_wire(request.info)
            caller = caller_of(context)
            if not info.id or (caller is not None and caller != info.id):
                raise AccessError(f"the caller {caller or 'without a certificate'} claims to be {info.id!r}", code="identity")
            self._group.heard(info)
            return cluster_pb2.PingResponse(info=codec.peer_info_to_wire(self._group.own))

        return await _answered(context, answer())

    async def LeaderNotification(  # noqa: N802
        self, request: cluster_pb2.LeaderNotificationRequest, context: Context
    ) -> cluster_pb2.LeaderNotificationResponse:
        """Accept or refuse a leader."""

        async def answer() -> cluster_pb2.LeaderNotificationResponse:
            view = codec.view_from_wire(request.view)
            self._group.introduced(view.healthy)
            answered = await self._handlers.notify_leadership(view, caller=caller_of(context), healthy=self._group.healthy())
            return codec.answer_to_wire(answered)

        return await _answered(context, answer())


class ManagerServicer(manager_pb2_grpc.EtcdManagerServiceServicer):
    """The service etcd.EtcdManagerService: what a leader asks of a member."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers

    async def GetInfo(self, request: manager_pb2.GetInfoRequest, context: Context) -> manager_pb2.GetInfoResponse:  # noqa: N802, ARG002
        """Answer what every manager says about its member."""

        async def answer() -> manager_pb2.GetInfoResponse:
            caller_of(context)
            return codec.info_to_wire(await self._handlers.info())

        return await _answered(context, answer())

    async def UpdateEndpoints(  # noqa: N802
        self, request: manager_pb2.UpdateEndpointsRequest, context: Context
    ) -> manager_pb2.UpdateEndpointsResponse:
        """Learn the members' addresses."""

        async def answer() -> manager_pb2.UpdateEndpointsResponse:
            # Names of members decide whom etcd dials: any certificate of the CA is not enough, it must be a manager's.
            caller_of(context)
            await self._handlers.update_endpoints(codec.member_map_from_wire(request.member_map))
            return manager_pb2.UpdateEndpointsResponse()

        return await _answered(context, answer())

    async def JoinCluster(  # noqa: N802
        self, request: manager_pb2.JoinClusterRequest, context: Context
    ) -> manager_pb2.JoinClusterResponse:
        """Take a step of becoming a member."""

        async def answer() -> manager_pb2.JoinClusterResponse:
            try:
                join = codec.join_from_wire(request)
            except ValueError as error:
                raise SpecError(f"unknown phase {request.phase}") from error
            await self._handlers.join(join, codec.header_from_wire(request.header), caller=caller_of(context))
            return manager_pb2.JoinClusterResponse()

        return await _answered(context, answer())

    async def Reconfigure(  # noqa: N802
        self, request: manager_pb2.ReconfigureRequest, context: Context
    ) -> manager_pb2.ReconfigureResponse:
        """Change quarantine, version or TLS."""

        async def answer() -> manager_pb2.ReconfigureResponse:
            wanted = m.ReconfigureRequest(
                quarantined=request.quarantined,
                set_etcd_version=request.set_etcd_version,
                enable_tls=request.enable_tls,
                adopt_peer_urls=request.adopt_peer_urls,
            )
            await self._handlers.reconfigure(wanted, codec.header_from_wire(request.header), caller=caller_of(context))
            return manager_pb2.ReconfigureResponse()

        return await _answered(context, answer())

    async def StopEtcd(self, request: manager_pb2.StopEtcdRequest, context: Context) -> manager_pb2.StopEtcdResponse:  # noqa: N802
        """Stop etcd and archive its data."""

        async def answer() -> manager_pb2.StopEtcdResponse:
            await self._handlers.stop_etcd(codec.header_from_wire(request.header), caller=caller_of(context))
            return manager_pb2.StopEtcdResponse()

        return await _answered(context, answer())

    async def DoBackup(self, request: manager_pb2.DoBackupRequest, context: Context) -> manager_pb2.DoBackupResponse:  # noqa: N802
        """Back up without progress."""

        async def answer() -> manager_pb2.DoBackupResponse:
            info = codec.backup_info_from_wire(request.info)
            header = codec.header_from_wire(request.header)
            name = await self._handlers.do_backup(request.storage, info, header, caller=caller_of(context))
            return manager_pb2.DoBackupResponse(name=name)

        return await _answered(context, answer())

    async def DoRestore(self, request: manager_pb2.DoRestoreRequest, context: Context) -> manager_pb2.DoRestoreResponse:  # noqa: N802
        """Copy a backup into the running etcd."""

        async def answer() -> manager_pb2.DoRestoreResponse:
            header = codec.header_from_wire(request.header)
            await self._handlers.do_restore(request.storage, request.backup_name, header, caller=caller_of(context))
            return manager_pb2.DoRestoreResponse()

        return await _answered(context, answer())


class MemberServicer(member_pb2_grpc.MemberServiceServicer):
    """The service nodeagents.v1.MemberService: what only our managers ask."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers

    async def Describe(self, request: member_pb2.DescribeRequest, context: Context) -> member_pb2.DescribeResponse:  # noqa: N802, ARG002
        """Answer everything about this member."""

        async def answer() -> member_pb2.DescribeResponse:
            caller_of(context)
            return codec.description_to_wire(await self._handlers.describe())

        return await _answered(context, answer())

    async def CommitRestore(  # noqa: N802
        self, request: member_pb2.CommitRestoreRequest, context: Context
    ) -> member_pb2.CommitRestoreResponse:
        """Swap prepared data in."""

        async def answer() -> member_pb2.CommitRestoreResponse:
            header = codec.header_from_wire(request.header)
            archived = await self._handlers.commit_restore(request.cluster_token, header, caller=caller_of(context))
            return member_pb2.CommitRestoreResponse(archived_token=archived)

        return await _answered(context, answer())

    async def AbortRestore(  # noqa: N802
        self, request: member_pb2.AbortRestoreRequest, context: Context
    ) -> member_pb2.AbortRestoreResponse:
        """Throw prepared data away."""

        async def answer() -> member_pb2.AbortRestoreResponse:
            header = codec.header_from_wire(request.header)
            await self._handlers.abort_restore(request.cluster_token, header, caller=caller_of(context))
            return member_pb2.AbortRestoreResponse()

        return await _answered(context, answer())

    async def PrepareRestore(  # noqa: N802
        self, request: member_pb2.PrepareRestoreRequest, context: Context
    ) -> AsyncIterator[member_pb2.RestoreProgress]:
        """Restore beside the serving data, telling how far it is."""
        caller = caller_of(context)
        header = codec.header_from_wire(request.header)

        def work(report: Report) -> Awaitable[m.PreparedRestore]:
            return self._handlers.prepare_restore(codec.prepare_from_wire(request), header, caller=caller, report=report)

        async for news in _streamed(context, work):
            if isinstance(news, m.Progress):
                yield codec.restore_progress_to_wire(news)
            else:
                yield member_pb2.RestoreProgress(stage="done", result=codec.prepared_to_wire(news))

    async def TakeBackup(  # noqa: N802
        self, request: member_pb2.TakeBackupRequest, context: Context
    ) -> AsyncIterator[member_pb2.BackupProgress]:
        """Back up, telling how far it is."""
        caller = caller_of(context)
        header = codec.header_from_wire(request.header)

        def work(report: Report) -> Awaitable[m.TakenBackup]:
            return self._handlers.take_backup(codec.take_backup_from_wire(request), header, caller=caller, report=report)

        async for news in _streamed(context, work):
            if isinstance(news, m.Progress):
                yield codec.backup_progress_to_wire(news)
            else:
                yield member_pb2.BackupProgress(stage="done", result=codec.taken_to_wire(news))


class PeerServer:
    """The server: start it inside the event loop, stop it there. `tls` is asked at every handshake; None serves in the clear."""

    def __init__(self, group: Group, handlers: Handlers, *, endpoint: str, tls: Callable[[], PeerTls] | None) -> None:
        self._server = grpc.aio.server(options=_SERVER_OPTIONS)
        cluster_pb2_grpc.add_ClusterServiceServicer_to_server(ClusterServicer(group, handlers), self._server)
        manager_pb2_grpc.add_EtcdManagerServiceServicer_to_server(ManagerServicer(handlers), self._server)
        member_pb2_grpc.add_MemberServiceServicer_to_server(MemberServicer(handlers), self._server)
        self._endpoint = endpoint
        self._tls = tls

    async def start(self) -> None:
        """Bind and serve; TransientError where the address is taken or not ours."""
        try:
            if self._tls is None:
                self._server.add_insecure_port(self._endpoint)
            else:
                self._server.add_secure_port(self._endpoint, server_credentials(self._tls))
        except RuntimeError as error:
            raise TransientError(
                f"cannot serve at {self._endpoint}: {error}", code="peer-address", hint="is another manager running there?"
            ) from error
        await self._server.start()
        log.info("serving peers at %s%s", self._endpoint, "" if self._tls else " without TLS")

    async def stop(self, *, grace: timedelta = timedelta(seconds=1)) -> None:
        """Stop serving; calls under way get `grace`."""
        await self._server.stop(grace.total_seconds())


def caller_of(context: Context) -> str | None:
    """Return the peer id of the caller's certificate; None without TLS. AccessError for a certificate that is no manager's."""
    names = list(context.auth_context().get("x509_common_name") or ())
    if not names:
        return None
    common_name = names[0].decode(errors="replace")
    peer_id = peer_of_client_name(common_name)
    if peer_id is None:
        raise AccessError(f"certificate of {common_name!r} is not a manager's", code="identity")
    return peer_id


async def _answered(context: Context, answer: Awaitable[_T]) -> _T:
    async with _mapped(context):
        return await answer
    raise AssertionError  # abort() raises


async def _streamed(context: Context, work: Callable[[Report], Awaitable[_T]]) -> AsyncIterator[m.Progress | _T]:
    """Yield what `work` reports, and at last its result. Only the newest report waits for a slow reader. It may report from any thread."""
    loop = asyncio.get_running_loop()
    news: list[m.Progress] = []
    changed = asyncio.Event()

    def add(progress: m.Progress) -> None:
        news[:] = [progress]
        changed.set()

    def report(progress: m.Progress) -> None:
        loop.call_soon_threadsafe(add, progress)

    task = asyncio.ensure_future(work(report))
    task.add_done_callback(lambda _: changed.set())
    async with _mapped(context):
        try:
            while not task.done():
                await changed.wait()
                changed.clear()
                while news:
                    yield news.pop()
            yield await task
        finally:
            task.cancel()


@asynccontextmanager
async def _mapped(context: Context) -> AsyncIterator[None]:
    try:
        yield
    except AgentError as error:
        log.info("refused a call: %s", error)
        await context.abort(status_of(error), str(error), trailing_metadata(error))
