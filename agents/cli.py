"""What every command line of ours has: common options, errors as text or JSON with exit codes that scripts can use, tables.

    def build() -> argparse.ArgumentParser:
        parser = Parser(prog="nodeup", description="…")
        verbs = parser.add_subparsers(required=True, metavar="VERB")
        plan = verbs.add_parser("plan", help="show what would change")
        common_options(plan)
        plan.set_defaults(run=plan_command)          # (argparse.Namespace) -> ExitCode | None
        return parser

    def main() -> int:
        return run_command(sys.argv[1:], build)

stdout is data, stderr is talk. Nothing here knows a verb, and no SDK is imported on the way to `--help`.
"""

from __future__ import annotations

import argparse
import errno
import logging
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from agents.errors import AccessError, AgentError, SpecError
from agents.exit_codes import ExitCode, exit_code_of

if TYPE_CHECKING:
    from _typeshed import SupportsWrite
from agents.logging_setup import configure_logging

log = logging.getLogger(__name__)

API_VERSION = "node-agents/v1"


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose usage errors are SpecErrors, so that they come out like all others (exit code 3, JSON with --json).

    Options are never abbreviated: `--y` must not become `--yes` of a destructive verb when an option is added or renamed.
    """

    @property
    def allow_abbrev(self) -> bool:
        """Whether options may be abbreviated: never, in verbs' parsers, either."""
        return False

    @allow_abbrev.setter
    def allow_abbrev(self, value: bool) -> None:
        """Ignore what argparse's constructor sets."""

    def error(self, message: str) -> NoReturn:
        """Raise a SpecError that names the command whose help to read."""
        raise SpecError(message, code="usage", hint=f"see `{self.prog} --help`")

    def _print_message(self, message: str, file: SupportsWrite[str] | None = None) -> None:
        """Print a help text or version, and fail where that cannot be: newer versions of argparse swallow the error."""
        if message:
            (file or sys.stderr).write(message)
            sys.stdout.flush()


def common_options(parser: argparse.ArgumentParser) -> None:
    """Add --json, --verbose, --quiet, --no-color and --log-json; to a verb, its parent, or both (they may stand on either side)."""
    # SUPPRESS: what was given before the verb is not reset by the verb's own defaults. `common(arguments)` has the defaults.
    group = parser.add_argument_group("common options")
    group.add_argument(
        "--json", action="store_true", default=argparse.SUPPRESS, help="one JSON document on stdout, errors as JSON on stderr"
    )
    group.add_argument("-v", "--verbose", action="count", default=argparse.SUPPRESS, help="log what is observed; twice: libraries, too")
    group.add_argument("-q", "--quiet", action="store_true", default=argparse.SUPPRESS, help="log warnings and errors only")
    group.add_argument("--no-color", action="store_true", default=argparse.SUPPRESS, help="no colours (also by the variable NO_COLOR)")
    group.add_argument("--log-json", action="store_true", default=argparse.SUPPRESS, help="log lines as JSON")


def version_option(parser: argparse.ArgumentParser, says: str) -> None:
    """Add --version, which prints what it `says` ("protokube version") and the version."""
    parser.add_argument("--version", action=_Version, nargs=0, const=says, help="print the version and exit")


class _Version(argparse.Action):
    """argparse's own wants the version when the parser is built, which costs every command 30 ms."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from agents.project_version import project_version

        sys.stdout.write(f"{self.const} {project_version() or 'unknown'}\n")
        parser.exit()


@dataclass(frozen=True, slots=True, kw_only=True)
class CommonOptions:
    """The common options as they were given."""

    json: bool
    #: As `configure_logging` takes it.
    verbosity: int
    color: bool
    log_json: bool


def common(arguments: argparse.Namespace) -> CommonOptions:
    """Return the common options with their defaults; colours only on a terminal that wants them."""
    given = vars(arguments)
    plain = bool(given.get("no_color") or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb")
    return CommonOptions(
        json=bool(given.get("json")),
        verbosity=-1 if given.get("quiet") else int(given.get("verbose") or 0),
        color=not plain and sys.stdout.isatty(),
        log_json=bool(given.get("log_json")),
    )


def run_command(argv: Sequence[str], build: Callable[[], argparse.ArgumentParser]) -> int:
    """Parse `argv` (without the program's name), run the verb's `run`, and return the exit code."""

    def act() -> int:
        arguments = build().parse_args(argv)
        options = common(arguments)
        configure_logging(options.verbosity, json=options.log_json)
        code: ExitCode | None = arguments.run(arguments)
        return ExitCode.OK if code is None else code

    return guarded(act, as_json="--json" in argv)


def guarded(act: Callable[[], int], *, as_json: bool = False) -> int:
    """Do what a command does, and return its exit code; every error comes out in words.

    An AgentError becomes "error: …" and "hint: …" on stderr. Ctrl-C is INTERRUPTED: a verb that must not stop half-way sees to
    that itself. A reader that closes the pipe (`| head`) ends the command quietly. What the machine refuses without anybody having
    foreseen it (a full disk, a directory in a file's place) is one line; its traceback is for -v. Anything else is a bug and keeps it.
    """
    _open_streams()
    try:
        code = act()
        sys.stdout.flush()
    except SystemExit as end:
        # argparse, after --help or --version.
        return end.code if isinstance(end.code, int) else ExitCode.OK
    except AgentError as error:
        print_error(error, as_json=as_json)
        return exit_code_of(error)
    except BrokenPipeError:
        _silence_stdout()
        return ExitCode.OK
    except OSError as error:
        _silence_stdout()
        log.debug("the machine refused", exc_info=True)
        said = _of_the_machine(error)
        print_error(said, as_json=as_json)
        return exit_code_of(said)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return ExitCode.INTERRUPTED
    return code


def _open_streams() -> None:
    """Let what is said go nowhere where the caller closed stdout or stderr (`>&-`): Python has None there."""
    if sys.stdout is None or sys.stderr is None:
        nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  it is a stream of this process until its end
        sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere


def _silence_stdout() -> None:
    """Send what is still buffered nowhere, or the interpreter would complain about it at its end."""
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def _of_the_machine(error: OSError) -> AgentError:
    what = f"{error.filename}: " if error.filename else ""
    message = f"{what}{error.strerror or error}"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return AccessError(message, code="os-access")
    return AgentError(message, code="os", hint="-v shows where it happened")


def print_error(error: AgentError, *, as_json: bool) -> None:
    """Write an error to stderr: for people on one or two lines, or as a JSON document of kind Error."""
    if as_json:
        from agents.documents import dump_json

        document = {
            "apiVersion": API_VERSION,
            "kind": "Error",
            "code": error.code,
            "message": str(error),
            "hint": error.hint,
            "exitCode": int(exit_code_of(error)),
        }
        sys.stderr.write(dump_json(document))
        return
    sys.stderr.write(f"error: {error}\n" + (f"hint: {error.hint}\n" if error.hint else ""))


def emit(options: CommonOptions, kind: str, content: Mapping[str, object], text: str) -> None:
    """Write a command's answer to stdout: with --json one document of this kind, else the text, ended by one newline."""
    if options.json:
        from agents.documents import dump_json

        sys.stdout.write(dump_json({"apiVersion": API_VERSION, "kind": kind, **content}))
    elif text:
        sys.stdout.write(text if text.endswith("\n") else f"{text}\n")


def table(headers: Sequence[str], rows: Sequence[Sequence[object]], *, right: Collection[str] = ()) -> str:
    """Return rows under headers in columns two spaces apart, without trailing spaces; columns named in `right` are flush right.

    None is shown as "–". There is no newline at the end.
    """
    cells = [list(headers), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(headers))]
    flush_right = [header in right for header in headers]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width) for cell, width, to_right in zip(line, widths, flush_right, strict=True)
        ).rstrip()
        for line in cells
    )


def _cell(value: object) -> str:
    return "–" if value is None else " ".join(str(value).split())
