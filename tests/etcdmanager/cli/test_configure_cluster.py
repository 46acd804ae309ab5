from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.exit_codes import ExitCode
from agents.stores.local import LocalStore
from etcdmanager.cli import main_with
from etcdmanager.control.history import History
from etcdmanager.control.store import ControlStore
from etcdmanager.spec import ClusterSpec

Run = Callable[..., tuple[int, str, str]]
NAME = "prod.example.com"


@pytest.fixture
def control(tmp_path: Path) -> ControlStore:
    found = ControlStore(LocalStore(tmp_path))
    found.write_spec(ClusterSpec(member_count=1, etcd_version="3.5.16"))
    return found


@pytest.fixture
def run(tmp_path: Path, control: ControlStore, capsys: pytest.CaptureFixture[str]) -> Run:
    def main(*words: str) -> tuple[int, str, str]:
        code = main_with(["configure-cluster", *words, "--backup-store", str(tmp_path), "--name", NAME])
        told = capsys.readouterr()
        return int(code), told.out, told.err

    return main


def test_a_plan_says_what_follows_and_changes_nothing(run: Run, control: ControlStore) -> None:
    code, out, _ = run("--member-count", "3", "--etcd-version", "v3.5.30")

    assert code == ExitCode.OK
    assert "add 2, one at a time" in out
    assert "from etcd 3.5.16 to 3.5.30" in out
    assert control.spec() == ClusterSpec(member_count=1, etcd_version="3.5.16")


def test_with_consent_the_spec_is_written_and_recorded(run: Run, control: ControlStore, tmp_path: Path) -> None:
    code, out, _ = run("--member-count", "3", "--yes", "--cluster", NAME, "--reason", "INC-1", "--json")

    assert code == ExitCode.OK
    assert json.loads(out)["changed"] is True
    assert control.spec() == ClusterSpec(member_count=3, etcd_version="3.5.16")
    assert [(event.what, event.reason) for event in History(LocalStore(tmp_path)).events()] == [("configure-cluster", "INC-1")]


@pytest.mark.parametrize("words", [[], ["--member-count", "2"], ["--member-count", "9"], ["--etcd-version", "new"]])
def test_a_spec_that_makes_no_sense_is_a_usage_error(run: Run, control: ControlStore, words: list[str]) -> None:
    assert run(*words, "--yes", "--cluster", NAME)[0] == ExitCode.USAGE
    assert control.spec() == ClusterSpec(member_count=1, etcd_version="3.5.16")


def test_without_the_full_name_nothing_is_written(run: Run, control: ControlStore) -> None:
    assert run("--member-count", "3", "--yes", "--cluster", "prod")[0] == ExitCode.REFUSED
    assert control.spec() == ClusterSpec(member_count=1, etcd_version="3.5.16")
