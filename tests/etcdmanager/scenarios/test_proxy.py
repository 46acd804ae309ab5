"""The proxy that stands for a bad network does what it says."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.support.proxy import Direction, TcpProxy, tcp_proxy


@pytest.fixture
def proxy() -> Iterator[TcpProxy]:
    """A proxy before a server that says everything twice."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_say_twice, args=(server,), daemon=True).start()
        with tcp_proxy(server.getsockname()) as made:
            yield made


def _say_twice(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection, contextlib.suppress(ConnectionResetError):
            while said := connection.recv(100):
                connection.sendall(said * 2)


def dial(proxy: TcpProxy) -> socket.socket:
    return socket.create_connection((proxy.host, proxy.port), timeout=5)


def is_silent(client: socket.socket) -> bool:
    client.settimeout(0.2)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    else:
        return False
    finally:
        client.settimeout(5)


def test_a_good_network_carries_both_directions(proxy: TcpProxy) -> None:
    with dial(proxy) as client:
        client.sendall(b"a")
        assert client.recv(2) == b"aa"
        assert proxy.connections == 1


@pytest.mark.parametrize("direction", list(Direction))
def test_what_is_stalled_arrives_when_the_network_heals(proxy: TcpProxy, direction: Direction) -> None:
    with dial(proxy) as client:
        proxy.stall(direction)
        client.sendall(b"a")
        assert is_silent(client)
        proxy.heal()
        assert client.recv(2) == b"aa"


def test_what_is_dropped_is_lost_and_so_is_its_connection(proxy: TcpProxy) -> None:
    with dial(proxy) as client:
        proxy.drop(Direction.THERE)
        client.sendall(b"a")
        assert is_silent(client)
        proxy.heal()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with dial(proxy) as another:
        another.sendall(b"b")
        assert another.recv(2) == b"bb"


def test_what_is_delayed_comes_late(proxy: TcpProxy) -> None:
    with dial(proxy) as client:
        proxy.delay(0.5, Direction.BACK)
        client.sendall(b"a")
        assert is_silent(client)
        assert client.recv(2) == b"aa"


def test_of_a_half_closed_connection_the_other_direction_goes_on(proxy: TcpProxy) -> None:
    with dial(proxy) as client:
        client.sendall(b"a")
        assert client.recv(2) == b"aa"
        proxy.half_close(Direction.THERE)
        assert client.recv(1) == b"", "the server saw the end and ended too"


def test_a_cut_connection_is_reset(proxy: TcpProxy) -> None:
    with dial(proxy) as client:
        client.sendall(b"a")
        assert client.recv(2) == b"aa"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
