from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agents.exit_codes import ExitCode
from agents.stores.local import LocalStore
from etcdmanager import ctl
from etcdmanager.backups.store import BackupStore
from etcdmanager.cli import main_with
from etcdmanager.control.commands import LeaderReport, Receipt
from etcdmanager.control.store import ControlStore
from etcdmanager.spec import ClusterSpec
from tests.fakes.leader import PRE_RESTORE, leading
from tests.support.snapshot import SampleBackups, sample_backups

SPEC = ClusterSpec(member_count=3, etcd_version="3.5.16")
CLUSTER = "prod.example.com"
STORE = f"{CLUSTER}/backups/etcd/main"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def sample(tmp_path: Path) -> SampleBackups:
    return sample_backups(tmp_path / STORE)


@pytest.fixture
def control(tmp_path: Path) -> ControlStore:
    found = ControlStore(LocalStore(tmp_path / STORE))
    found.write_spec(SPEC)
    return found


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.delenv("KOPS_STATE_STORE", raising=False)

    def main(verb: str, *words: str) -> tuple[int, str, str]:
        code = main_with([verb, *words, "--backup-store", str(tmp_path / STORE)])
        told = capsys.readouterr()
        return int(code), told.out, told.err

    return main


def contents(tmp_path: Path) -> dict[str, bytes]:
    """Return everything in the store but our own manifests, which remember proofs."""
    return {
        str(path): path.read_bytes()
        for path in sorted((tmp_path / STORE).rglob("*"))
        if path.is_file() and path.name != "_etcd_backup.ext.json"
    }


def test_help_imports_no_verb_and_no_sdk() -> None:
    heavy = "{'grpc', 'boto3', 'obstore', 'cryptography', 'requests', 'prometheus_client', 'asyncio', 'yaml'}"
    loaded = f"[m for m in sys.modules if m.split('.')[0] in {heavy} or 'commands.' in m]"
    code = f"import sys, etcdmanager.cli as c; c.main_with(['--help']); print({loaded})"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout.splitlines()[-1] == "[]"


def test_go_style_flags_without_a_verb_are_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main_with(["--cluster-name=etcd", "--no-such-flag=1"]) == ExitCode.USAGE
    assert "no-such-flag" in capsys.readouterr().err


def test_an_unknown_verb_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main_with(["frobnicate"]) == ExitCode.USAGE
    assert capsys.readouterr().out == ""


# --- list-backups


def test_backups_are_listed_newest_first_with_their_figures(run: Run, sample: SampleBackups) -> None:
    code, out, _ = run("list-backups")

    lines = out.splitlines()
    assert code == ExitCode.OK
    assert [line.split()[:2] for line in lines[1:]] == [["L", sample.newest], ["1", sample.bare], ["2", sample.oldest]]
    assert "verified" in lines[1]
    assert "unverified" in lines[2]


def test_the_legacy_listing_is_the_go_tools(run: Run, sample: SampleBackups, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run("list-backups", "-o", "legacy")

    assert out.splitlines()[1:] == sorted([sample.oldest, sample.bare, sample.newest])
    ctl.main_with([f"-backup-store={tmp_path / STORE}", "list-backups"], environment={})
    assert capsys.readouterr().out.splitlines()[1:] == out.splitlines()[1:]


def test_the_json_listing_is_one_document(run: Run, sample: SampleBackups) -> None:
    _, out, _ = run("list-backups", "-o", "json")

    document = json.loads(out)
    assert document["kind"] == "BackupList"
    assert [item["name"] for item in document["items"]] == [sample.newest, sample.bare, sample.oldest]
    assert document["items"][0]["keys"] == sample.keys


def test_a_store_without_backups_is_a_finding(run: Run) -> None:
    assert run("list-backups")[0] == ExitCode.FINDING


def test_backups_are_found_through_kops_state_store(sample: SampleBackups, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main_with(["list-backups", "main", "--state", str(tmp_path), "--name", CLUSTER]) == ExitCode.OK
    assert sample.newest in capsys.readouterr().out


def test_the_completed_spec_says_where_backups_are(sample: SampleBackups, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = tmp_path / "state"
    spec = {"spec": {"etcdClusters": [{"name": "main", "backups": {"backupStore": str(tmp_path / STORE)}}]}}
    (state / CLUSTER).mkdir(parents=True)
    (state / CLUSTER / "cluster-completed.spec").write_text(json.dumps(spec))

    assert main_with(["list-backups", "--state", str(state), "--name", CLUSTER]) == ExitCode.OK
    assert sample.newest in capsys.readouterr().out


# --- verify-backup and keep


def test_a_good_backup_is_proven_and_remembered(run: Run, sample: SampleBackups, tmp_path: Path) -> None:
    code, out, _ = run("verify-backup", "latest")

    assert code == ExitCode.OK
    assert " ok " in out
    manifest = BackupStore(LocalStore(tmp_path / STORE)).manifest(sample.newest)
    assert manifest is not None
    assert "light" in [check.kind for check in manifest.checks]


def test_a_bad_one_among_all_is_named_and_sets_the_exit_code(run: Run, sample: SampleBackups, tmp_path: Path) -> None:
    sample.damage(sample.bare)

    code, out, _ = run("verify-backup", "--all")

    assert code == ExitCode.VERIFICATION
    assert [line.split()[1] for line in out.splitlines()[1:4]] == ["ok", "BAD", "ok"]
    assert f"! {sample.bare}: " in out


def test_a_kept_backup_is_marked_and_unkept(run: Run, sample: SampleBackups) -> None:
    assert run("keep", sample.oldest)[0] == ExitCode.OK
    assert "(kept)" in run("list-backups")[1]
    assert run("unkeep", sample.oldest)[0] == ExitCode.OK
    assert "(kept)" not in run("list-backups")[1]


# --- backup-now


def test_backup_now_waits_for_the_leader(run: Run, control: ControlStore, tmp_path: Path) -> None:
    with leading(BackupStore(LocalStore(tmp_path / STORE))):
        code, out, _ = run("backup-now", "--label", "x")

    assert code == ExitCode.OK
    assert PRE_RESTORE in out


def test_backup_now_without_a_leader_ends_with_a_timeout(run: Run, control: ControlStore) -> None:
    code, _, err = run("backup-now", "--timeout", "100ms")

    assert code == ExitCode.TIMEOUT
    assert "leading" in err


# --- restore-backup: nothing is changed until it is asked for


def test_without_a_terminal_a_plan_is_shown_and_nothing_changed(
    run: Run, sample: SampleBackups, control: ControlStore, tmp_path: Path
) -> None:
    before = contents(tmp_path)

    code, out, _ = run("restore-backup", "latest")

    assert code == ExitCode.OK
    assert f"Plan for {CLUSTER} / main" in out
    assert "Nothing has been changed." in out
    assert f"{sample.keys} keys" in out
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("wanted", "code", "said"),
    [
        pytest.param("2031-01-01T00:00:00Z-000001", ExitCode.NOT_FOUND, "the nearest are", id="unknown name"),
        pytest.param("DAMAGED", ExitCode.VERIFICATION, "", id="corrupt"),
    ],
)
def test_an_unknown_or_bad_backup_changes_nothing(
    run: Run, sample: SampleBackups, control: ControlStore, tmp_path: Path, wanted: str, code: ExitCode, said: str
) -> None:
    if wanted == "DAMAGED":
        sample.damage(sample.newest)
        wanted = sample.newest
    before = contents(tmp_path)

    found, out, err = run("restore-backup", wanted, "--yes", "--cluster", CLUSTER)

    assert found == code
    assert said in err
    assert out == ""
    assert contents(tmp_path) == before


def test_yes_is_worth_nothing_without_the_cluster_s_full_name(
    run: Run, sample: SampleBackups, control: ControlStore, tmp_path: Path
) -> None:
    before = contents(tmp_path)

    for words in ([], ["--cluster", "prod"]):
        code, _, err = run("restore-backup", "latest", "--yes", *words)
        assert code == ExitCode.REFUSED
        assert CLUSTER in err
    assert contents(tmp_path) == before


def report(revision: int, age: timedelta = timedelta()) -> LeaderReport:
    return LeaderReport(
        reported_at=datetime.now(UTC) - age,
        leader="a",
        epoch=3,
        has_quorum=True,
        revision=revision,
        etcd_version="3.5.16",
        healthy=("a", "b", "c"),
        members=("a", "b", "c"),
    )


def test_newer_data_of_a_healthy_quorum_is_not_discarded_by_accident(
    run: Run, sample: SampleBackups, control: ControlStore, tmp_path: Path
) -> None:
    control.write_leader_report(report(10_000))

    code, _, err = run("restore-backup", "latest", "--yes", "--cluster", CLUSTER)
    assert code == ExitCode.REFUSED
    assert "S3-newer-data" in err
    assert "--discard-newer" in err
    assert control.observe().commands == ()

    with leading(BackupStore(LocalStore(tmp_path / STORE))):
        assert run("restore-backup", "latest", "--yes", "--cluster", CLUSTER, "--discard-newer")[0] == ExitCode.OK


def test_an_old_report_is_no_news(run: Run, sample: SampleBackups, control: ControlStore) -> None:
    control.write_leader_report(report(10_000, timedelta(hours=1)))

    code, out, _ = run("restore-backup", "latest", "--plan")

    assert code == ExitCode.OK
    assert "no quorum is known to serve" in out


def test_a_second_restore_within_ten_minutes_needs_a_second_thought(run: Run, sample: SampleBackups, control: ControlStore) -> None:
    control.finish(Receipt(command="x", backup="b", finished_at=datetime.now(UTC), members=(), revision=1, keys=1))

    code, out, _ = run("restore-backup", "latest", "--plan")

    assert code == ExitCode.REFUSED
    assert "S7-restored-recently" in out


def test_another_cluster_s_backup_is_only_cloned_on_purpose(
    sample: SampleBackups, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["restore-backup", "latest", "--backup-store", str(tmp_path / STORE), "--name", "other.example.com", "--plan"]

    assert main_with(words) == ExitCode.REFUSED
    assert "S8-other-cluster" in capsys.readouterr().out
    assert main_with([*words, "--clone"]) == ExitCode.OK


def test_an_etcd_that_cannot_open_the_backup_is_named(run: Run, sample: SampleBackups, control: ControlStore) -> None:
    control.write_spec(ClusterSpec(member_count=3, etcd_version="3.4.23"))

    code, out, _ = run("restore-backup", "latest", "--plan")

    assert code == ExitCode.REFUSED
    assert "S9-etcd-version" in out


def test_a_restore_under_way_is_not_doubled(run: Run, sample: SampleBackups, control: ControlStore) -> None:
    control.queue_restore(backup=sample.oldest, spec=SPEC, queued_at=datetime.now(UTC))

    code, _, err = run("restore-backup", "latest", "--yes", "--cluster", CLUSTER)

    assert code == ExitCode.BUSY
    assert sample.oldest in err


# --- restore-backup: carried out


def test_a_restore_is_followed_to_its_receipt_and_names_its_undo(
    run: Run, sample: SampleBackups, control: ControlStore, tmp_path: Path
) -> None:
    with leading(BackupStore(LocalStore(tmp_path / STORE))):
        code, out, err = run("restore-backup", "latest", "--yes", "--cluster", CLUSTER, "--reason", "INC-123")

    assert code == ExitCode.OK
    assert f"Undo: etcd-manager restore-backup main {PRE_RESTORE}" in out
    assert "prepare" in err
    (receipt,) = control.receipts()
    request = control.request(receipt.command)
    assert request is not None
    assert request.reason == "INC-123"


def test_progress_comes_as_json_lines_where_wanted(run: Run, sample: SampleBackups, control: ControlStore, tmp_path: Path) -> None:
    with leading(BackupStore(LocalStore(tmp_path / STORE))):
        code, out, err = run("restore-backup", "latest", "--yes", "--cluster", CLUSTER, "--progress", "json", "--json")

    assert code == ExitCode.OK
    assert json.loads(out)["kind"] == "RestoreResult"
    assert json.loads(err.splitlines()[-1])["phase"] == "done"


@pytest.mark.parametrize(
    ("failure", "code"), [("S9-etcd-version", ExitCode.REFUSED), ("bolt-damaged", ExitCode.VERIFICATION), ("x", ExitCode.ERROR)]
)
def test_a_restore_that_was_given_up_says_why(
    run: Run, sample: SampleBackups, control: ControlStore, tmp_path: Path, failure: str, code: ExitCode
) -> None:
    with leading(BackupStore(LocalStore(tmp_path / STORE)), failure_code=failure):
        found, _, err = run("restore-backup", "latest", "--yes", "--cluster", CLUSTER)

    assert found == code
    assert "nothing was changed" in err


def test_a_restore_that_nobody_takes_on_is_left_queued(run: Run, sample: SampleBackups, control: ControlStore) -> None:
    code, _, err = run("restore-backup", "latest", "--yes", "--cluster", CLUSTER, "--timeout", "100ms")

    assert code == ExitCode.TIMEOUT
    assert "goes on without this command" in err
    assert len(control.observe().commands) == 1


# --- etcd-manager-ctl


def ask_ctl(tmp_path: Path, *words: str) -> int:
    return ctl.main_with([f"-backup-store={tmp_path / STORE}", *words], environment={})


def test_ctl_configures_and_gets_as_the_go_tool_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask_ctl(tmp_path) == 1
    assert ask_ctl(tmp_path, "-member-count=3", "-etcd-version", "3.5.16", "configure-cluster") == 0
    assert ask_ctl(tmp_path, "--member-count=5", "configure-cluster") == 0
    capsys.readouterr()

    assert ask_ctl(tmp_path, "get") == 0

    assert capsys.readouterr().out.splitlines()[1] == 'member_count:5 etcd_version:"3.5.16"'


def test_ctl_queues_lists_and_deletes_commands(
    tmp_path: Path, sample: SampleBackups, control: ControlStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask_ctl(tmp_path, "restore-backup", sample.oldest) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("Backup Store: ")
    (queued,) = control.observe().commands
    wanted = f'restore_backup:{{cluster_spec:{{member_count:3 etcd_version:"3.5.16"}} backup:"{sample.oldest}"}}'
    assert told[1] == f"added restore-backup command: {ctl.command_text(queued.command)}"
    assert told[1].endswith(wanted)

    assert ask_ctl(tmp_path, "list-commands") == 0
    assert wanted in capsys.readouterr().out
    assert ask_ctl(tmp_path, "delete-command", sample.oldest) == 0
    assert control.observe().commands == ()


def test_ctl_refuses_a_name_that_does_not_exist(tmp_path: Path, sample: SampleBackups, control: ControlStore) -> None:
    assert ask_ctl(tmp_path, "restore-backup", "2031-01-01T00:00:00Z-000001") == 1
    assert ask_ctl(tmp_path, "restore-backup") == 1
    assert ask_ctl(tmp_path, "restore-backup", "../x") == 1
    assert control.observe().commands == ()


def test_pruning_shows_its_plan_and_deletes_only_with_the_typed_name(run: Run, sample: SampleBackups, tmp_path: Path) -> None:
    before = contents(tmp_path)
    assert run("prune", "--daily", "7d")[0:2] == (
        ExitCode.OK,
        f"- {sample.bare}\n1 backups would be deleted. Nothing has been changed.\n",
    )
    assert run("prune", "--daily", "7d", "--yes", "--cluster", "prod")[0] == ExitCode.REFUSED
    assert contents(tmp_path) == before

    code, out, _ = run("prune", "--daily", "7d", "--yes", "--cluster", CLUSTER)

    assert (code, out) == (ExitCode.OK, f"- {sample.bare}\n1 backups deleted.\n")
    assert not (tmp_path / STORE / sample.bare / "etcd.backup.gz").exists()


@pytest.mark.usefixtures("sample", "control")
def test_check_speaks_as_monitoring_plugins_do(run: Run) -> None:
    code, out, _ = run("check", "--nagios", "--max-age", "30m")
    assert code == 2
    assert out.startswith("ETCD BACKUP CRITICAL - prod.example.com main: 2026-01-03T00:00:00Z-000003 is verified and")
    assert ";;1800;0 backups=3" in out

    assert run("check", "--nagios", "--max-age", "10y")[0] == 3
    code, out, _ = run("check", "--max-age", "9999d")
    assert (code, "no manager leads" in out) == (ExitCode.FINDING, True)


def test_a_mistyped_store_has_no_backups_to_copy(run: Run, tmp_path: Path) -> None:
    code, out, err = run("copy-backups", "--to", str(tmp_path / "second"))

    assert (code, out) == (ExitCode.NOT_FOUND, "")
    assert "holds no backups" in err


def test_backups_are_copied_to_a_second_store(run: Run, sample: SampleBackups, tmp_path: Path) -> None:
    sample.damage(sample.oldest)

    code, out, _ = run("copy-backups", "--to", str(tmp_path / "second"))

    assert code == ExitCode.VERIFICATION
    assert [line.split()[-1] for line in out.splitlines()[1:3]] == ["copied", "copied"]
    assert "cut off" in out
    assert [backup.text for backup in BackupStore(LocalStore(tmp_path / "second")).list()] == [sample.bare, sample.newest]
    assert run("copy-backups", "--latest", "--to", str(tmp_path / "second"))[0] == ExitCode.OK
