"""`nodeup reset`: takes off this machine what makes it a node, and never touches etcd's volumes or backups."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from agents.cli import common, emit
from agents.consent import Consent, ask, consent, consent_options, is_plan_only
from agents.errors import AccessError, RefusedError
from agents.exit_codes import ExitCode

if TYPE_CHECKING:
    from agents.host.protocol import Host
    from nodeup.reset.acting import Outcome
    from nodeup.reset.steps import ResetView

_STAYS = (
    "What stays: packages, programs out of archives (containerd, crictl, etcd), nodeup itself, which no boot starts any more until "
    "`nodeup install`, kernel parameters until a reboot, lines in /etc/hosts, files that stood there before nodeup, the machine's own key "
    "(kops toolbox enroll), etcd's volumes, and all backups."
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    consent_options(parser, subject="that this machine leaves")
    parser.add_argument("--keep-images", action="store_true", help="keep containerd's images and the downloaded assets")
    parser.add_argument(
        "--even-with-etcd", action="store_true", help="also where a volume of etcd is mounted: its member ends, its data stays"
    )
    parser.add_argument("--conf", default=None, metavar="FILE|URL", help="the boot configuration (default: that of nodeup's unit)")
    parser.add_argument("--root", type=Path, default=None, metavar="DIR", help="look below this directory")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Plan (FINDING where there is something to do), or reset."""
    from agents.host.local import LocalHost
    from agents.host.rooted import RootedHost
    from nodeup.reset.looking import etcd_members

    host: Host = LocalHost() if arguments.root is None else RootedHost(arguments.root)
    members = etcd_members(host)
    if is_plan_only(arguments):
        lines, document = _plan(host, members, keep_images=arguments.keep_images)
        is_empty = not document["items"]
        text = "\n".join([*lines, *([] if is_empty else ["Nothing was changed; --yes --cluster NAME does it."])])
        emit(common(arguments), "NodeResetPlan", document, text)
        return ExitCode.OK if is_empty else ExitCode.FINDING
    cluster = _cluster(arguments, host)
    allowed = consent(arguments, cluster)
    _check(arguments, members)
    if allowed is Consent.ASK:
        sys.stdout.write("\n".join([*_plan(host, members, keep_images=arguments.keep_images)[0], ""]))
        ask(cluster)
    return _carry_out(arguments, host)


def _plan(host: Host, members: tuple[str, ...], *, keep_images: bool) -> tuple[list[str], dict[str, object]]:
    """Return what would be done, for people and for programs."""
    from nodeup.reset.looking import look
    from nodeup.reset.steps import refused, steps

    view = look(host)
    planned = steps(view, keep_images=keep_images)
    kept = refused(view, keep_images=keep_images)
    lines = [f"{number:3d} {step.text}" for number, step in enumerate(planned, 1)]
    lines += [f"  ! {path} stays: {volume} is, or may be, etcd's" for path, volume in kept]
    lines += (
        [f"  ! etcd {', '.join(members)}: its member here ends; remove it from its cluster first (etcd-manager remove-member)"]
        if members
        else []
    )
    lines += [_STAYS if planned else "nothing of a node is left on this machine"]
    document: dict[str, object] = {
        "items": [step.text for step in planned],
        "kept": [{"path": path, "because": volume} for path, volume in kept],
        "etcdMembers": list(members),
    }
    return lines, document


def _cluster(arguments: argparse.Namespace, host: Host) -> str:
    """Return the full name of the cluster that this machine is in."""
    from nodeup.load import load_boot_config
    from nodeup.machine_conf import CONF, unit_environment

    return load_boot_config(arguments.conf or host.local_path(CONF), unit_environment(host, os.environ)).cluster_name


def _check(arguments: argparse.Namespace, members: tuple[str, ...]) -> None:
    if arguments.root is None and os.geteuid() != 0:
        raise AccessError("nodeup reset changes the machine and needs root")
    if members and not arguments.even_with_etcd:
        raise RefusedError(
            f"this machine has a volume of etcd {', '.join(members)} mounted; nothing was changed",
            code="etcd-member",
            hint="remove the member from its cluster first; --even-with-etcd resets all the same, and leaves the volume as it is",
        )


def _carry_out(arguments: argparse.Namespace, host: Host) -> ExitCode:
    from agents.clock import SystemClock
    from nodeup.lock import apply_lock
    from nodeup.reset.acting import reset
    from nodeup.reset.looking import look

    def view() -> ResetView:
        return look(host)

    def tell(outcome: Outcome) -> None:
        sys.stderr.write(f"{'✗' if outcome.error else '✓'} {outcome.step.text}{f': {outcome.error}' if outcome.error else ''}\n")

    with apply_lock(host, SystemClock()):
        outcomes = reset(host, view, keep_images=arguments.keep_images, tell=tell)
    failed = [outcome for outcome in outcomes if outcome.error]
    text = f"{len(outcomes) - len(failed)} steps done, {len(failed)} failed. {_STAYS}"
    items = [{"step": outcome.step.text, "error": outcome.error} for outcome in outcomes]
    emit(common(arguments), "NodeReset", {"items": items}, text)
    return ExitCode.FINDING if failed else ExitCode.OK
