"""Everything that an operator sees a living cluster by, against one real group: watch, doctor, certs, drill, pause, history, metrics."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agents.exit_codes import ExitCode
from etcdmanager.control.history import History
from etcdmanager.control.pause import Pause, PauseFile
from etcdmanager.spec import ClusterSpec
from tests.support.etcd_binaries import CACHE
from tests.support.managers import CLUSTER, ManagerGroup, manager_group
from tests.support.members import free_ports

pytestmark = [pytest.mark.etcd, pytest.mark.slow]


def configuration(group: ManagerGroup, name: str, metrics_port: int) -> Path:
    """Write what nodeup would have written for a node's manager."""
    address = group.address(name)
    flags = {
        "cluster-name": CLUSTER,
        "backup-store": group.store_url,
        "data-dir": f"{group.directory}/data/{name}",
        "id": name,
        "address": address,
        "pki-dir": f"{group.directory}/pki-{name}",
        "client-urls": f"https://__address__:{group.client_port}",
        "peer-urls": f"https://__address__:{group.peer_port}",
        "quarantine-client-urls": f"https://__address__:{group.quarantine_port}",
        "etcd-manager-metrics-port": metrics_port,
        "binaries": [str(CACHE)],
        "status-file": f"{group.directory}/{name}.status.json",
    }
    path = group.directory / f"{name}.yaml"
    path.write_text(json.dumps({"apiVersion": "node-agents/v1", "kind": "EtcdManagerConfig", "flags": flags}))
    return path


async def etcd_manager(group: ManagerGroup, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "etcdmanager.cli", *words]
    if words[0] != "certs":
        argv += ["--backup-store", group.store_url]
    return await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, check=False)


async def metrics(port: int) -> str:
    def get() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text: str = answer.read().decode()
            return text

    return await asyncio.to_thread(get)


def test_an_operator_sees_a_living_cluster_through_every_window(tmp_path: Path) -> None:
    (port,) = free_ports(1)

    async def scenario(group: ManagerGroup) -> None:
        group.start_all()
        await group.until_written("etcd-a", b"/registry/pods/a/b", b"x")
        await group.until_written("etcd-a", b"/registry/secrets/a/b", b"x")
        config = configuration(group, "etcd-a", port)
        assert (await etcd_manager(group, "backup-now", "main")).returncode == ExitCode.OK

        watched = await etcd_manager(group, "watch", "--config", str(config), "--count", "2", "--interval", "100ms", "--json")
        assert watched.returncode == ExitCode.OK, watched.stderr
        looks = [json.loads(line) for line in watched.stdout.splitlines()]
        assert [look["toldBy"] for look in looks] == ["asked", "asked"]
        assert looks[1]["members"][0]["answeredInSeconds"] < 2
        assert looks[0]["fsyncP99Seconds"] > 0

        drilled = await etcd_manager(group, "drill", "--config", str(config), "--binaries", str(CACHE), "--json")
        assert drilled.returncode == ExitCode.OK, drilled.stderr
        found = json.loads(drilled.stdout)
        assert found["counts"] == {"/registry/pods/": 1, "/registry/secrets/": 1}
        assert found["living"] == {"atRevision": found["revision"], "counts": found["counts"]}

        certificates = await etcd_manager(group, "certs", "--config", str(config), "--json")
        assert certificates.returncode == ExitCode.OK, certificates.stdout
        assert {row["role"] for row in json.loads(certificates.stdout)["items"]} == {"ca", "manager", "etcd"}

        examined = await etcd_manager(group, "doctor", "--config", str(config), "--json")
        rules = [(item["rule"], item["evidence"]) for item in json.loads(examined.stdout)["items"]]
        assert {rule for rule, _ in rules} <= {"EM073", "EM003", "EM013"}, rules

        status = await etcd_manager(group, "status", "main", "-W", "--count", "2", "--interval", "10ms", "--json")
        assert len(status.stdout.splitlines()) == 2

        text = await metrics(port)
        assert "etcd_manager_elections_total 1.0" in text
        assert 'etcd_manager_backups_taken_total{kind="request"}' in text
        assert 'role="etcd"' in text
        events = {(event.what, event.text.split()[0]) for event in History(group.store).events()}
        assert {("leadership", "etcd-a"), ("formation", "decided"), ("formation", "formed"), ("backup-now", "backed")} <= events
        assert ("drill", found["backup"].rstrip(":") + ":") in events

    with manager_group(tmp_path, 1, extra=(f"--etcd-manager-metrics-port={port}",)) as group:
        asyncio.run(scenario(group))


def test_a_paused_leader_forms_nothing_until_the_pause_is_over(tmp_path: Path) -> None:
    async def scenario(group: ManagerGroup) -> None:
        now = datetime.now(UTC)
        file = PauseFile(group.store.child("control"))
        file.write(Pause(until=now + timedelta(hours=1), by="root@test", since=now, reason="INC-1"))
        group.start_all()
        await group.until(lambda: "decide formation" in group.waits_for("paused"))
        assert "root@test until" in group.waits_for("paused")
        assert not group.control.is_created()

        resumed = await etcd_manager(group, "resume", "main")

        assert resumed.returncode == ExitCode.OK
        await group.until_written("etcd-a", b"key", b"value")

    with manager_group(tmp_path, 1) as group:
        asyncio.run(scenario(group))


def test_doctor_writes_the_spec_again_from_the_living_cluster(tmp_path: Path) -> None:
    async def scenario(group: ManagerGroup) -> None:
        group.start_all()
        await group.until_written("etcd-a", b"key", b"value")
        await group.until(group.control.is_created)
        group.store.delete("control/etcd-cluster-spec")

        async def fixed() -> bool:
            return "wrote control/etcd-cluster-spec" in (await etcd_manager(group, "doctor", "--fix")).stdout

        for _ in range(60):
            if await fixed():
                break
        assert group.control.spec() == ClusterSpec(member_count=1, etcd_version="3.5.16")

    with manager_group(tmp_path, 1) as group:
        asyncio.run(scenario(group))
