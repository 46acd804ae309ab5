from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agents.diagnosis import Unknown
from agents.errors import AccessError
from agents.exit_codes import ExitCode
from agents.host.local import LocalHost
from agents.stores.local import LocalStore
from agents.stores.memory import MemoryStore
from agents.timestamps import format_timestamp
from etcdmanager.cli import main_with
from etcdmanager.control.history import History
from etcdmanager.control.store import ControlStore
from etcdmanager.doctor.looking.node import look_at_node, stale_names
from etcdmanager.doctor.looking.store import look_at_store
from etcdmanager.doctor.view import Marker, ProbeStep, VolumeProblem
from etcdmanager.flags import config_from
from etcdmanager.spec import ClusterSpec, ManagerConfig
from tests.etcdmanager.doctor.test_rules import cluster
from tests.fakes.store_faults import Fault, FaultyStore
from tests.support.members import make_authorities

SPEC = ClusterSpec(member_count=3, etcd_version="3.5.16")
Run = Callable[..., tuple[int, str, str]]


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    found = LocalStore(tmp_path / "store")
    ControlStore(found).write_spec(SPEC)
    ControlStore(found).write_created(now())
    return found


@pytest.fixture
def run(tmp_path: Path, store: LocalStore, capsys: pytest.CaptureFixture[str]) -> Run:
    def main(verb: str, *words: str) -> tuple[int, str, str]:
        code = main_with([verb, *words, "--backup-store", str(tmp_path / "store")])
        told = capsys.readouterr()
        return int(code), told.out, told.err

    return main


def leads(store: LocalStore) -> None:
    """Leave what a leading manager of a living cluster tells."""
    document = {"updated": format_timestamp(now()), "message": "", "waiting": [], "details": {"cluster": cluster(), "member": {"id": "a"}}}
    store.write("control/_status.json", json.dumps(document).encode())


def test_the_probe_leaves_nothing_behind(store: LocalStore) -> None:
    before = {entry.key for entry in store.list()}
    view = look_at_store(store, "main", now=now, probe=True)

    assert view.probe == tuple(ProbeStep(name=name) for name in ("write", "read", "list", "delete"))
    assert not isinstance(view.clock_ahead, Unknown)
    assert abs(view.clock_ahead) < timedelta(seconds=2)
    assert {entry.key for entry in store.list()} == before


def test_what_an_interrupted_doctor_left_is_deleted_by_the_next(store: LocalStore, tmp_path: Path) -> None:
    store.write("control/_doctor/old", b"")
    store.write("control/_doctor/young", b"")
    os.utime(tmp_path / "store/control/_doctor/old", (0, 0))
    look_at_store(store, "main", now=now, probe=True)

    assert [entry.key for entry in store.list("control/_doctor")] == ["control/_doctor/young"]


def test_without_the_probe_nothing_is_written() -> None:
    store = FaultyStore(MemoryStore(), Fault(method="write", error=AccessError("read-only"), times=99))
    look_at_store(store, "main", now=now, probe=False)

    assert not {"write", "create", "delete", "replace_if_unchanged"} & {method for method, _ in store.calls}


def test_a_permission_that_is_missing_is_named() -> None:
    memory = MemoryStore()
    ControlStore(memory).write_spec(SPEC)
    store = FaultyStore(memory, Fault(method="delete", error=AccessError("403"), times=99))
    view = look_at_store(store, "main", now=now, probe=True)

    assert not isinstance(view.probe, Unknown)
    assert [step.name for step in view.probe if step.denied] == ["delete"]


def test_a_store_that_is_away_costs_one_attempt() -> None:
    store = FaultyStore(MemoryStore(), Fault(times=999))
    view = look_at_store(store, "main", now=now, probe=True)

    assert isinstance(view.control, Unknown)
    assert len(store.calls) == 1


@pytest.mark.parametrize("key", ["_lock.json", "_status.json", "_leader.json", "_pause.json", "etcd-cluster-spec", "etcd-cluster-created"])
def test_each_damaged_document_leaves_the_rest_visible(run: Run, store: LocalStore, key: str) -> None:
    store.write(f"control/{key}", b"")
    code, out, _ = run("doctor", "--json")

    assert code == ExitCode.FINDING
    assert json.loads(out)["items"]


def test_missing_control_files_are_written_again_from_the_living_cluster(run: Run, store: LocalStore) -> None:
    leads(store)
    for key in ("etcd-cluster-spec", "etcd-cluster-created"):
        store.delete(f"control/{key}")

    assert "EM021" in run("doctor")[1]
    assert not store.exists("control/etcd-cluster-spec")
    out = run("doctor", "--fix")[1]

    assert "fixed: wrote control/etcd-cluster-spec" in out
    assert "EM021" not in out
    assert ControlStore(store).spec() == SPEC
    assert ControlStore(store).is_created()
    assert [event.what for event in History(store).events()] == ["doctor", "doctor"]


def test_nothing_is_written_for_a_cluster_that_does_not_live(run: Run, store: LocalStore) -> None:
    for key in ("etcd-cluster-spec", "etcd-cluster-created"):
        store.delete(f"control/{key}")
    run("doctor", "--fix")

    assert not store.exists("control/etcd-cluster-spec")
    assert not store.exists("control/etcd-cluster-created")


def test_a_broken_marker_is_seen(store: LocalStore) -> None:
    store.write("control/etcd-cluster-created", b"")

    assert look_at_store(store, "main", now=now, probe=False).marker is Marker.EMPTY


# --- the node


def config(tmp_path: Path, *more: str) -> ManagerConfig:
    flags = ["--cluster-name=etcd", f"--backup-store={tmp_path}/store", f"--pki-dir={tmp_path}/pki", "--address=127.0.0.1", *more]
    return config_from(flags, environment={}, read_text=lambda _: "")


def test_a_node_without_its_volume_says_so_and_makes_nothing(tmp_path: Path) -> None:
    publication = tmp_path / "main.json"
    publication.write_text(json.dumps({"mountPoint": str(tmp_path / "mnt"), "member": "a"}))
    (tmp_path / "mnt").mkdir()
    seen = look_at_node(LocalHost(), config(tmp_path, f"--volume-file={publication}"), "main", now=now)

    assert isinstance(seen.volume, VolumeProblem)
    assert seen.volume.code == "volume-not-mounted"
    assert isinstance(seen.filesystem, Unknown)
    assert list((tmp_path / "mnt").iterdir()) == []


def test_a_node_with_data_is_looked_at_and_cas_are_found(tmp_path: Path) -> None:
    make_authorities(tmp_path / "pki")
    (tmp_path / "data").mkdir(mode=0o755)
    (tmp_path / "data" / "state").write_bytes(b"\xff\xff\xff")
    seen = look_at_node(LocalHost(), config(tmp_path, "--id=a", f"--data-dir={tmp_path}/data"), "main", now=now)

    assert seen.volume is None
    assert not isinstance(seen.filesystem, Unknown)
    assert seen.filesystem.size_bytes > 0
    assert seen.data_mode == 0o755
    assert isinstance(seen.state, str)
    assert "do not decode" in seen.state
    assert not isinstance(seen.certificates, Unknown)
    assert {one.role for one in seen.certificates} == {"ca"}


def test_a_data_directory_without_an_id_is_not_given_one(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    seen = look_at_node(LocalHost(), config(tmp_path, f"--data-dir={tmp_path}/data"), "main", now=now)

    assert isinstance(seen.volume, VolumeProblem)
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize(
    ("hosts", "stale"),
    [
        ("10.0.0.9\tb.x c.x\n", ()),
        ("10.0.0.5 b.x # moved\n", ("b.x: has 10.0.0.5, answers at 10.0.0.9",)),
        ("# 10.0.0.9 b.x\n\n", ("b.x: has nothing, answers at 10.0.0.9",)),
    ],
)
def test_a_name_that_leads_elsewhere_is_stale(hosts: str, stale: tuple[str, ...]) -> None:
    assert stale_names(hosts, {"b.x": ["10.0.0.9"], "d.x": []}) == stale


def test_a_damaged_configuration_is_no_reason_to_see_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("kind: Other\n")
    code, out, _ = run("doctor", "--config", str(tmp_path / "config.yaml"))

    assert code == ExitCode.FINDING
    assert "node.volume could not be looked at" in out


def test_fix_closes_the_data_to_others(run: Run, tmp_path: Path, store: LocalStore) -> None:
    (tmp_path / "data").mkdir(mode=0o755)
    flags = {
        "cluster-name": "etcd",
        "backup-store": str(tmp_path / "store"),
        "data-dir": str(tmp_path / "data"),
        "id": "a",
        "address": "127.0.0.1",
    }
    (tmp_path / "config.yaml").write_text(json.dumps({"apiVersion": "node-agents/v1", "kind": "EtcdManagerConfig", "flags": flags}))

    assert "EM005" in run("doctor", "--config", str(tmp_path / "config.yaml"))[1]
    assert "closed" in run("doctor", "--fix", "--config", str(tmp_path / "config.yaml"))[1]
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
