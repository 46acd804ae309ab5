"""`nodeup install`: nodeup's own unit, kops-configuration.service, written and started."""

from __future__ import annotations

import argparse
import os
import sys

from agents.errors import AccessError, RefusedError
from agents.exit_codes import ExitCode
from nodeup.commands.options import options_of, plan_options


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    plan_options(parser)


def run(arguments: argparse.Namespace) -> ExitCode:
    """Install."""
    from agents.host.distribution import parse_os_release
    from nodeup.install import install, own_command
    from nodeup.session import open_host

    if arguments.root is not None:
        raise RefusedError("install starts a unit and needs a machine, not --root")
    if os.geteuid() != 0:
        raise AccessError("nodeup install writes a unit and needs root")
    host = open_host(options_of(arguments))
    distribution = parse_os_release(host.read("/etc/os-release").decode(errors="replace"))
    words = [word for word in sys.argv if word != "install"]
    install(host, distribution, own_command(words, os.environ), os.environ)
    print("service installed")
    return ExitCode.OK
