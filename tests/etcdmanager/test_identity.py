"""Who a manager is, and that it never takes the empty mount point of a volume that is away for a blank disk."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from agents.errors import BusyError, NotFoundError, RefusedError, TransientError
from agents.host.local import LocalHost
from agents.host.protocol import Host
from etcdmanager.identity import DataDirectoryLock, Identity, identify
from etcdmanager.spec import ManagerConfig
from tests.fakes.host import FakeHost

FILE = "/run/node-agents/volumes/main.json"
PLACE = "/mnt/master-main"
MARKER = f"{PLACE}/.etcd-volume.json"
PUBLISHED = {"clusterName": "c", "etcdCluster": "main", "member": "main-0", "mountPoint": PLACE}
MARKED = {"formatVersion": 1, "clusterName": "c", "etcdCluster": "main", "memberName": "main-0", "volumeId": "u"}
CONFIG = ManagerConfig(cluster_name="etcd", backup_store="memory://x", volume_file=FILE, address="10.0.0.1")


def host(*, marked: dict[str, object] | None = MARKED, published: dict[str, str] | None = PUBLISHED) -> Host:
    files = {FILE: published, MARKER: marked}
    return FakeHost({path: json.dumps(document).encode() for path, document in files.items() if document is not None})


def test_a_published_and_marked_volume_says_who_we_are() -> None:
    assert identify(CONFIG, host()) == Identity(peer_id="main-0", address="10.0.0.1", data_dir=PLACE)


def test_a_volume_that_is_not_published_is_not_there() -> None:
    with pytest.raises(NotFoundError):
        identify(CONFIG, host(published=None))


def test_a_published_volume_that_is_not_mounted_is_waited_for_and_nothing_is_written_in_its_place() -> None:
    machine = host(marked=None)
    with pytest.raises(TransientError, match="there is no volume"):
        identify(CONFIG, machine)
    assert machine.stat(PLACE) is None


@pytest.mark.parametrize("other", [{"clusterName": "x"}, {"etcdCluster": "events"}, {"memberName": "main-1"}])
def test_another_volume_in_its_place_is_refused(other: dict[str, str]) -> None:
    with pytest.raises(RefusedError, match="is not the volume"):
        identify(CONFIG, host(marked=MARKED | other))


def test_without_a_volume_the_id_is_made_once(tmp_path: Path) -> None:
    config = replace(CONFIG, volume_file="", data_dir=str(tmp_path))
    assert identify(config, LocalHost()).peer_id == identify(config, LocalHost()).peer_id != ""


def test_a_second_manager_on_one_directory_is_refused(tmp_path: Path) -> None:
    held = DataDirectoryLock(LocalHost(), str(tmp_path))
    with pytest.raises(BusyError):
        DataDirectoryLock(LocalHost(), str(tmp_path))
    held.release()
    DataDirectoryLock(LocalHost(), str(tmp_path)).release()


def test_a_directory_that_was_emptied_or_replaced_is_not_ours_any_more(tmp_path: Path) -> None:
    place = tmp_path / "data"
    held = DataDirectoryLock(LocalHost(), str(place))
    held.require()

    place.rename(tmp_path / "away")
    place.mkdir()
    with pytest.raises(TransientError, match="volume unmounted"):
        held.require()
    (place / "manager.lock").touch()
    with pytest.raises(TransientError, match="volume unmounted"):
        held.require()

    shutil.rmtree(place)
    (tmp_path / "away").rename(place)
    held.require()
    held.release()
