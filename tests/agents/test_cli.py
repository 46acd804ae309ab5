"""The frame of every command line."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from agents.cli import Parser, common, common_options, emit, run_command, table
from agents.errors import AgentError, NotFoundError, RefusedError
from agents.exit_codes import ExitCode


def _answer(arguments: argparse.Namespace) -> ExitCode | None:
    emit(common(arguments), "Answer", {"items": [1]}, "one\n")
    return ExitCode.FINDING if arguments.finding else None


def _fail(_: argparse.Namespace) -> None:
    raise RefusedError("not now", code="S1-data-exists", hint="use --force")


def _interrupt(_: argparse.Namespace) -> None:
    raise KeyboardInterrupt


def build() -> argparse.ArgumentParser:
    parser = Parser(prog="program", description="A program.")
    common_options(parser)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    for name, run in (("answer", _answer), ("fail", _fail), ("interrupt", _interrupt)):
        verb = verbs.add_parser(name)
        common_options(verb)
        verb.add_argument("--finding", action="store_true")
        verb.set_defaults(run=run)
    return parser


def test_a_command_answers_as_text_or_as_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["answer"], build) == 0
    assert capsys.readouterr() == ("one\n", "")
    for argv in (["--json", "answer"], ["answer", "--json"]):
        assert run_command(argv, build) == 0
        assert json.loads(capsys.readouterr().out) == {"apiVersion": "node-agents/v1", "kind": "Answer", "items": [1]}


def test_a_finding_is_an_exit_code_of_its_own() -> None:
    assert run_command(["answer", "--finding"], build) == ExitCode.FINDING


def test_an_error_is_said_with_its_hint_and_has_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["fail"], build) == ExitCode.REFUSED
    assert capsys.readouterr() == ("", "error: not now\nhint: use --force\n")


def test_an_error_is_a_document_with_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["fail", "--json"], build) == ExitCode.REFUSED
    assert json.loads(capsys.readouterr().err) == {
        "apiVersion": "node-agents/v1",
        "kind": "Error",
        "code": "S1-data-exists",
        "message": "not now",
        "hint": "use --force",
        "exitCode": 4,
    }


@pytest.mark.parametrize(
    "argv", [[], ["unknown"], ["answer", "--unknown"], ["answer", "--find"]], ids=["none", "verb", "option", "abbreviated"]
)
def test_a_wrong_command_line_is_a_usage_error_that_names_the_help(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(argv, build) == ExitCode.USAGE
    assert "--help`" in capsys.readouterr().err


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["--help"], build) == 0
    assert "A program." in capsys.readouterr().out


def test_an_interrupted_command_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["interrupt"], build) == ExitCode.INTERRUPTED
    assert capsys.readouterr().err == "interrupted\n"


def test_options_count_on_either_side_of_the_verb() -> None:
    for argv, verbosity in ((["-v", "answer"], 1), (["answer", "-vv"], 2), (["-q", "answer"], -1), (["answer"], 0)):
        assert common(build().parse_args(argv)).verbosity == verbosity


def test_a_reader_that_has_enough_ends_the_command_quietly() -> None:
    program = (
        "import sys; from agents.cli import *\n"
        "def run(a):\n"
        "    for _ in range(100000): print('line ' * 20)\n"
        "def build():\n"
        "    p = Parser(prog='p'); p.set_defaults(run=run); return p\n"
        "sys.exit(run_command([], build))\n"
    )
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", program], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(20) == 0


def test_a_table_has_columns_and_no_trailing_spaces() -> None:
    rows = [("etcd-a", 7, None), ("b", 1000, "two\nlines")]
    assert table(("NAME", "SIZE", "NOTE"), rows, right={"SIZE"}).split("\n") == [
        "NAME    SIZE  NOTE",
        "etcd-a     7  –",
        "b       1000  two lines",
    ]
    assert table(("A", "B"), []) == "A  B"


def test_every_kind_of_error_has_an_exit_code() -> None:
    from agents.exit_codes import exit_code_of

    kinds = [kind for kind in AgentError.__subclasses__() if kind.__module__ == "agents.errors"]
    assert len(kinds) == 10
    assert all(exit_code_of(kind("x")) is not ExitCode.OK for kind in kinds)
    assert exit_code_of(NotFoundError("x")) is ExitCode.NOT_FOUND
