"""`etcd-manager drill`: restore a backup as an exercise, into an etcd on this machine that nobody else reaches, and compare.

With the manifest, and, on a control-plane node, with the living cluster by resource, at the backup's revision where that is not compacted
away yet. The result stays beside the backup, in `control/_drill.json` (status, doctor, metrics) and in the history.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from agents.cli import common, common_options, emit, table
from agents.errors import AgentError, VerificationError
from agents.exit_codes import ExitCode
from etcdmanager.backups.exercise import Exercised, Living, contradiction, exercise, look_at_living
from etcdmanager.backups.manifest import Check
from etcdmanager.backups.store import BackupStore
from etcdmanager.backups.verify import verify_light
from etcdmanager.commands.backup_argument import backup_argument, etcd_and_backup
from etcdmanager.commands.figures import count_text
from etcdmanager.commands.node_config import node_config
from etcdmanager.commands.target import Target, target_of, target_options, who
from etcdmanager.control.drills import Drill, DrillFile
from etcdmanager.control.history import Event, History
from etcdmanager.control.store import CONTROL

log = logging.getLogger(__name__)


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the verb's arguments."""
    backup_argument(parser, optional=True)
    parser.add_argument("--binaries", action="append", default=[], metavar="DIR", help="where etcd and its tools are; repeatable")
    parser.add_argument("--scratch", metavar="DIR", default=tempfile.gettempdir(), help="where to restore (default: TMPDIR)")
    parser.add_argument("--config", default="", metavar="FILE", help="this node's manager (default: what nodeup wrote, where it did)")
    target_options(parser)
    common_options(parser)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Do the exercise, say and remember how it went; VERIFICATION where the backup is not good."""
    etcd, wanted = etcd_and_backup(arguments, default="latest")
    target = target_of(arguments, etcd)
    backups, began = target.backups, time.monotonic()
    name = backups.resolve(wanted).text
    try:
        done, living = asyncio.run(_drill(backups, name, arguments, etcd))
    except VerificationError as error:
        _remember(target, _result(name, began, problem=str(error)))
        raise
    drill = _result(name, began, revision=done.booted.revision, keys=done.booted.keys)
    _remember(target, drill)
    emit(common(arguments), "EtcdDrill", _document(target, drill, done, living), _text(target, drill, done, living))
    return ExitCode.OK


async def _drill(backups: BackupStore, name: str, arguments: argparse.Namespace, etcd: str) -> tuple[Exercised, Living | None]:
    scratch = Path(arguments.scratch)
    verified = await asyncio.to_thread(verify_light, backups, name, scratch=scratch)
    done = await exercise(backups, verified, scratch=scratch, directories=arguments.binaries)
    living = await _living(etcd, arguments.config, verified.contents.revision)
    if problem := contradiction(verified, done, living):
        raise VerificationError(problem, code="backup-differs")
    return done, living


async def _living(etcd: str, path: str, revision: int) -> Living | None:
    """Return what the living cluster has; None where this machine does not reach it, which is no failure of a backup."""
    try:
        config = node_config(etcd, path=path)
        if config is None:
            return None
        from etcdmanager.commands.living import LivingEtcds

        async with LivingEtcds(config).own() as client:
            return await look_at_living(client, revision)
    except AgentError as error:
        log.warning("the living cluster is not compared: %s", error)
        return None


def _result(name: str, began: float, *, problem: str = "", revision: int = 0, keys: int = 0) -> Drill:
    took = time.monotonic() - began
    return Drill(at=datetime.now(UTC), backup=name, by=who(), problem=problem, took_seconds=took, revision=revision, keys=keys)


def _remember(target: Target, drill: Drill) -> None:
    """Write the result down; whoever may only read the store has exercised all the same."""
    check = Check(checked_at=drill.at, kind="drill", by=drill.by, problem=drill.problem)
    text = f"{drill.backup}: {drill.problem or f'{drill.keys} keys in {drill.took_seconds:.1f} s'}"
    try:
        manifest = target.backups.manifest(drill.backup)
        if manifest is not None:
            target.backups.write_manifest(drill.backup, manifest.with_check(check))
        DrillFile(target.store.child(CONTROL)).write(drill)
    except AgentError as error:
        log.warning("the drill's result could not be remembered: %s", error)
    History(target.store).note(Event(at=drill.at, by=drill.by, what="drill", text=text))


def _text(target: Target, drill: Drill, done: Exercised, living: Living | None) -> str:
    against = f"at {living.at_revision}" if living is not None and living.at_revision else "now"
    rows = [
        (name, count_text(count), None if living is None else count_text(living.counts.get(name, 0))) for name, count in done.counts.items()
    ]
    head = f"{target.cluster} {target.etcd}: {drill.backup} restored and served by etcd {done.booted.version} in {drill.took_seconds:.1f} s"
    figures = f"revision {count_text(drill.revision)}, {count_text(drill.keys)} keys, {done.booted.leases} leases"
    return "\n".join([head, figures, table(("PREFIX", "BACKUP", f"LIVING {against}" if living else "LIVING"), rows, right={"BACKUP"})])


def _document(target: Target, drill: Drill, done: Exercised, living: Living | None) -> dict[str, object]:
    return {
        "cluster": target.cluster,
        "etcd": target.etcd,
        "backup": drill.backup,
        "ok": not drill.problem,
        "etcdVersion": done.booted.version,
        "seconds": round(drill.took_seconds, 3),
        "revision": drill.revision,
        "keys": drill.keys,
        "leases": done.booted.leases,
        "counts": dict(done.counts),
        "living": None if living is None else {"atRevision": living.at_revision, "counts": dict(living.counts)},
    }
