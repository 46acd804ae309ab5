"""Managers whose etcd is reached through proxies, so that a test can be its network."""

from __future__ import annotations

from contextlib import ExitStack

from tests.support.managers import ManagerGroup
from tests.support.proxy import TcpProxy, tcp_proxy


def start_behind_proxies(group: ManagerGroup, name: str, stack: ExitStack) -> tuple[TcpProxy, ...]:
    """Start a manager whose etcd listens elsewhere and is reached by everybody through these proxies."""
    behind = group.address(name).replace("127.0.0.", "127.0.1.")
    ports = (group.client_port, group.peer_port, group.quarantine_port)
    proxies = tuple(stack.enter_context(tcp_proxy((behind, port), host=group.address(name), port=port)) for port in ports)
    usual, group.extra = group.extra, (*group.extra, f"--etcd-address={behind}")
    group.start(name)
    group.extra = usual
    return proxies
