"""`nodeup doctor`: what is wrong with this node, the worst and likeliest cause first, each with what shows it and what to do."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from agents.cli import common, emit
from agents.exit_codes import ExitCode

#: The areas that can be asked for alone, with what the help says.
_AREAS = {
    "network": "names, routes, kops-controller and the API server",
    "cloud": "the metadata service",
    "registry": "the sandbox image's registry",
    "time": "the clock",
    "disk": "space, inodes, read-only file systems",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("--conf", default=None, metavar="FILE|URL", help="the boot configuration (default: that of nodeup's unit)")
    parser.add_argument("--root", type=Path, default=None, metavar="DIR", help="look below this directory")
    for area, text in _AREAS.items():
        parser.add_argument(f"--{area}", action="append_const", dest="areas", const=area, help=f"only {text}, and what else is asked for")


def run(arguments: argparse.Namespace) -> ExitCode:
    """Look, judge and print; FINDING where something is wrong."""
    from agents.clock import SystemClock
    from agents.diagnosis import diagnose
    from agents.host.local import LocalHost
    from agents.host.rooted import RootedHost
    from nodeup.doctor.examine import examine
    from nodeup.doctor.rules import RULES
    from nodeup.doctor.view import Area
    from nodeup.machine_conf import CONF, unit_environment

    host = LocalHost() if arguments.root is None else RootedHost(arguments.root)
    areas = {Area(area) for area in arguments.areas} if arguments.areas else set(Area)
    conf = arguments.conf or host.local_path(CONF)
    diagnosis = diagnose(RULES, examine(host, SystemClock(), conf, unit_environment(host, os.environ), areas))
    emit(common(arguments), "NodeDiagnosis", diagnosis.document, "\n".join(diagnosis.lines))
    return ExitCode.FINDING if diagnosis.findings else ExitCode.OK
