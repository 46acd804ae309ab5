"""A TCP proxy on loopback that stands for a bad network: it can stall, drop, delay and half-close, each direction for itself.

It is a link, not a firewall: a connection is always accepted, as by a host whose kernel lives while its program does not answer.
It has a thread and an event loop of its own, so that a test that blocks stops nothing; every method may be called from anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeVar

T = TypeVar("T")

_PIECE = 65536
_NO_LINGER = struct.pack("ii", 1, 0)


class Direction(Enum):
    """A way of a connection."""

    #: From who dials to the target.
    THERE = "there"
    #: From the target to who dials.
    BACK = "back"


BOTH = (Direction.THERE, Direction.BACK)


@dataclass(slots=True, eq=False)
class _Way:
    """How one direction of all connections is at the moment."""

    open: asyncio.Event
    drops: bool = False
    delay_seconds: float = 0.0

    def lose(self) -> None:
        self.drops = True

    def slow_down(self, seconds: float) -> None:
        self.delay_seconds = seconds


@dataclass(slots=True, eq=False)
class TcpProxy:
    """One listener whose connections lead to one target. Made by `tcp_proxy`."""

    host: str
    port: int
    target: tuple[str, int]
    _loop: asyncio.AbstractEventLoop
    _ways: dict[Direction, _Way]
    _connections: set[_Connection] = field(default_factory=set)

    def stall(self, *directions: Direction) -> None:
        """Let nothing through from now on, both ways unless told otherwise; what is sent waits, and arrives once this is over."""
        self._each(directions, lambda way: way.open.clear())

    def drop(self, *directions: Direction) -> None:
        """Swallow what is sent. A connection that lost something is of no use any more: `heal` cuts it."""
        self._each(directions, _Way.lose)

    def delay(self, seconds: float, *directions: Direction) -> None:
        """Hold each piece back for so long, one after the other, as a slow link does."""
        self._each(directions, lambda way: way.slow_down(seconds))

    def half_close(self, direction: Direction) -> None:
        """End one direction of every connection there is; the other one stays open."""
        self._do(lambda: self._end(direction))

    def cut(self) -> None:
        """Reset every connection there is; new ones are welcome."""
        self._do(self._cut)

    def heal(self) -> None:
        """Be a good network again."""
        self._do(self._heal)

    @property
    def connections(self) -> int:
        """How many connections there are at the moment."""
        return self._do(lambda: len(self._connections))

    def _each(self, directions: tuple[Direction, ...], change: Callable[[_Way], None]) -> None:
        """Change these ways, or both."""

        def changed() -> None:
            for direction in directions or BOTH:
                change(self._ways[direction])

        self._do(changed)

    def _heal(self) -> None:
        lost = any(way.drops for way in self._ways.values())
        for way in self._ways.values():
            way.drops, way.delay_seconds = False, 0.0
            way.open.set()
        if lost:
            self._cut()

    def _cut(self) -> None:
        for connection in tuple(self._connections):
            connection.abort()

    def _end(self, direction: Direction) -> None:
        for connection in tuple(self._connections):
            connection.end(direction)

    def _do(self, what: Callable[[], T]) -> T:
        """Run something in the proxy's own thread and return what it returns."""

        async def done() -> T:
            return what()

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(timeout=5)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there_reader, there_writer = await asyncio.open_connection(*self.target)
        except OSError:
            writer.transport.abort()
            return
        connection = _Connection(writers={Direction.THERE: there_writer, Direction.BACK: writer})
        self._connections.add(connection)
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(_pump(reader, there_writer, self._ways[Direction.THERE]))
                pumps.create_task(_pump(there_reader, writer, self._ways[Direction.BACK]))
        except* (OSError, RuntimeError):
            pass  # An end of it is gone: so is the connection.
        finally:
            self._connections.discard(connection)
            connection.abort()


@dataclass(slots=True, eq=False)
class _Connection:
    writers: dict[Direction, asyncio.StreamWriter]

    def end(self, direction: Direction) -> None:
        writer = self.writers[direction]
        if writer.can_write_eof() and not writer.is_closing():
            writer.write_eof()

    def abort(self) -> None:
        """Reset both ends: without lingering, closing a socket is a reset."""
        for writer in self.writers.values():
            if not writer.transport.is_closing():
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            writer.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: _Way) -> None:
    """Carry one direction until its sender ends it. RuntimeError where it was ended by `half_close` meanwhile."""
    while piece := await reader.read(_PIECE):
        if way.delay_seconds:
            await asyncio.sleep(way.delay_seconds)
        await way.open.wait()
        if not way.drops:
            writer.write(piece)
            await writer.drain()
    await way.open.wait()
    if not writer.is_closing():
        writer.write_eof()


@contextlib.contextmanager
def tcp_proxy(target: tuple[str, int], *, host: str = "127.0.0.1", port: int = 0) -> Iterator[TcpProxy]:
    """Listen at host and port (0: a free one) for the target until the block ends; nobody need listen there yet."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name=f"proxy-{host}:{port}", daemon=True)
    thread.start()
    proxy = TcpProxy(host=host, port=port, target=target, _loop=loop, _ways={})
    try:
        server = asyncio.run_coroutine_threadsafe(_listen(proxy), loop).result(timeout=5)
        try:
            yield proxy
        finally:
            asyncio.run_coroutine_threadsafe(_end(server), loop).result(timeout=5)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=5)
        loop.close()


async def _listen(proxy: TcpProxy) -> asyncio.Server:
    for direction in BOTH:
        proxy._ways[direction] = _Way(open=asyncio.Event())
        proxy._ways[direction].open.set()
    server = await asyncio.start_server(proxy._serve, proxy.host, proxy.port)
    proxy.port = server.sockets[0].getsockname()[1]
    return server


async def _end(server: asyncio.Server) -> None:
    server.close()
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
