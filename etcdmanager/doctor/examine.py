"""Looking at everything, from the store and from this machine, to a DoctorView; it never raises."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from agents.diagnosis import Unknown
from agents.host.protocol import Host
from agents.stores.protocol import Store
from etcdmanager.doctor.looking.node import look_at_node
from etcdmanager.doctor.looking.store import look_at_store
from etcdmanager.doctor.view import DoctorView, NodeSeen
from etcdmanager.spec import ManagerConfig


def examine(
    store: Store, etcd: str, *, host: Host, config: ManagerConfig | Unknown | None, now: Callable[[], datetime], probe: bool
) -> DoctorView:
    """Return the view. `config` is this node's: None where this machine is no control-plane node, Unknown where it cannot be read."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        asked = pool.submit(look_at_store, store, etcd, now=now, probe=probe)
        node = NodeSeen()
        if isinstance(config, Unknown):
            node = NodeSeen(volume=config)
        elif config is not None:
            node = look_at_node(host, config, etcd, now=now)
        return DoctorView(now=now(), etcd=etcd, store=asked.result(), node=node)
