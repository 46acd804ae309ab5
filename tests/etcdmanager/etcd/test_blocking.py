from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from agents.errors import SpecError
from etcdmanager.etcd.blocking import blocking_client
from tests.support.etcd_binaries import versions_present
from tests.support.etcd_server import RunningEtcd, free_port, running_etcd


@pytest.fixture(scope="module", params=versions_present() or ("default",))
def etcd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEtcd]:
    with running_etcd(tmp_path_factory.mktemp("etcd"), version=request.param) as running:
        yield running


@pytest.mark.etcd
def test_etcd3_works_on_our_messages(etcd: RunningEtcd) -> None:
    with blocking_client(etcd.url) as client:
        lease = client.lease(60)
        client.put("k/a", "1", lease=lease)
        client.put("k/b", "2")
        assert [(meta.key, value) for value, meta in client.get_prefix("k/")] == [(b"k/a", b"1"), (b"k/b", b"2")]
        won, _ = client.transaction(
            compare=[client.transactions.value("k/b") == "2"],
            success=[client.transactions.put("k/b", "3")],
            failure=[],
        )
        assert won
        assert client.get("k/b")[0] == b"3"
        assert client.status().version == etcd.binaries.name
        assert [member.name for member in client.members] == ["one"]
        assert list(client.list_alarms()) == []
        lease.revoke()
        assert client.get("k/a")[0] is None


@pytest.mark.etcd
def test_etcd3_s_lock_works_on_our_messages(etcd: RunningEtcd) -> None:
    with blocking_client(etcd.url) as client, client.lock("lock", ttl=10) as lock:
        assert lock.is_acquired()


@pytest.mark.etcd
def test_a_call_to_nobody_ends_by_itself() -> None:
    from etcd3.exceptions import Etcd3Exception

    with blocking_client(f"http://127.0.0.1:{free_port()}", deadline=timedelta(seconds=1)) as client, pytest.raises(Etcd3Exception):
        client.get("k")


def test_an_endpoint_without_a_port_is_refused() -> None:
    with pytest.raises(SpecError):
        blocking_client("https://host")
