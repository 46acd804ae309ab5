from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agents.errors import TransientError
from agents.exit_codes import ExitCode
from agents.stores.local import LocalStore
from agents.stores.protocol import Store
from agents.timestamps import format_timestamp
from etcdmanager.cli import main_with
from etcdmanager.commands.nearest import nearest_report
from etcdmanager.commands.target import Target
from etcdmanager.control.store import ControlStore
from etcdmanager.spec import ClusterSpec
from tests.etcdmanager.doctor.test_rules import cluster
from tests.fakes.store_faults import Fault, FaultyStore

Run = Callable[..., tuple[int, str, str]]


def status(at: datetime, told_by: str) -> dict[str, object]:
    details = {"cluster": cluster(), "member": {"id": told_by}}
    return {
        "apiVersion": "node-agents/v1",
        "kind": "Status",
        "updated": format_timestamp(at),
        "message": "",
        "waiting": [],
        "details": details,
    }


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    found = LocalStore(tmp_path / "store")
    ControlStore(found).write_spec(ClusterSpec(member_count=3, etcd_version="3.5.16"))
    found.write("control/_status.json", json.dumps(status(datetime.now(UTC) - timedelta(seconds=50), "from-the-store")).encode())
    return found


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A control-plane node's manager that leads, by its files."""
    (tmp_path / "status.json").write_text(json.dumps(status(datetime.now(UTC), "from-here")))
    flags = {"cluster-name": "etcd", "backup-store": str(tmp_path / "store"), "status-file": str(tmp_path / "status.json")}
    path = tmp_path / "node.yaml"
    path.write_text(json.dumps({"apiVersion": "node-agents/v1", "kind": "EtcdManagerConfig", "flags": flags}))
    return path


def target(store: Store) -> Target:
    return Target(cluster="c", etcd="main", store=store)


def test_the_local_leader_s_word_is_younger_than_the_store_s(store: LocalStore, node: Path) -> None:
    assert nearest_report(target(store)).told_by == "from-the-store"
    assert nearest_report(target(store), config_path=str(node)).told_by == "from-here"


def test_with_the_store_away_the_local_leader_s_word_is_enough(store: LocalStore, node: Path) -> None:
    away = FaultyStore(store, Fault(times=99))

    assert nearest_report(target(away), config_path=str(node)).told_by == "from-here"
    with pytest.raises(TransientError):
        nearest_report(target(away))


def test_a_node_of_another_cluster_says_nothing_about_this_one(store: LocalStore, node: Path, tmp_path: Path) -> None:
    other = LocalStore(tmp_path / "other")
    other.write("control/_status.json", store.read("control/_status.json"))

    assert nearest_report(target(other), config_path=str(node)).told_by == "from-the-store"


def test_far_from_the_cluster_watch_shows_what_the_store_has(store: LocalStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["watch", "--backup-store", str(tmp_path / "store"), "--count", "2", "--interval", "1ms"]

    assert main_with([*words, "--json"]) == ExitCode.OK
    looks = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [look["toldBy"] for look in looks] == ["from-the-store"] * 2
    assert main_with(words) == ExitCode.OK
    assert "told by from-the-store" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--interval", "0s"], ["--count", "-1"]])
def test_looking_without_a_pause_is_a_usage_error(store: LocalStore, tmp_path: Path, words: list[str]) -> None:
    assert main_with(["watch", "--backup-store", str(tmp_path / "store"), *words]) == ExitCode.USAGE
