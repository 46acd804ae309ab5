"""No verb may fail because a document that managers write for people is damaged: it is unknown then, and that is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.exit_codes import ExitCode
from agents.stores.local import LocalStore
from etcdmanager.cli import main_with
from etcdmanager.control.store import ControlStore
from etcdmanager.spec import ClusterSpec
from tests.support.snapshot import SampleBackups, sample_backups

CLUSTER = "prod.example.com"
STORE = f"{CLUSTER}/backups/etcd/main"
DAMAGED = [
    b"",
    b"\xff\x00",
    b"[]",
    b"{",
    b"{}",
    b'{"updated": "x"}',
    b'{"updated": "2026-11-20T00:00:00Z", "details": {"cluster": {"members": 3}}}',
]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def sample(tmp_path: Path) -> SampleBackups:
    found = sample_backups(tmp_path / STORE)
    ControlStore(LocalStore(tmp_path / STORE)).write_spec(ClusterSpec(member_count=3, etcd_version="3.5.16"))
    return found


@pytest.fixture
def run(tmp_path: Path, sample: SampleBackups, capsys: pytest.CaptureFixture[str]) -> Run:
    def main(verb: str, *words: str) -> tuple[int, str, str]:
        code = main_with([verb, *words, "--backup-store", str(tmp_path / STORE)])
        told = capsys.readouterr()
        return int(code), told.out, told.err

    return main


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_status_is_unknown_and_blocks_nothing(run: Run, tmp_path: Path, content: bytes) -> None:
    LocalStore(tmp_path / STORE).write("control/_status.json", content)

    code, out, _ = run("status", "main", "--json")

    assert code == ExitCode.FINDING
    assert json.loads(out)["items"][0]["health"] == "unknown"
    assert "cannot be read" in run("status", "main")[1]
    assert run("members")[0] == ExitCode.FINDING
    assert run("check", "--max-age", "9999d")[0] == ExitCode.FINDING


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_leader_report_is_unknown_and_blocks_no_plan(run: Run, tmp_path: Path, content: bytes) -> None:
    LocalStore(tmp_path / STORE).write("control/_leader.json", content)

    code, out, _ = run("restore-backup", "latest")

    assert code == ExitCode.OK
    assert "Plan for" in out


@pytest.mark.parametrize(
    "content", [b"", b"\xff\x00", b"[]", b"{", b'{"etcdVersion": 3}', b'{"etcdVersion": "3.5.16", "timestamp": "99999999999999"}']
)
@pytest.mark.parametrize("verb", ["verify-backup", "restore-backup", "keep"])
def test_damaged_metadata_is_damage_and_no_usage_error(run: Run, sample: SampleBackups, tmp_path: Path, verb: str, content: bytes) -> None:
    LocalStore(tmp_path / STORE).write(f"{sample.newest}/_etcd_backup.meta", content)

    code, out, err = run(verb, sample.newest)

    assert code == ExitCode.VERIFICATION
    assert "metadata" in out + err
    assert sample.newest in out + err
