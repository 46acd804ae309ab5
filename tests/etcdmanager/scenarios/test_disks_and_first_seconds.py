"""Disks that a power cut left half written, deaths in the first second of a life, and trash that piles up (B-16, B-18, B-29)."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from tests.etcdmanager.scenarios.asking import backed_up, cluster_id, queue_restore, restored, value
from tests.support.managers import manager_group

pytestmark = pytest.mark.etcd


@pytest.mark.parametrize("left", [0, pytest.param(20, marks=pytest.mark.slow)])
def test_a_member_whose_state_was_cut_off_is_neither_started_anew_nor_replaced_and_comes_back_with_the_state_before(
    tmp_path: Path, left: int
) -> None:
    """Go takes it for an idle peer without data."""
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            await group.until_written("etcd-a", b"key", b"value")
            before = {m.name: m.id for m in await group.members("etcd-a")}
            hurt = next(name for name in group.names if name != group.leader())
            other = next(name for name in group.names if name != hurt)
            group.kill(hurt, etcd=True)
            state = group.managers[hurt].data_dir / "state"
            state.write_bytes(state.read_bytes()[:left])
            group.start(hurt)
            await group.until(lambda: "EM-M" in group.managers[hurt].log(), within=20)
            await group.until(lambda: group.waits_for("S1-damaged-state") != "" or group.waits_for("EM-M0-state-damaged") != "", within=30)
            await group.until_written(other, b"key", b"by the others")
            assert {m.name: m.id for m in await group.members(other)} == before
            group.kill(hurt)
            shutil.copy(state.with_name("state.previous"), state)
            group.start(hurt)
            await group.until_healthy(within=60)
            assert {m.name: m.id for m in await group.members(hurt)} == before
            assert await value(group, hurt) == b"by the others"

        asyncio.run(scenario())


@pytest.mark.parametrize("after", [0.0, 0.15, pytest.param(0.6, marks=pytest.mark.slow)])
def test_a_cluster_that_is_killed_in_its_first_second_is_formed_all_the_same(tmp_path: Path, after: float) -> None:
    """Go clears new-cluster as soon as etcd was spawned; one that died before its first log entry never comes up again."""
    with manager_group(tmp_path, 1) as group:

        async def scenario() -> None:
            group.start("etcd-a")
            run_file = group.managers["etcd-a"].data_dir / "etcd.run.json"
            while not run_file.exists():  # noqa: ASYNC110  tight: it is about milliseconds
                await asyncio.sleep(0.002)
            await asyncio.sleep(after)
            group.kill("etcd-a", etcd=True)
            group.start("etcd-a")
            await group.until_written("etcd-a", b"key", b"value")
            await group.until(group.control.is_created)

        asyncio.run(scenario())


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.0, 0.3])
def test_three_that_are_killed_in_their_first_second_form_one_cluster_all_the_same(tmp_path: Path, after: float) -> None:
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            group.start_all()
            while not any(group.managers[name].etcd_pid() for name in group.names):  # noqa: ASYNC110
                await asyncio.sleep(0.002)
            await asyncio.sleep(after)
            for name in group.names:
                group.kill(name, etcd=True)
            group.start_all()
            await group.until_healthy(within=60)
            assert len({await cluster_id(group, name) for name in group.names}) == 1

        asyncio.run(scenario())


@pytest.mark.slow
def test_the_trash_of_many_restores_is_bounded_and_the_last_replaced_data_is_in_it(tmp_path: Path) -> None:
    with manager_group(tmp_path, 1) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_written("etcd-a", b"key", b"first")
            backup = await backed_up(group, "r1")
            base = group.managers["etcd-a"].data_dir
            replaced = []
            for _ in range(6):
                replaced.append(next(path.name for path in (base / "data").iterdir() if not path.name.startswith(".")))
                await restored(group, queue_restore(group, backup))
                await group.until_written("etcd-a", b"key", b"later")
            await group.until(lambda: len(list((base / "data-trashcan").iterdir())) <= 3, within=90)
            assert replaced[-1] in {path.name for path in (base / "data-trashcan").iterdir()}
            assert len(list((base / "data").iterdir())) == 1
            print("certificates of", len(list((base / "pki").iterdir())), "incarnations")
            assert len(list((base / "pki").iterdir())) <= 4, "one for what serves, and one for each in the trash"

        asyncio.run(scenario())
