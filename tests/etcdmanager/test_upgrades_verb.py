"""`etcd-manager upgrade` against real managers and etcds."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from agents.exit_codes import ExitCode
from etcdmanager.cli import main_with
from tests.support.etcd_binaries import etcd_binaries
from tests.support.managers import ManagerGroup, manager_group

pytestmark = [pytest.mark.etcd, pytest.mark.slow]


async def told(group: ManagerGroup, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = await asyncio.to_thread(main_with, [*words, "--backup-store", group.store_url])
    found = capsys.readouterr()
    return int(code), found.out, found.err


async def until_published(group: ManagerGroup) -> None:
    """Wait until the leader has told of three members that serve."""
    for _ in range(200):
        try:
            document = json.loads(group.store.child("control").read("_status.json"))
        except Exception:  # noqa: BLE001  not there yet
            document = {}
        members = (document.get("details", {}).get("cluster") or {}).get("members", [])
        if sum(1 for row in members if row.get("serves")) == len(group.names):
            return
        await asyncio.sleep(0.2)
    raise AssertionError(group.logs())


def test_upgrade_plans_asks_for_a_name_upgrades_follows_and_goes_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    etcd_binaries("3.5.16")
    with manager_group(tmp_path, 3, version="3.5.1") as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            await until_published(group)

            code, out, _ = await told(group, capsys, "upgrade", "--to", "3.5.16", "--plan")
            assert code == ExitCode.OK
            assert out.count("3.5.1 ") >= 3
            assert "Nothing has been changed." in out
            with capsys.disabled():
                print(out)

            code, out, _ = await told(group, capsys, "upgrade", "--to", "3.4.23", "--plan", "--json")
            assert code == ExitCode.REFUSED
            assert json.loads(out)["blocked"]["code"] == "downgrade-needs-restore"

            code, out, _ = await told(group, capsys, "upgrade", "--to", "3.6.12", "--plan", "--json")
            assert code == ExitCode.OK
            blocked = json.loads(out)["blocked"]
            assert blocked is not None

            code, _, _ = await told(group, capsys, "upgrade", "--to", "3.5.16", "--yes", "--cluster", "another")
            assert code == ExitCode.REFUSED

            for version in ("3.5.16", "3.5.1"):
                code, out, err = await told(group, capsys, "upgrade", "--to", version, "--yes", "--cluster", "store", "--timeout", "90s")
                assert code == ExitCode.OK, err
                assert out == f"all 3 members run etcd {version}\n"
                for name in group.names:
                    async with group.client(name) as client:
                        assert (await client.status()).version == version

        asyncio.run(scenario())
