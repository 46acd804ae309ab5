"""Restores while the leadership changes hands: done once, by whoever leads, and never again (B-03, laws R3 and R4)."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.etcdmanager.scenarios.asking import backed_up, ground, queue_restore, restored, store_path, value
from tests.support.managers import ManagerGroup, manager_group

pytestmark = pytest.mark.etcd


async def hand_over(group: ManagerGroup) -> str:
    """Have the leader stop, and start it again once another leads; return who leads then."""
    first = group.leader()
    group.managers[first].process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(group.managers[first].process.wait, 15)
    await group.until(lambda: group.leader() not in {"", first})
    group.start(first)
    return group.leader()


def test_a_restore_is_never_replayed_though_its_command_comes_back_and_the_leadership_goes_round(tmp_path: Path) -> None:
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            await group.until_written("etcd-a", b"key", b"first")
            backup = await backed_up(group, "r1")
            command = queue_restore(group, backup)
            document = store_path(group, "control", command, "_command.json")
            content = document.read_bytes()
            await restored(group, command)
            await group.until_written("etcd-b", b"key", b"written after the restore")
            before = ground(group)
            # An operator's copy of the bucket, or a store that forgets a deletion, brings the command back.
            document.write_bytes(content)
            await hand_over(group)
            await group.until(lambda: not document.exists())
            document.write_bytes(content)
            await hand_over(group)
            await group.until(lambda: not document.exists())
            await backed_up(group, "r2")
            assert ground(group) == before
            assert await value(group, "etcd-c") == b"written after the restore"
            assert len(group.control.receipts()) == 1

        asyncio.run(scenario())


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["prepare", "fence", "commit", "verify"])
def test_a_leader_that_sleeps_through_its_own_restore_changes_nothing_when_it_wakes(tmp_path: Path, phase: str) -> None:
    """It was stopped in the middle of a step for forty seconds; another finished the restore, and clients wrote since."""
    with manager_group(tmp_path, 3) as group:

        async def scenario() -> None:
            group.start_all()
            await group.until_healthy()
            await group.until_written("etcd-a", b"key", b"first")
            backup = await backed_up(group, "r1")
            await group.until_written("etcd-a", b"key", b"second")
            first = group.leader()
            other = next(name for name in group.names if name != first)
            process = group.managers[first].process
            command = queue_restore(group, backup)

            def reached() -> bool:
                progress = group.control.progress(command)
                return progress is not None and progress.phase == phase

            while not reached():  # noqa: ASYNC110  tight: the phase is over in a moment
                await asyncio.sleep(0.005)
            os.kill(process.pid, signal.SIGSTOP)
            await asyncio.sleep(40)
            assert group.leader() not in {"", first}
            done = group.control.receipt(command)
            os.kill(process.pid, signal.SIGCONT)
            if done is None:
                # It is a member, and so the restore could not go on without it before the point of no return.
                await restored(group, command, within=90)
                await group.until_healthy(within=60)
            await group.until_written(other, b"key", b"written after the restore")
            await group.until(lambda: group.managers[first].status().get("message") == f"follows {group.leader()}", within=60)
            await group.until(lambda: not any("quarantined" in str(group.managers[n].status().get("state")) for n in group.names))
            before = ground(group)
            await asyncio.sleep(5)
            assert ground(group) == before
            assert await value(group, other) == b"written after the restore"
            assert len(group.control.receipts()) == 1
            trash = [len(list((group.managers[name].data_dir / "data-trashcan").iterdir())) for name in group.names]
            assert trash == [1, 1, 1], "swapped once on each"

        asyncio.run(scenario())
