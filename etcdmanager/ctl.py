"""`etcd-manager-ctl`: the Go tool's verbs, single-dash flags and stdout, on the same store.

    etcd-manager-ctl -backup-store=URL [-member-count=N] [-etcd-version=V] [get | configure-cluster | list-backups | list-commands |
                                                                          restore-backup NAME | delete-command NAME]

The one thing that it does otherwise: `restore-backup` refuses a name that does not exist (Go queues it, and the managers
then destroy the cluster first). Scripts get the same lines; people are better served by `etcd-manager`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from agents.cli import guarded
from agents.errors import AgentError, NotFoundError, SpecError
from agents.stores.protocol import Store
from agents.stores.url import open_store
from etcdmanager.backups.store import BackupStore
from etcdmanager.control.commands import RestoreCommand, nanoseconds
from etcdmanager.control.store import ControlStore
from etcdmanager.spec import ClusterSpec

#: What configure-cluster starts from where there is no spec. Source: the Go tool; its age shows.
_DEFAULT = ClusterSpec(member_count=1, etcd_version="3.2.24")
_FLAGS = {"backup-store": "/backups", "member-count": "0", "etcd-version": ""}


def main() -> int:
    """Run the command line of this process; 0, or 1 after any error, as the Go tool."""
    return min(guarded(lambda: main_with(sys.argv[1:], environment=os.environ)), 1)


def main_with(argv: Sequence[str], *, environment: Mapping[str, str]) -> int:
    """Run one command line."""
    if argv[:1] in (["-h"], ["-help"], ["--help"]):
        print(__doc__, file=sys.stderr)
        return 0
    try:
        line = parse(argv)
        print(f"Backup Store: {line.backup_store}")
        for text in run(line, open_store(line.backup_store, environment=environment)):
            print(text)
    except AgentError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A command line."""

    backup_store: str
    #: 0 keeps it.
    member_count: int
    #: "" keeps it.
    etcd_version: str
    command: str
    names: tuple[str, ...]


def parse(argv: Sequence[str]) -> Line:
    """Return the command line by the rules of Go's flag package: flags end at the first word that is none; SpecError otherwise."""
    values = dict(_FLAGS)
    words = list(argv)
    while words and words[0].startswith("-") and words[0] not in {"-", "--"}:
        name, separator, value = words.pop(0).removeprefix("-").removeprefix("-").partition("=")
        if name not in values:
            raise SpecError(f"flag provided but not defined: -{name}")
        if not separator:
            if not words:
                raise SpecError(f"flag needs an argument: -{name}")
            value = words.pop(0)
        values[name] = value
    if words[:1] == ["--"]:
        words.pop(0)
    if not values["member-count"].isdecimal():
        raise SpecError(f"invalid value {values['member-count']!r} for flag -member-count")
    return Line(
        backup_store=values["backup-store"],
        member_count=int(values["member-count"]),
        etcd_version=values["etcd-version"],
        command=words[0] if words else "get",
        names=tuple(words[1:]),
    )


def run(line: Line, store: Store) -> list[str]:
    """Do what the line says; return its lines of output."""
    control = ControlStore(store)
    match line.command, line.names:
        case "get", ():
            return [spec_text(_existing(control))]
        case "configure-cluster", ():
            _configure(line, control)
            return []
        case "list-backups", ():
            return [backup.text for backup in BackupStore(store).list()]
        case "list-commands", ():
            return [command_text(queued.command) for queued in control.observe().commands]
        case "restore-backup", (name,):
            return [f"added restore-backup command: {command_text(_restore(name, store, control))}"]
        case "delete-command" | "delete-backup", (name,):
            # The Go documentation calls it delete-backup; it deletes commands.
            return _delete_commands(name, control)
        case "restore-backup" | "delete-command" | "delete-backup", _:
            raise SpecError(f"{line.command} needs exactly one name, found {len(line.names)}")
        case _:
            raise SpecError(f"unknown command {line.command!r}")


def spec_text(spec: ClusterSpec) -> str:
    """Return a spec in protobuf's text form."""
    return " ".join(_fields((("member_count", spec.member_count), ("etcd_version", spec.etcd_version))))


def command_text(command: RestoreCommand) -> str:
    """Return a command in protobuf's text form."""
    spec = f"cluster_spec:{{{spec_text(command.spec)}}} " if command.spec else ""
    restore = f"restore_backup:{{{spec}{' '.join(_fields((('backup', command.backup),)))}}}"
    return " ".join([*_fields((("timestamp", nanoseconds(command.queued_at)),)), restore])


def _fields(pairs: Sequence[tuple[str, int | str]]) -> list[str]:
    """Return text-form fields; zero values are left out, and names and versions need no escaping."""
    return [f'{name}:"{value}"' if isinstance(value, str) else f"{name}:{value}" for name, value in pairs if value]


def _existing(control: ControlStore) -> ClusterSpec:
    spec = control.spec()
    if spec is None:
        raise NotFoundError("cluster spec not found")
    return spec


def _configure(line: Line, control: ControlStore) -> None:
    spec = control.spec() or _DEFAULT
    control.write_spec(
        ClusterSpec(member_count=line.member_count or spec.member_count, etcd_version=line.etcd_version or spec.etcd_version)
    )


def _restore(name: str, store: Store, control: ControlStore) -> RestoreCommand:
    spec = _existing(control)
    BackupStore(store).meta(name)
    return control.queue_restore(backup=name, spec=spec, queued_at=datetime.now(UTC))


def _delete_commands(name: str, control: ControlStore) -> list[str]:
    found = [queued.command for queued in control.observe().commands if queued.command.backup == name]
    if not found:
        raise NotFoundError(f"no queued command restores {name}")
    for command in found:
        control.delete_command(command.name)
    return [f"deleted command: {command_text(command)}" for command in found]


if __name__ == "__main__":
    sys.exit(main())
