"""A member whose volume goes away: it tells nothing about the empty mount point, writes nothing there, and leaves its etcd alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from agents.errors import TransientError
from etcdmanager.identity import DataDirectoryLock
from etcdmanager.member.handlers import MemberHandlers
from etcdmanager.member.leadership import Leadership
from etcdmanager.member.local_etcd import LocalEtcd
from etcdmanager.member.loop import Member
from etcdmanager.peering import messages as m
from etcdmanager.spec import ClusterSpec
from tests.support.members import CLUSTER, HEADER, LEADER, VERSION, make_world

pytestmark = pytest.mark.etcd
BACKUP = m.TakeBackupRequest(
    storage="memory://x", info=m.BackupInfo(cluster_spec=ClusterSpec(member_count=1, etcd_version=VERSION)), reason="request"
)


def vanish(place: Path) -> None:
    """Do to a directory what an unmount does: something empty takes its place."""
    place.rename(place.with_name("away"))
    place.mkdir()


def come_back(place: Path) -> None:
    assert list(place.iterdir()) == [], "nothing was written meanwhile"
    place.rmdir()
    place.with_name("away").rename(place)


def test_the_mount_point_of_a_vanished_volume_is_neither_read_nor_written(tmp_path: Path) -> None:
    world = make_world(tmp_path)
    setup = world.setup("etcd-a", "127.0.0.1")
    place = Path(setup.data_dir)
    held = DataDirectoryLock(setup.host, setup.data_dir)
    setup = replace(setup, require_ground=held.require)
    leadership = Leadership(setup.host, setup.layout, cluster_name=CLUSTER)
    member = Member(setup)
    handlers = MemberHandlers(member, leadership=leadership, local_etcd=LocalEtcd(world.client_tls("etcd-a")))
    view = m.View(leader=LEADER, leadership_token="token", healthy=(LEADER,), epoch=1)
    prepare = m.JoinRequest(phase=m.JoinPhase.PREPARE, cluster_token="T1", nodes=(setup.node,), etcd_version=VERSION)
    restore = m.PrepareRestoreRequest(
        storage="memory://x", backup_name="b", cluster_token="T2", nodes=(setup.node,), etcd_version=VERSION, bump_revision=1,
        mark_compacted=True,
    )  # fmt: skip

    async def asked() -> list[object]:
        questions: tuple[Awaitable[object], ...] = (
            handlers.notify_leadership(replace(view, epoch=2), caller=None, healthy=()),
            handlers.info(),
            handlers.describe(),
            handlers.join(prepare, HEADER, caller=None),
            handlers.stop_etcd(HEADER, caller=None),
            handlers.take_backup(BACKUP, HEADER, caller=None, report=lambda _: None),
            handlers.prepare_restore(restore, HEADER, caller=None, report=lambda _: None),
        )
        return list(await asyncio.gather(*questions, return_exceptions=True))

    async def scenario() -> None:
        await handlers.notify_leadership(view, caller=None, healthy=())
        loop = asyncio.create_task(member.run())
        await member.converge(deadline=timedelta(seconds=10))
        vanish(place)

        answers = await asked()
        await member.converge(deadline=timedelta(seconds=10))

        assert [type(answer) for answer in answers] == [TransientError] * len(answers)
        assert member.hold is not None
        assert member.hold.code == "volume-not-mounted"
        come_back(place)
        assert (await handlers.info()).disk_empty
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)

    asyncio.run(scenario())
    held.release()
