"""What a running protokube remembers of a volume between two looks; losing it costs time, never safety."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from protokube.volumes.view import CheckResult, Content, Device, Glimpse, StoreAnswer


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Findings about one device; about another one everything is forgotten."""

    #: Since when it is in its phase.
    since: datetime
    device: Device | None = None
    content: Content | None = None
    peek: Glimpse | None = None
    check: CheckResult | None = None
    grown: bool = False
    #: systemd was told to start etcd-manager.
    started: bool = False
    store: StoreAnswer | None = None
