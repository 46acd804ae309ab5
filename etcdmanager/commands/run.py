"""`etcd-manager run`, and `etcd-manager` with Go's flags and no verb: run one manager."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from agents.cli import table
from agents.errors import SpecError
from agents.exit_codes import ExitCode
from agents.logging_setup import configure_logging
from etcdmanager.flags import FLAGS, config_from

_HELP = frozenset({"-h", "-help", "--help"})


def main(argv: Sequence[str]) -> ExitCode:
    """Run the manager that the flags (Go's, by Go's rules) describe, until it is told to stop."""
    # Before grpc is imported: its fork handlers kill children at random.
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    if not _HELP.isdisjoint(argv):
        print(_usage())
        return ExitCode.OK
    config = config_from(argv, environment=os.environ, read_text=_read_text)
    # klog's 2 is our debug level; kops passes 6.
    configure_logging(1 if config.verbosity >= 2 else 0)
    from etcdmanager.run import run_manager

    return run_manager(config)


def _read_text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise SpecError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: byte {error.start} is not UTF-8 text") from error


def _usage() -> str:
    rows = [(f"--{flag.name}", flag.kind.value.removeprefix("ignored-"), flag.help) for flag in FLAGS]
    return f"usage: etcd-manager run --NAME=VALUE …   (by Go's rules: one dash or two)\n\n{table(('FLAG', 'KIND', 'MEANING'), rows)}"
