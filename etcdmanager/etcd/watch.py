"""Watching all keys of an etcd from a revision on: every change, in order, without a gap.

A change of membership, an election or a lost connection ends the stream with an error; whoever watches begins again at the revision
after the last one that came.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import grpc
import grpc.aio

from agents.errors import DeadlineError, NotFoundError, TransientError
from etcdmanager.etcd.client import EtcdClient
from etcdmanager.etcd.errors import error_of
from etcdmanager.etcd.proto import kv_pb2, rpc_pb2

#: "\0" to "\0" is etcd's way to say all keys.
_ALL = b"\0"
#: A member that was cut off from the raft leader ends the watch, instead of being silent for as long as that lasts.
_WITH_LEADER = (("hasleader", "true"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChange:
    """One key that was put or deleted."""

    revision: int
    key: bytes
    #: None: it was deleted.
    value: bytes | None
    lease: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One message of a watch: changes, or none where etcd only says how far it is."""

    changes: tuple[KeyChange, ...]
    #: etcd's revision when it wrote the message. Changes up to it may still be on their way.
    revision: int


async def watch_all(client: EtcdClient, *, start: int, opened: timedelta = timedelta(seconds=5)) -> AsyncGenerator[Watched, None]:
    """Yield all changes from revision `start` on, as they come, for as long as the caller asks; the first message says that it stands.

    NotFoundError `etcd-compacted` where `start` was forgotten already; DeadlineError where the watch does not stand within `opened`;
    TransientError where the stream ends. A message of several parts comes as one, so that a revision's changes stay together.
    """
    where = ",".join(client.endpoints)
    call = client.channel.stream_stream(
        "/etcdserverpb.Watch/Watch",
        request_serializer=rpc_pb2.WatchRequest.SerializeToString,
        response_deserializer=rpc_pb2.WatchResponse.FromString,
    )(None, metadata=_WITH_LEADER)
    create = rpc_pb2.WatchCreateRequest(key=_ALL, range_end=_ALL, start_revision=start, progress_notify=True, fragment=True)
    parts: list[kv_pb2.Event] = []
    try:
        async with asyncio.timeout(opened.total_seconds()):
            await call.write(rpc_pb2.WatchRequest(create_request=create))
            first = _checked(await call.read(), start, where)
        yield Watched(changes=(), revision=first.header.revision)
        while True:
            answer = _checked(await call.read(), start, where)
            parts += answer.events
            if answer.fragment:
                continue
            changes = tuple(_change(event) for event in parts)
            parts = []
            yield Watched(changes=changes, revision=answer.header.revision)
    except TimeoutError as error:
        raise DeadlineError(f"etcd at {where} did not begin to watch within {opened}", code="etcd-watch-opening") from error
    except grpc.aio.AioRpcError as error:
        raise error_of(error.code().name, error.details() or "", doing="watch all keys", endpoint=where) from error
    finally:
        call.cancel()
        with suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
            await call.code()


def _checked(answer: object, start: int, where: str) -> rpc_pb2.WatchResponse:
    """Return the answer; raise an error for what ends a watch: its end, and its cancellation by etcd."""
    if not isinstance(answer, rpc_pb2.WatchResponse):  # grpc.aio.EOF
        raise TransientError(f"etcd at {where} ended the watch", code="etcd-watch-ended")
    if answer.compact_revision:
        raise NotFoundError(
            f"etcd at {where} has forgotten revision {start}: it was compacted at {answer.compact_revision}", code="etcd-compacted"
        )
    if answer.canceled:
        raise TransientError(f"etcd at {where} cancelled the watch: {answer.cancel_reason or 'no reason given'}", code="etcd-watch-ended")
    return answer


def _change(event: kv_pb2.Event) -> KeyChange:
    value = None if event.type == kv_pb2.Event.DELETE else event.kv.value
    return KeyChange(revision=event.kv.mod_revision, key=event.kv.key, value=value, lease=event.kv.lease)
