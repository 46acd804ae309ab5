"""An asynchronous client of one etcd member, or of several that stand for their cluster.

It is a thin door: every call has a deadline, every answer is a value of `etcdmanager.etcd.answers`, every failure an
error of `agents.errors` (see `etcdmanager.etcd.errors`). It does not retry, does not pick members and decides nothing.
Make it inside the running event loop, use it as a context manager, and keep it: a channel costs a TLS handshake.

    async with EtcdClient(["https://127.0.0.1:4001"], tls=tls) as etcd:
        status = await etcd.status(deadline=timedelta(seconds=2))

Calls that are about *one* member (status, hash, defragment, snapshot) go to whichever endpoint answers: give one endpoint
where it matters which.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Protocol, Self, TypeVar
from urllib.parse import urlsplit

import grpc
import grpc.aio

from agents.errors import DeadlineError, InvariantError, SpecError
from agents.secret import Secret
from etcdmanager.etcd.answers import Alarm, HashKV, KeyValue, Lease, Member, MemberList, MemberStatus, Page, RaisedAlarm
from etcdmanager.etcd.errors import error_of
from etcdmanager.etcd.proto import kv_pb2, rpc_pb2

#: One call to a member on the same network; etcd's own request time-out is 5 s plus two election time-outs.
CALL = timedelta(seconds=5)
#: A defragmentation rewrites the whole file: about 100 MB/s on a small disk, for at most 8 GiB.
DEFRAGMENT = timedelta(seconds=120)
#: A snapshot stream that brings no piece for so long is dead.
SNAPSHOT_IDLE = timedelta(seconds=20)

_OPTIONS: tuple[tuple[str, int | str], ...] = (
    # Ranges and snapshots are larger than gRPC's 4 MB.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A proxy of the environment is meant for the internet, never for the member beside us.
    ("grpc.enable_http_proxy", 0),
    # A member that comes back is to be seen within a second or two, not after gRPC's two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    # How long one attempt to connect may take, TLS handshake included (the name is historical).
    ("grpc.min_reconnect_backoff_ms", 3000),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # Back-off states must not leak between clients of the same address.
    ("grpc.use_local_subchannel_pool", 1),
    # etcd hangs up on clients that ping more often than each 5 s (--grpc-keepalive-min-time).
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
)
_ROUND_ROBIN = ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}')


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientTls:
    """What a client shows and whom it trusts."""

    #: One or more CA certificates that may have signed the server's.
    ca_pem: bytes
    certificate_pem: bytes
    key: Secret
    #: The name that the server's certificate must hold, where it is not the host of the URL; None otherwise.
    server_name: str | None = None


class _Message(Protocol):
    def SerializeToString(self) -> bytes: ...  # noqa: N802  protobuf's name


class _Answer(Protocol):
    @classmethod
    def FromString(cls, s: bytes) -> Self: ...  # noqa: N802  protobuf's name


_A = TypeVar("_A", bound=_Answer)


def _serialize(message: _Message) -> bytes:
    return message.SerializeToString()


def grpc_target(endpoints: Sequence[str]) -> str:
    """Return gRPC's name for endpoints given as URLs; SpecError for what no etcd client could dial.

    Several endpoints must be IP addresses of one family, as gRPC's `ipv4:` lists are.
    """
    if not endpoints:
        raise SpecError("an etcd client needs at least one endpoint")
    parsed = [urlsplit(endpoint if "://" in endpoint else f"//{endpoint}") for endpoint in endpoints]
    first = parsed[0]
    if first.scheme in {"unix", "unixs"}:
        return f"unix:{first.netloc}{first.path}"
    for url, endpoint in zip(parsed, endpoints, strict=True):
        if not url.hostname or url.port is None:
            raise SpecError(f"{endpoint!r} is no etcd endpoint; wanted a URL with host and port, such as https://127.0.0.1:4001")
    addresses = [f"[{url.hostname}]:{url.port}" if ":" in (url.hostname or "") else f"{url.hostname}:{url.port}" for url in parsed]
    if len(addresses) == 1:
        return f"dns:{addresses[0]}"
    return f"{'ipv6' if addresses[0].startswith('[') else 'ipv4'}:{','.join(addresses)}"


class EtcdClient:
    """One gRPC channel to etcd. All deadlines are for the one call; DeadlineError when they end."""

    def __init__(self, endpoints: Sequence[str], *, tls: ClientTls | None = None) -> None:
        self.endpoints = tuple(endpoints)
        options: list[tuple[str, int | str]] = list(_OPTIONS)
        if len(self.endpoints) > 1:
            options.append(_ROUND_ROBIN)
        target = grpc_target(self.endpoints)
        if tls is None:
            self._channel = grpc.aio.insecure_channel(target, options=options)
            return
        if tls.server_name is not None:
            options.append(("grpc.ssl_target_name_override", tls.server_name))
        credentials = grpc.ssl_channel_credentials(tls.ca_pem, tls.key.reveal(), tls.certificate_pem)
        self._channel = grpc.aio.secure_channel(target, credentials, options=options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    @property
    def channel(self) -> grpc.aio.Channel:
        """The channel, for the streams that have a file of their own (`watch.py`)."""
        return self._channel

    async def close(self) -> None:
        """Close the channel; calls under way end as TransientError."""
        await self._channel.close(None)

    # --- one member ------------------------------------------------------------------------------------------------

    async def status(self, *, deadline: timedelta = CALL) -> MemberStatus:
        """Return the member's view of itself; it answers without quorum."""
        answer = await self._call("Maintenance/Status", rpc_pb2.StatusRequest(), rpc_pb2.StatusResponse, "ask for the status", deadline)
        return MemberStatus(
            cluster_id=answer.header.cluster_id,
            member_id=answer.header.member_id,
            version=answer.version,
            revision=answer.header.revision,
            leader_id=answer.leader,
            raft_term=answer.raftTerm,
            raft_index=answer.raftIndex,
            raft_applied_index=answer.raftAppliedIndex,
            db_size_bytes=answer.dbSize,
            db_in_use_bytes=answer.dbSizeInUse,
            db_quota_bytes=answer.dbSizeQuota,
            is_learner=answer.isLearner,
            storage_version=answer.storageVersion,
            downgrade_target=answer.downgradeInfo.targetVersion if answer.downgradeInfo.enabled else "",
            errors=tuple(answer.errors),
        )

    async def hash_kv(self, *, revision: int = 0, deadline: timedelta = timedelta(seconds=30)) -> HashKV:
        """Return the member's hash of all keys at `revision` (0: its current one); reads the whole database.

        Before 3.6 etcd does not name the revision it hashed at 0; the one of the answer's header is given then.
        """
        request = rpc_pb2.HashKVRequest(revision=revision)
        answer = await self._call("Maintenance/HashKV", request, rpc_pb2.HashKVResponse, "hash the keys", deadline)
        return HashKV(
            hash=answer.hash,
            revision=answer.hash_revision or revision or answer.header.revision,
            compact_revision=answer.compact_revision,
        )

    async def defragment(self, *, deadline: timedelta = DEFRAGMENT) -> None:
        """Rewrite the member's database file without holes. The member serves nothing meanwhile: never two at once."""
        await self._call("Maintenance/Defragment", rpc_pb2.DefragmentRequest(), rpc_pb2.DefragmentResponse, "defragment", deadline)

    async def snapshot(self, *, idle: timedelta = SNAPSHOT_IDLE, deadline: timedelta = timedelta(hours=1)) -> AsyncIterator[bytes]:
        """Yield the member's database file followed by its 32-byte SHA-256, in pieces of about 32 KiB.

        `idle` bounds the wait for each piece, `deadline` the whole stream. Reading slowly is fine: etcd waits. The
        snapshot is of this member, not linearizable.
        """
        call = self._channel.unary_stream(
            "/etcdserverpb.Maintenance/Snapshot",
            request_serializer=_serialize,
            response_deserializer=rpc_pb2.SnapshotResponse.FromString,
        )(rpc_pb2.SnapshotRequest(), timeout=deadline.total_seconds())
        try:
            while True:
                try:
                    async with asyncio.timeout(idle.total_seconds()):
                        answer = await call.read()
                except TimeoutError as error:
                    message = f"etcd at {self._where}: no piece of the snapshot came for {idle.total_seconds():g} s"
                    raise DeadlineError(message, code="etcd-snapshot-idle") from error
                except grpc.aio.AioRpcError as error:
                    raise error_of(error.code().name, error.details() or "", doing="read a snapshot", endpoint=self._where) from error
                if not isinstance(answer, rpc_pb2.SnapshotResponse):  # grpc.aio.EOF
                    return
                if answer.blob:
                    yield answer.blob
        finally:
            call.cancel()

    # --- membership ------------------------------------------------------------------------------------------------

    async def members(self, *, linearizable: bool = False, deadline: timedelta = CALL) -> MemberList:
        """Return the member list; with `linearizable` only a member that reaches a quorum answers (etcd 3.5 on)."""
        request = rpc_pb2.MemberListRequest(linearizable=linearizable)
        answer = await self._call("Cluster/MemberList", request, rpc_pb2.MemberListResponse, "list members", deadline)
        return MemberList(
            cluster_id=answer.header.cluster_id,
            answered_by=answer.header.member_id,
            members=tuple(_member(member) for member in answer.members),
        )

    async def add_learner(self, peer_urls: Sequence[str], *, deadline: timedelta = CALL) -> Member:
        """Add a member that does not vote yet. ConflictError `etcd-member-exists` where one has these URLs."""
        return await self._add(peer_urls, learner=True, deadline=deadline)

    async def add_member(self, peer_urls: Sequence[str], *, deadline: timedelta = CALL) -> Member:
        """Add a voting member at once. It raises the quorum before it can vote: prefer `add_learner`."""
        return await self._add(peer_urls, learner=False, deadline=deadline)

    async def _add(self, peer_urls: Sequence[str], *, learner: bool, deadline: timedelta) -> Member:
        request = rpc_pb2.MemberAddRequest(peerURLs=list(peer_urls), isLearner=learner)
        answer = await self._call("Cluster/MemberAdd", request, rpc_pb2.MemberAddResponse, f"add a member at {peer_urls}", deadline)
        return _member(answer.member)

    async def promote(self, member_id: int, *, deadline: timedelta = CALL) -> None:
        """Make a learner a voter. TransientError `etcd-learner-not-ready` until it has caught up."""
        request = rpc_pb2.MemberPromoteRequest(ID=member_id)
        await self._call("Cluster/MemberPromote", request, rpc_pb2.MemberPromoteResponse, f"promote member {member_id:x}", deadline)

    async def remove(self, member_id: int, *, deadline: timedelta = CALL) -> None:
        """Remove a member. NotFoundError where it is gone already.

        A change of membership right behind another may be dropped by raft ("possible unapplied conf change") and is then never
        answered: DeadlineError, and the caller's next round asks again. Seen with etcd 3.5.0 in a third of the attempts.
        """
        request = rpc_pb2.MemberRemoveRequest(ID=member_id)
        await self._call("Cluster/MemberRemove", request, rpc_pb2.MemberRemoveResponse, f"remove member {member_id:x}", deadline)

    async def update(self, member_id: int, peer_urls: Sequence[str], *, deadline: timedelta = CALL) -> None:
        """Change a member's peer URLs in the member list."""
        request = rpc_pb2.MemberUpdateRequest(ID=member_id, peerURLs=list(peer_urls))
        await self._call("Cluster/MemberUpdate", request, rpc_pb2.MemberUpdateResponse, f"update member {member_id:x}", deadline)

    async def move_leader(self, target_id: int, *, deadline: timedelta = CALL) -> None:
        """Hand raft leadership to `target_id`. ConflictError `etcd-not-leader` where this member does not have it."""
        request = rpc_pb2.MoveLeaderRequest(targetID=target_id)
        await self._call("Maintenance/MoveLeader", request, rpc_pb2.MoveLeaderResponse, f"move the leader to {target_id:x}", deadline)

    # --- the cluster's version -------------------------------------------------------------------------------------

    async def can_downgrade(self, target: str, *, deadline: timedelta = CALL) -> str:
        """Return the version of the cluster if it is the one above `target`, "3.6.0" for "3.5"; it changes nothing.

        SpecError `etcd-downgrade-target` where it is another one: that is also how 3.5 and later tell the cluster's version at all. An etcd
        before 3.5 does not know the question (SpecError `etcd-unimplemented`).
        """
        return await self._downgrade(rpc_pb2.DowngradeRequest.VALIDATE, target, f"ask for a downgrade to {target}", deadline)

    async def enable_downgrade(self, target: str, *, deadline: timedelta = CALL) -> None:
        """Let members of version `target` join. Never ask it of a cluster of version 3.5: it hangs, and cannot be taken back."""
        await self._downgrade(rpc_pb2.DowngradeRequest.ENABLE, target, f"enable the downgrade to {target}", deadline)

    async def cancel_downgrade(self, *, deadline: timedelta = CALL) -> None:
        """Take an enabled downgrade back; ConflictError where there is none."""
        await self._downgrade(rpc_pb2.DowngradeRequest.CANCEL, "", "cancel the downgrade", deadline)

    async def _downgrade(self, action: rpc_pb2.DowngradeRequest.DowngradeAction, target: str, doing: str, deadline: timedelta) -> str:
        request = rpc_pb2.DowngradeRequest(action=action, version=target)
        return (await self._call("Maintenance/Downgrade", request, rpc_pb2.DowngradeResponse, doing, deadline)).version

    # --- alarms ----------------------------------------------------------------------------------------------------

    async def alarms(self, *, deadline: timedelta = CALL) -> tuple[RaisedAlarm, ...]:
        """Return the alarms that any member raised."""
        answer = await self._call(
            "Maintenance/Alarm",
            rpc_pb2.AlarmRequest(action=rpc_pb2.AlarmRequest.GET),
            rpc_pb2.AlarmResponse,
            "list alarms",
            deadline,
        )
        known = {alarm.value: alarm for alarm in Alarm}
        return tuple(RaisedAlarm(member_id=raised.memberID, alarm=known[raised.alarm]) for raised in answer.alarms if raised.alarm in known)

    async def disarm(self, raised: RaisedAlarm, *, deadline: timedelta = CALL) -> None:
        """Clear one alarm. It comes back by itself where its cause remains."""
        request = rpc_pb2.AlarmRequest(
            action=rpc_pb2.AlarmRequest.DEACTIVATE,
            memberID=raised.member_id,
            alarm=rpc_pb2.AlarmType.Name(raised.alarm.value),
        )
        await self._call("Maintenance/Alarm", request, rpc_pb2.AlarmResponse, f"disarm {raised.alarm.name}", deadline)

    # --- keys ------------------------------------------------------------------------------------------------------

    async def get(self, key: bytes, *, serializable: bool = False, deadline: timedelta = CALL) -> KeyValue | None:
        """Return one key; None where it does not exist. Linearizable unless told otherwise."""
        request = rpc_pb2.RangeRequest(key=key, serializable=serializable)
        answer = await self._call("KV/Range", request, rpc_pb2.RangeResponse, "read a key", deadline)
        return _key_value(answer.kvs[0]) if answer.kvs else None

    async def put(self, key: bytes, value: bytes, *, lease_id: int = 0, deadline: timedelta = CALL) -> int:
        """Write one key; return the revision that holds it."""
        request = rpc_pb2.PutRequest(key=key, value=value, lease=lease_id)
        return (await self._call("KV/Put", request, rpc_pb2.PutResponse, "write a key", deadline)).header.revision

    async def put_many(self, pairs: Sequence[tuple[bytes, bytes]], *, lease_id: int = 0, deadline: timedelta = CALL) -> int:
        """Write up to 128 keys (etcd's --max-txn-ops) in one transaction; return its revision. No key may come twice."""
        puts = [rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=k, value=v, lease=lease_id)) for k, v in pairs]
        request = rpc_pb2.TxnRequest(success=puts)
        return (await self._call("KV/Txn", request, rpc_pb2.TxnResponse, "write keys", deadline)).header.revision

    async def put_if(self, key: bytes, value: bytes, *, mod_revision: int, lease_id: int = 0, deadline: timedelta = CALL) -> int | None:
        """Write a key only while its mod revision is `mod_revision` (0: it must not exist); return the revision, None where it lost."""
        put = rpc_pb2.RequestOp(request_put=rpc_pb2.PutRequest(key=key, value=value, lease=lease_id))
        unchanged = rpc_pb2.Compare(result=rpc_pb2.Compare.EQUAL, target=rpc_pb2.Compare.MOD, key=key, mod_revision=mod_revision)
        request = rpc_pb2.TxnRequest(compare=[unchanged], success=[put])
        answer = await self._call("KV/Txn", request, rpc_pb2.TxnResponse, "write a key conditionally", deadline)
        return answer.header.revision if answer.succeeded else None

    async def write_together(self, puts: Sequence[KeyValue], deletes: Sequence[bytes], *, deadline: timedelta = CALL) -> int:
        """Put (key, value and lease of each) and delete in one transaction; return the revision after it. No key may be in it twice."""
        written = [rpc_pb2.PutRequest(key=kv.key, value=kv.value, lease=kv.lease_id) for kv in puts]
        operations = [rpc_pb2.RequestOp(request_put=put) for put in written]
        operations += [rpc_pb2.RequestOp(request_delete_range=rpc_pb2.DeleteRangeRequest(key=key)) for key in deletes]
        answer = await self._call("KV/Txn", rpc_pb2.TxnRequest(success=operations), rpc_pb2.TxnResponse, "write together", deadline)
        return answer.header.revision

    async def delete(self, key: bytes, *, range_end: bytes = b"", deadline: timedelta = CALL) -> int:
        """Delete a key, or the range [key, range_end); return how many keys went."""
        request = rpc_pb2.DeleteRangeRequest(key=key, range_end=range_end)
        return (await self._call("KV/DeleteRange", request, rpc_pb2.DeleteRangeResponse, "delete keys", deadline)).deleted

    async def page(
        self,
        start: bytes = b"\0",
        *,
        range_end: bytes = b"\0",
        revision: int = 0,
        limit: int = 1000,
        keys_only: bool = False,
        deadline: timedelta = timedelta(seconds=30),
    ) -> Page:
        """Return up to `limit` keys of [start, range_end), by default of all keys; a `range_end` of one zero byte is "to the end".

        With `keys_only` the values are empty.
        """
        request = rpc_pb2.RangeRequest(key=start, range_end=range_end, revision=revision, limit=limit, keys_only=keys_only)
        answer = await self._call("KV/Range", request, rpc_pb2.RangeResponse, "read a page of keys", deadline)
        return Page(
            keys=tuple(_key_value(kv) for kv in answer.kvs),
            revision=revision or answer.header.revision,
            more=answer.more,
            count=answer.count,
        )

    async def pages(self, *, limit: int = 1000, deadline: timedelta = timedelta(seconds=30)) -> AsyncIterator[Page]:
        """Yield all keys in pages of one and the same revision; `deadline` is for each page."""
        start, revision = b"\0", 0
        while True:
            page = await self.page(start, revision=revision, limit=limit, deadline=deadline)
            yield page
            if not page.more:
                return
            start, revision = page.keys[-1].key + b"\0", page.revision

    async def count(self, *, key: bytes = b"\0", range_end: bytes = b"\0", deadline: timedelta = timedelta(seconds=30)) -> int:
        """Return how many live keys there are in [key, range_end), by default of all."""
        request = rpc_pb2.RangeRequest(key=key, range_end=range_end, count_only=True)
        return (await self._call("KV/Range", request, rpc_pb2.RangeResponse, "count keys", deadline)).count

    async def compact(self, revision: int, *, physical: bool = False, deadline: timedelta = timedelta(seconds=30)) -> None:
        """Forget what was before `revision`."""
        request = rpc_pb2.CompactionRequest(revision=revision, physical=physical)
        await self._call("KV/Compact", request, rpc_pb2.CompactionResponse, f"compact at {revision}", deadline)

    # --- leases ----------------------------------------------------------------------------------------------------

    async def grant(self, ttl_seconds: int, *, lease_id: int = 0, deadline: timedelta = CALL) -> int:
        """Grant a lease; return its id, which etcd chooses where `lease_id` is 0."""
        request = rpc_pb2.LeaseGrantRequest(TTL=ttl_seconds, ID=lease_id)
        return (await self._call("Lease/LeaseGrant", request, rpc_pb2.LeaseGrantResponse, "grant a lease", deadline)).ID

    async def revoke(self, lease_id: int, *, deadline: timedelta = CALL) -> None:
        """Revoke a lease, and with it its keys."""
        request = rpc_pb2.LeaseRevokeRequest(ID=lease_id)
        await self._call("Lease/LeaseRevoke", request, rpc_pb2.LeaseRevokeResponse, f"revoke lease {lease_id:x}", deadline)

    async def keep_alive(self, lease_ids: Sequence[int], *, deadline: timedelta = CALL) -> None:
        """Give leases their whole time again; one that does not exist is no matter."""
        call = self._channel.stream_stream(
            "/etcdserverpb.Lease/LeaseKeepAlive",
            request_serializer=_serialize,
            response_deserializer=rpc_pb2.LeaseKeepAliveResponse.FromString,
        )(None, timeout=deadline.total_seconds())
        try:
            for lease_id in lease_ids:
                await call.write(rpc_pb2.LeaseKeepAliveRequest(ID=lease_id))
                await call.read()
        except grpc.aio.AioRpcError as error:
            raise error_of(error.code().name, error.details() or "", doing="keep leases alive", endpoint=self._where) from error
        finally:
            call.cancel()

    async def leases(self, *, deadline: timedelta = CALL) -> tuple[int, ...]:
        """Return the ids of all leases, sorted."""
        answer = await self._call("Lease/LeaseLeases", rpc_pb2.LeaseLeasesRequest(), rpc_pb2.LeaseLeasesResponse, "list leases", deadline)
        return tuple(sorted(lease.ID for lease in answer.leases))

    async def lease(self, lease_id: int, *, keys: bool = False, deadline: timedelta = CALL) -> Lease:
        """Return a lease's times, and with `keys` the keys that hang on it."""
        request = rpc_pb2.LeaseTimeToLiveRequest(ID=lease_id, keys=keys)
        answer = await self._call("Lease/LeaseTimeToLive", request, rpc_pb2.LeaseTimeToLiveResponse, f"read lease {lease_id:x}", deadline)
        return Lease(id=answer.ID, ttl_seconds=answer.TTL, granted_seconds=answer.grantedTTL, keys=tuple(answer.keys))

    # --- the one way out -------------------------------------------------------------------------------------------

    @property
    def _where(self) -> str:
        return ",".join(self.endpoints)

    async def _call(self, method: str, request: _Message, answer: type[_A], doing: str, deadline: timedelta) -> _A:
        stub = self._channel.unary_unary(f"/etcdserverpb.{method}", request_serializer=_serialize, response_deserializer=answer.FromString)
        call: Awaitable[object] = stub(request, timeout=deadline.total_seconds())
        try:
            result = await call
        except grpc.aio.AioRpcError as error:
            raise error_of(error.code().name, error.details() or "", doing=doing, endpoint=self._where) from error
        if not isinstance(result, answer):
            raise InvariantError(f"gRPC answered {type(result).__name__} to {method}")
        return result


def _member(member: rpc_pb2.Member) -> Member:
    return Member(
        id=member.ID,
        name=member.name,
        peer_urls=tuple(member.peerURLs),
        client_urls=tuple(member.clientURLs),
        is_learner=member.isLearner,
    )


def _key_value(kv: kv_pb2.KeyValue) -> KeyValue:
    return KeyValue(
        key=kv.key,
        value=kv.value,
        create_revision=kv.create_revision,
        mod_revision=kv.mod_revision,
        version=kv.version,
        lease_id=kv.lease,
    )
