"""Looking at what the node was told to be: boot configuration, state store, and what nodeup left unfinished."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agents.diagnosis import Observed, Unknown, attempt
from agents.errors import NotFoundError
from agents.host.protocol import Host
from agents.host.reading import text_if_there, text_of
from agents.stores.url import open_blob
from nodeup.bootstrap.state import config_hash
from nodeup.doctor.looking.reach import LONG_DEADLINE_SECONDS, within
from nodeup.doctor.view import ConfigurationView, Endpoint
from nodeup.engine.journal import JOURNAL
from nodeup.spec.boot import BootConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """What reading the configuration from the state store showed."""

    problem: str
    digest: str


def look_at_configuration(host: Host, boot: Observed[BootConfig], environment: Mapping[str, str], *, hold_path: str) -> ConfigurationView:
    """Return the view; the store is only asked where the node reads it itself."""
    pending = attempt(lambda: tuple(_pending(host)))
    hold = attempt(lambda: text_if_there(host, hold_path).strip() or ("empty" if host.stat(hold_path) is not None else ""))
    shown_hold = f"{hold_path}: {hold}" if isinstance(hold, str) and hold else hold
    if isinstance(boot, Unknown):
        return ConfigurationView(boot_problem=boot.reason, pending=pending, hold=shown_hold)
    store = _store(boot, environment) if boot.config_server is None and boot.config_url else None
    return ConfigurationView(
        boot_problem="",
        store=None if store is None else Endpoint(purpose="the state store", address=boot.config_url, problem=store.problem),
        wanted_hash=boot.config_hash,
        stored_hash="" if store is None else store.digest,
        pending=pending,
        hold=shown_hold,
    )


def _store(boot: BootConfig, environment: Mapping[str, str]) -> Store:
    def digest() -> str:
        store, key = open_blob(boot.config_url, environment=environment)
        return config_hash(store.read(key))

    found = within(LONG_DEADLINE_SECONDS, digest)
    return Store(problem=found.reason, digest="") if isinstance(found, Unknown) else Store(problem="", digest=found)


def _pending(host: Host) -> Iterator[str]:
    try:
        names = host.list(JOURNAL)
    except NotFoundError:
        return
    for name in names:
        entry = json.loads(text_of(host, f"{JOURNAL}/{name}"))
        yield f"{entry['resource']}: {entry['what']}"
