"""`etcd-manager history`: who did what to an etcd cluster, and why."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from agents.cli import common, common_options, emit, table
from agents.durations import parse_human_duration
from agents.exit_codes import ExitCode
from agents.timestamps import format_timestamp
from etcdmanager.commands.cluster_status import require_cluster
from etcdmanager.commands.target import target_of, target_options
from etcdmanager.control.history import KEEP, History


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the verb's arguments."""
    parser.add_argument("etcd", nargs="?", default="main", metavar="ETCD", help="main (the default), events, cilium or leases")
    parser.add_argument(
        "--since", metavar="DURATION", default=f"{KEEP.days}d", help="only what happened in the last 24h, 7d, … (default 90d)"
    )
    target_options(parser)
    common_options(parser)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Show the events, oldest first."""
    target = target_of(arguments, arguments.etcd)
    since = datetime.now(UTC) - parse_human_duration(arguments.since)
    events = History(target.store).events(since=since)
    if not events:
        require_cluster(target.store)
    rows = [(format_timestamp(event.at), event.by, event.what, event.text, event.reason) for event in events]
    items = [dict(zip(("at", "by", "what", "text", "reason"), row, strict=True)) for row in rows]
    shown = [(format_timestamp(event.at.replace(microsecond=0)), *row[1:]) for event, row in zip(events, rows, strict=True)]
    text = table(("TIME", "BY", "WHAT", "", "REASON"), shown) if rows else "nothing was done in that time"
    emit(common(arguments), "EtcdHistory", {"cluster": target.cluster, "etcd": target.etcd, "items": items}, text)
    return ExitCode.OK
