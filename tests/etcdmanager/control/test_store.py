from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agents.errors import ConflictError, SpecError, VerificationError
from agents.stores.local import LocalStore
from agents.stores.memory import MemoryStore
from agents.stores.protocol import Store
from etcdmanager.control.commands import (
    BackupAnswer,
    BackupRequest,
    Claim,
    Failure,
    Formation,
    MemberProgress,
    Progress,
    Receipt,
    RestoreRequest,
)
from etcdmanager.control.store import ControlStore
from etcdmanager.spec import ClusterSpec

NOW = datetime(2026, 8, 22, 2, 47, 30, 123456, tzinfo=UTC)
SPEC = ClusterSpec(member_count=3, etcd_version="3.5.16")
BACKUP = "2026-08-22T02:47:30Z-000977"


@pytest.fixture(params=["memory", "file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else LocalStore(tmp_path)


@pytest.fixture
def control(store: Store) -> ControlStore:
    return ControlStore(store)


def claim(command: str, epoch: int = 7) -> Claim:
    return Claim(command=command, backup=BACKUP, holder="etcd-a", epoch=epoch, token="t0k", members=("a", "b"), claimed_at=NOW)


def test_an_empty_store_has_no_spec_no_marker_and_no_commands(control: ControlStore) -> None:
    assert control.spec() is None
    assert not control.is_created()
    assert control.observe().commands == ()
    assert control.formation() is None


def test_the_spec_is_written_with_exactly_the_keys_that_go_knows(store: Store, control: ControlStore) -> None:
    control.write_spec(SPEC)

    assert json.loads(store.read("control/etcd-cluster-spec")) == {"memberCount": 3, "etcdVersion": "3.5.16"}
    assert control.spec() == SPEC


def test_the_marker_is_a_json_number_of_nanoseconds(store: Store, control: ControlStore) -> None:
    control.write_created(NOW)

    assert json.loads(store.read("control/etcd-cluster-created")) == {"timestamp": 1787366850123456000}
    assert control.is_created()


def test_an_existing_marker_is_never_rewritten(store: Store, control: ControlStore) -> None:
    store.write("control/etcd-cluster-created", b'{"timestamp":1547480961703914946}')

    control.write_created(NOW)

    assert store.read("control/etcd-cluster-created") == b'{"timestamp":1547480961703914946}'


def test_an_empty_marker_is_an_error_and_not_a_new_cluster(store: Store, control: ControlStore) -> None:
    store.write("control/etcd-cluster-created", b"")

    with pytest.raises(VerificationError):
        control.is_created()


def test_a_command_is_written_as_go_writes_it(store: Store, control: ControlStore) -> None:
    command = control.queue_restore(backup=BACKUP, spec=SPEC, queued_at=NOW)

    assert command.name == "2026-08-22T02:47:30Z-000000"
    assert json.loads(store.read(f"control/{command.name}/_command.json")) == {
        "timestamp": "1787366850123456000",
        "restoreBackup": {"clusterSpec": {"memberCount": 3, "etcdVersion": "3.5.16"}, "backup": BACKUP},
    }


def test_two_commands_of_one_second_both_stay(control: ControlStore) -> None:
    first = control.queue_restore(backup=BACKUP, spec=SPEC, queued_at=NOW)
    second = control.queue_restore(backup=BACKUP, spec=SPEC, queued_at=NOW + timedelta(milliseconds=1))

    assert [queued.command for queued in control.observe().commands] == [first, second]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b'{"timestamp":"5000000000","restoreBackup":{"clusterSpec":{"memberCount":1},"backup":"b"}}', id="protojson"),
        pytest.param(
            b'{ "timestamp" : 5000000000,  "restore_backup" : {"cluster_spec":{"member_count":"1"},"backup":"b"}, "new": 1 }',
            id="snake case, numbers as they come, an unknown key",
        ),
    ],
)
def test_commands_are_read_tolerantly(store: Store, control: ControlStore, text: bytes) -> None:
    store.write("control/2018-01-01T00:00:00Z-000000/_command.json", text)

    (queued,) = control.observe().commands

    assert queued.command.backup == "b"
    assert queued.command.queued_at == datetime(1970, 1, 1, 0, 0, 5, tzinfo=UTC)
    assert queued.command.spec is not None
    assert queued.command.spec.member_count == 1


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"timestamp":"1"}', b'{"timestamp":"x","restoreBackup":{"backup":"b"}}', b"\xff"])
def test_one_bad_command_is_reported_and_hides_no_other(store: Store, control: ControlStore, text: bytes) -> None:
    store.write("control/2018-01-01T00:00:00Z-000000/_command.json", text)
    good = control.queue_restore(backup=BACKUP, spec=SPEC, queued_at=NOW)

    view = control.observe()

    assert [queued.command for queued in view.commands] == [good]
    assert [bad.key.endswith("2018-01-01T00:00:00Z-000000/_command.json") for bad in view.bad] == [True]


def test_a_command_whose_claim_cannot_be_read_is_not_offered_for_claiming(store: Store, control: ControlStore) -> None:
    command = control.queue_restore(backup=BACKUP, spec=SPEC, queued_at=NOW)
    store.write(f"control/{command.name}/_claim.json", b"{")

    view = control.observe()

    assert view.commands == ()
    assert len(view.bad) == 1


def test_exactly_one_claim_is_made_and_only_its_last_reader_changes_it(control: ControlStore) -> None:
    command = control.queue_restore(backup=BACKUP, spec=SPEC, queued_at=NOW)
    found = control.create_claim(claim(command.name))
    with pytest.raises(ConflictError):
        control.create_claim(claim(command.name, epoch=8))

    taken_over = control.change_claim(claim(command.name, epoch=9), found.version)
    with pytest.raises(ConflictError):
        control.change_claim(claim(command.name, epoch=7), found.version)

    assert control.claim(command.name) == taken_over
    assert control.observe().commands[0].claim == taken_over


def test_a_claim_keeps_everything_it_was_told(control: ControlStore) -> None:
    command = control.queue_restore(backup=BACKUP, spec=SPEC, queued_at=NOW)
    full = Claim(
        command=command.name,
        backup=BACKUP,
        holder="a",
        epoch=7,
        token="t",
        members=("a",),
        claimed_at=NOW,
        saved_at=NOW,
        pre_restore_backup="x",
        committing_at=NOW,
        verified_at=NOW,
        revision=2**40,
        keys=5,
    )

    control.create_claim(full)

    found = control.claim(command.name)
    assert found is not None
    assert found.document == full


def test_a_receipt_takes_the_command_out_of_the_queue(control: ControlStore) -> None:
    command = control.queue_restore(backup=BACKUP, spec=SPEC, queued_at=NOW)
    receipt = Receipt(
        command=command.name, backup=BACKUP, finished_at=NOW, members=("a",), revision=9, keys=3, bumped=True, took={"prepare": 1.25}
    )

    control.finish(receipt)

    assert control.observe().commands == ()
    assert control.receipt(command.name) == receipt
    assert control.receipts() == (receipt,)


def test_a_command_with_a_receipt_is_not_open_even_while_it_still_lies_there(store: Store, control: ControlStore) -> None:
    command = control.queue_restore(backup=BACKUP, spec=SPEC, queued_at=NOW)
    text = store.read(f"control/{command.name}/_command.json")
    control.finish(Receipt(command=command.name, backup=BACKUP, finished_at=NOW, members=(), revision=9, keys=3))
    store.write(f"control/{command.name}/_command.json", text)

    view = control.observe()

    assert view.commands[0].receipt
    assert view.open_commands == ()


def test_a_failed_command_leaves_the_queue_and_says_why(control: ControlStore) -> None:
    command = control.queue_restore(backup=BACKUP, spec=SPEC, queued_at=NOW)
    failure = Failure(command=command.name, backup=BACKUP, failed_at=NOW, code="S2", reason="corrupt", hint="another one")

    control.fail(failure)

    assert control.observe().commands == ()
    assert control.failure(command.name) == failure


def test_a_command_never_takes_the_name_of_one_that_was_given_up_or_claimed_in_the_same_second(control: ControlStore) -> None:
    """It would inherit that one's failure, or worse, its claim, and never be carried out."""
    given_up = control.queue_restore(backup=BACKUP, spec=SPEC, queued_at=NOW)
    control.fail(Failure(command=given_up.name, backup=BACKUP, failed_at=NOW, code="S2", reason="corrupt", hint="another one"))
    taken_back = control.queue_restore(backup=BACKUP, spec=SPEC, queued_at=NOW)
    control.create_claim(Claim(command=taken_back.name, backup=BACKUP, holder="a", epoch=1, token="T", members=("a",), claimed_at=NOW))
    control.delete_command(taken_back.name)

    next_one = control.queue_restore(backup=BACKUP, spec=SPEC, queued_at=NOW)

    assert len({given_up.name, taken_back.name, next_one.name}) == 3
    assert control.failure(next_one.name) is None
    assert control.claim(next_one.name) is None


def test_who_asked_for_a_restore_is_kept_beside_the_command(control: ControlStore) -> None:
    request = RestoreRequest(requested_by="ann@host", requested_at=NOW, reason="INC-123", discard_newer=True)
    command = control.queue_restore(backup=BACKUP, spec=SPEC, queued_at=NOW, request=request)

    assert control.request(command.name) == request


def test_progress_is_overwritten_and_read_back(control: ControlStore) -> None:
    control.write_progress("x", Progress(phase="queued", updated_at=NOW))
    progress = Progress(
        phase="prepare", updated_at=NOW, fraction=0.25, message="m", members={"a": MemberProgress(step="unpack", done=3, total=9)}
    )
    control.write_progress("x", progress)

    assert control.progress("x") == progress


def test_a_formation_is_decided_once(control: ControlStore) -> None:
    formation = Formation(token="t", members=("a", "b", "c"), spec=SPEC, epoch=1, decided_at=NOW)
    found = control.create_formation(formation)

    with pytest.raises(ConflictError):
        control.create_formation(formation)
    assert control.formation() == found
    control.delete_formation()
    assert control.formation() is None


def test_a_backup_request_is_open_until_it_is_answered(control: ControlStore) -> None:
    request = BackupRequest(id="r1", requested_by="ann", requested_at=NOW, label="before upgrade", keep=True)
    control.request_backup(request)
    assert control.observe().requests == (request,)

    answer = BackupAnswer(id="r1", answered_at=NOW, backup=BACKUP)
    control.answer_backup(answer)

    assert control.observe().requests == ()
    assert control.backup_answer("r1") == answer
    control.forget_requests(answered_before=datetime.now(UTC) + timedelta(minutes=1))
    assert control.backup_answer("r1") is None
    assert control.observe().requests == ()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../x"])
def test_no_name_leads_out_of_the_control_directory(control: ControlStore, name: str) -> None:
    with pytest.raises(SpecError):
        control.delete_command(name)
