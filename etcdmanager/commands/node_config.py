"""The configuration of this node's manager, for verbs that look at the machine that they run on."""

from __future__ import annotations

import os
from pathlib import Path

from agents.errors import NotFoundError
from agents.host.os_errors import os_errors
from etcdmanager.commands.target import CONFIGURATION
from etcdmanager.flags import config_from
from etcdmanager.spec import ManagerConfig


def node_config(etcd: str, *, path: str = "") -> ManagerConfig | None:
    """Return what nodeup wrote for this node's manager of `etcd`, or what `path` says; None where this is no control-plane node.

    With `path`, a file that does not exist is NotFoundError. SpecError for one that is wrong, AccessError where only root may read it.
    """
    wanted = path or CONFIGURATION.format(etcd=etcd)
    try:
        with os_errors("read", wanted):
            text = Path(wanted).read_text(encoding="utf-8", errors="replace")
    except NotFoundError:
        if path:
            raise
        return None
    return config_from([f"--config={wanted}"], environment=dict(os.environ), read_text=lambda read: text if read == wanted else _text(read))


def _text(path: str) -> str:
    with os_errors("read", path):
        return Path(path).read_text(encoding="utf-8", errors="replace")
