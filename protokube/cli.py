"""`protokube`: run, status, volumes, doctor, permit-format. Each verb imports what it needs when it is called."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from agents.cli import Parser, common, common_options, emit, run_command, table, version_option
from agents.errors import RefusedError
from agents.exit_codes import ExitCode

if TYPE_CHECKING:
    from protokube.spec import ProtokubeConfig

CONFIG = "/etc/node-agents/protokube.yaml"


def main() -> int:
    """Run the command line of this process; return the exit code."""
    return run_command(sys.argv[1:], _parser)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="protokube", description="Finds, checks, mounts and publishes the etcd volumes of this node.")
    version_option(parser, "protokube version")
    common_options(parser)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _verb(verbs, "run", _run, "keep the volumes and names of this node (what the unit starts)")
    _verb(verbs, "status", _status, "what protokube does and what it waits for (exit 0: all is well, 2: it is not)")
    _verb(verbs, "volumes", _volumes, "the configured volumes beside what the kernel shows; needs root, changes nothing")
    _verb(verbs, "doctor", _doctor, "look for what keeps volumes from being used (exit 2: findings)")
    permit = _verb(verbs, "permit-format", _permit_format, "let one blank volume be formatted although its etcd cluster had data")
    permit.add_argument("etcd_cluster", metavar="ETCD", help="main, events, …")
    permit.add_argument("--i-really-want-an-empty-cluster", metavar="CLUSTER", default="", help="the full name of the cluster, typed")
    permit.add_argument("--reason", default="", metavar="TEXT", help="kept with the permission and in the log")
    return parser


def _verb(verbs: argparse._SubParsersAction[Parser], name: str, run: object, text: str) -> Parser:
    parser = verbs.add_parser(name, help=text, description=text)
    parser.add_argument("--config", default=CONFIG, metavar="FILE", help=f"the configuration (default {CONFIG})")
    common_options(parser)
    parser.set_defaults(run=run)
    return parser


def _config(arguments: argparse.Namespace) -> ProtokubeConfig:
    from agents.host.local import LocalHost
    from protokube.spec import load_config

    return load_config(LocalHost(), arguments.config)


def _run(arguments: argparse.Namespace) -> ExitCode:
    from protokube.loop import run_protokube

    return run_protokube(_config(arguments))


def _status(arguments: argparse.Namespace) -> ExitCode:
    from protokube.showing import show_status

    document, text, healthy = show_status()
    emit(common(arguments), "ProtokubeStatus", document, text)
    return ExitCode.OK if healthy else ExitCode.FINDING


def _volumes(arguments: argparse.Namespace) -> ExitCode:
    from protokube.showing import COLUMNS, volume_rows

    rows = volume_rows(_config(arguments))
    items = [dict(zip((column.lower() for column in COLUMNS), row, strict=True)) for row in rows]
    emit(common(arguments), "Volumes", {"items": items}, table(COLUMNS, rows, right=("SIZE", "USED")))
    return ExitCode.OK


def _doctor(arguments: argparse.Namespace) -> ExitCode:
    from protokube.doctor import examine

    findings = examine(arguments.config)
    items = [{"check": one.check, "ok": one.ok, "finding": one.finding, "hint": one.hint} for one in findings]
    emit(common(arguments), "Findings", {"items": items}, "\n".join(one.text for one in findings))
    return ExitCode.OK if all(one.ok for one in findings) else ExitCode.FINDING


def _permit_format(arguments: argparse.Namespace) -> ExitCode:
    from agents.clock import SystemClock
    from agents.errors import NotFoundError
    from agents.host.local import LocalHost
    from protokube.permit import give_permit

    config, etcd = _config(arguments), arguments.etcd_cluster
    if etcd not in {volume.etcd_cluster for volume in config.volumes}:
        raise NotFoundError(f"etcd cluster {etcd!r} has no volume on this node")
    if arguments.i_really_want_an_empty_cluster != config.cluster_name:
        raise RefusedError(
            f"formatting a blank volume of etcd {etcd} gives up the data that it should have held",
            code="S1-cluster-had-data",
            hint=f"if that is what you want: --i-really-want-an-empty-cluster {config.cluster_name}",
        )
    give_permit(LocalHost(), cluster_name=config.cluster_name, etcd_cluster=etcd, reason=arguments.reason, now=SystemClock().now())
    text = f"The next blank volume of etcd {etcd} may be formatted, once, until this machine reboots. protokube sees to it within seconds."
    emit(common(arguments), "Permission", {"etcdCluster": etcd, "clusterName": config.cluster_name}, text)
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
