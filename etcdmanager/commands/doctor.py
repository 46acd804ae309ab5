"""`etcd-manager doctor`: what is wrong, the worst and likeliest cause first, each with what shows it and what to do.

It reads the store, asks no manager, and on a control-plane node looks at that machine, too. It works where half of that is broken.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from agents.cli import common, common_options, emit
from agents.diagnosis import Unknown, attempt, diagnose
from agents.exit_codes import ExitCode
from agents.stores.url import open_store
from etcdmanager.commands.node_config import node_config
from etcdmanager.commands.target import Target, given, target_of, target_options, who
from etcdmanager.spec import ManagerConfig


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the verb's arguments."""
    parser.add_argument("etcd", nargs="?", default="main", metavar="ETCD", help="main (the default), events, cilium or leases")
    parser.add_argument(
        "--fix", action="store_true", help="write missing control files again from the living cluster; close the data to others"
    )
    parser.add_argument("--read-only", action="store_true", help="do not try the store's permissions by writing an object and deleting it")
    parser.add_argument("--config", default="", metavar="FILE", help="this node's manager (default: what nodeup wrote, where it did)")
    target_options(parser)
    common_options(parser)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Look, judge, repair if asked to, and print; FINDING where something is wrong."""
    from agents.host.local import LocalHost
    from etcdmanager.control.history import Event, History
    from etcdmanager.doctor.examine import examine
    from etcdmanager.doctor.repair import repair
    from etcdmanager.doctor.rules import RULES

    def now() -> datetime:
        return datetime.now(UTC)

    host, probe = LocalHost(), not arguments.read_only
    config = attempt(lambda: node_config(arguments.etcd, path=arguments.config))
    target = _target(arguments, None if isinstance(config, Unknown) or config is None else config.backup_store)
    if config is not None and not isinstance(config, Unknown) and not _is_of(config, target):
        config = None  # Another cluster's store was named: this machine says nothing about it.
    view = examine(target.store, target.etcd, host=host, config=config, now=now, probe=probe)
    diagnosis = diagnose(RULES, view)
    done: list[str] = []
    if arguments.fix:
        for text in repair(view, diagnosis, store=target.store, host=host, now=now()):
            done.append(text)
            History(target.store).note(Event(at=now(), by=who(), what="doctor", text=text))
        if done:
            diagnosis = diagnose(RULES, examine(target.store, target.etcd, host=host, config=config, now=now, probe=False))
    lines = [f"{target.cluster} {target.etcd}", *(f"fixed: {text}" for text in done), *diagnosis.lines]
    document = {"cluster": target.cluster, "etcd": target.etcd, "fixed": done, **diagnosis.document}
    emit(common(arguments), "EtcdDiagnosis", document, "\n".join(lines))
    return ExitCode.FINDING if diagnosis.findings else ExitCode.OK


def _target(arguments: argparse.Namespace, backup_store: str | None) -> Target:
    if arguments.config and backup_store and not given(arguments, "backup_store") and not given(arguments, "state"):
        arguments.backup_store = backup_store
    return target_of(arguments, arguments.etcd)


def _is_of(config: ManagerConfig, target: Target) -> bool:
    return open_store(config.backup_store, environment=config.environment).url == target.store.url
