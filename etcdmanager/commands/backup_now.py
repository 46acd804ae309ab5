"""`etcd-manager backup-now`: ask the leading manager for a backup, and wait until it stands.

The request lies in the control store; the leader sees it within seconds. It works from any place that can write to the store.
"""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from datetime import UTC, datetime

from agents.cli import common, common_options, emit
from agents.durations import format_go_duration, parse_human_duration
from agents.errors import AgentError, DeadlineError
from etcdmanager.backups.store import BackupStore
from etcdmanager.commands.cluster_status import require_cluster
from etcdmanager.commands.figures import count_text, size_text
from etcdmanager.commands.target import target_of, target_options, who
from etcdmanager.control.commands import BackupAnswer, BackupRequest
from etcdmanager.control.store import ControlStore

_POLL_SECONDS = 0.5


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the verb's arguments."""
    parser.add_argument("etcd", nargs="?", default="main", metavar="ETCD", help="main (the default), events, cilium or leases")
    parser.add_argument("--label", default="", help="what it is for; shown by list-backups -o wide")
    parser.add_argument("--keep", action="store_true", help="leave it alone when retention tidies up")
    parser.add_argument("--wait", action=argparse.BooleanOptionalAction, default=True, help="wait until it stands (the default)")
    parser.add_argument("--timeout", default="10m", metavar="DURATION", help="how long to wait (default 10m)")
    target_options(parser)
    common_options(parser)


def run(arguments: argparse.Namespace) -> None:
    """Ask, and wait."""
    timeout = parse_human_duration(arguments.timeout)
    target = target_of(arguments, arguments.etcd)
    control = ControlStore(target.store)
    require_cluster(target.store)  # a mistyped store is not written to
    now = datetime.now(UTC)
    request = BackupRequest(
        id=f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}", requested_by=who(), requested_at=now, label=arguments.label, keep=arguments.keep
    )
    options = common(arguments)
    if not arguments.wait:
        control.request_backup(request)
        emit(options, "BackupRequest", {"id": request.id}, f"asked for a backup ({request.id}); the leader takes it within seconds")
        return
    try:
        control.request_backup(request)
        answer = _await(control, request, time.monotonic() + timeout.total_seconds())
    except KeyboardInterrupt:
        print(f"the request {request.id} stands; the leader answers it all the same", file=sys.stderr)
        raise
    if answer is None:
        raise DeadlineError(
            f"nobody answered the request for a backup within {format_go_duration(timeout)}; is a manager leading?",
            code="backup-timeout",
            hint=f"etcd-manager status {target.etcd} {target.options}",
        )
    if not answer.backup:
        raise AgentError(f"the backup failed: {answer.error}", code=answer.code or None)
    manifest = BackupStore(target.store).manifest(answer.backup)
    text = f"took {answer.backup}"
    content: dict[str, object] = {"name": answer.backup, "request": request.id}
    if manifest is not None:
        state = "verified" if manifest.verified else "not verified"
        figures = f"revision {count_text(manifest.revision)}, {count_text(manifest.keys)} keys, {manifest.leases} leases"
        text += f": {state}, {figures}, {size_text(manifest.gz_size_bytes)} in {manifest.took_seconds:.1f} s"
        content |= {"verified": manifest.verified, "revision": manifest.revision, "keys": manifest.keys, "leases": manifest.leases}
    emit(options, "Backup", content, text)


def _await(control: ControlStore, request: BackupRequest, deadline: float) -> BackupAnswer | None:
    while time.monotonic() < deadline:
        answer = control.backup_answer(request.id)
        if answer is not None:
            return answer
        time.sleep(_POLL_SECONDS)
    return None
