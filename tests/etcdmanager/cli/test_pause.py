from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agents.exit_codes import ExitCode
from agents.stores.local import LocalStore
from etcdmanager.cli import main_with
from etcdmanager.control.history import History
from etcdmanager.control.pause import PauseFile
from etcdmanager.control.store import ControlStore
from etcdmanager.spec import ClusterSpec

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    found = LocalStore(tmp_path)
    ControlStore(found).write_spec(ClusterSpec(member_count=1, etcd_version="3.5.16"))
    return found


@pytest.fixture
def run(tmp_path: Path, store: LocalStore, capsys: pytest.CaptureFixture[str]) -> Run:
    def main(verb: str, *words: str) -> tuple[int, str, str]:
        code = main_with([verb, *words, "--backup-store", str(tmp_path)])
        told = capsys.readouterr()
        return int(code), told.out, told.err

    return main


def test_a_pause_is_written_shown_and_recorded(run: Run, store: LocalStore) -> None:
    before = datetime.now(UTC)

    assert run("pause", "--for", "90m", "--reason", "INC-1")[0] == ExitCode.OK

    pause = ControlStore(store).observe().pause
    assert pause is not None
    assert timedelta(minutes=89) < pause.until - before <= timedelta(minutes=90)
    assert "INC-1" in run("status", "main")[1].splitlines()[1]
    assert json.loads(run("status", "main", "--json")[1])["items"][0]["pause"]["reason"] == "INC-1"
    assert [(event.what, event.reason) for event in History(store).events()] == [("pause", "INC-1")]


def test_resume_ends_it_and_says_so_once(run: Run, store: LocalStore) -> None:
    run("pause")

    assert "resumed" in run("resume")[1]
    assert "there was no pause" in run("resume")[1]
    assert PauseFile(store.child("control")).read() is None
    assert [event.what for event in History(store).events()] == ["pause", "resume"]


@pytest.mark.parametrize("words", [["--for", "0s"], ["--for", "-1h"], ["--for", "8d"], ["--for", "soon"]])
def test_a_pause_without_an_end_is_refused(run: Run, store: LocalStore, words: list[str]) -> None:
    assert run("pause", *words)[0] == ExitCode.USAGE
    assert not store.exists("control/_pause.json")


def test_a_pause_of_a_cluster_that_does_not_exist_is_not_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main_with(["pause", "--backup-store", str(tmp_path / "typo")]) == ExitCode.NOT_FOUND
    assert not (tmp_path / "typo").exists()


def test_a_damaged_pause_is_none_and_can_be_taken_away(run: Run, store: LocalStore) -> None:
    store.write("control/_pause.json", b"{}")

    view = ControlStore(store).observe()
    assert view.pause is None
    assert "_pause.json" in view.bad[0].key
    assert "resumed" in run("resume")[1]
