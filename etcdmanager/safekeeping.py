"""How backups outlive their store: the spool of this machine, and the second store; wired from the configuration. It decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path

from agents.stores.url import open_store
from etcdmanager.backups.retention import Retention
from etcdmanager.backups.second_store import SecondStore
from etcdmanager.backups.second_store_keeper import CopyNews, SecondStoreKeeper
from etcdmanager.backups.spool import Spool
from etcdmanager.backups.spool_keeper import SpoolKeeper, SpoolNews, SpoolWork
from etcdmanager.backups.store import BackupStore
from etcdmanager.member.handlers import MemberHandlers
from etcdmanager.member.loop import MemberSetup

#: As a directory for the spool: none is wanted.
_NO_SPOOL = "none"


class Safekeeping:
    """Both keepers of one manager. `leading` says whether we lead at this moment."""

    def __init__(self, setup: MemberSetup, backups: BackupStore, handlers: MemberHandlers, *, leading: Callable[[], bool]) -> None:
        self._setup = setup
        self._backups = backups
        self._handlers = handlers
        self._spool = self._spool_keeper()
        self._second = SecondStoreKeeper(
            url=setup.config.backup_copy_store, open_second=self._open_second, leading=leading, clock=setup.clock
        )

    def loops(self) -> list[Coroutine[None, None, None]]:
        """Return what is to be run until cancelled."""
        loops = [self._spool.run()] if self.spool.directory else []
        return [*loops, self._second.run()] if self.copies.url else loops

    @property
    def spool(self) -> SpoolNews:
        """What waits on this machine."""
        return self._spool.news

    @property
    def copies(self) -> CopyNews:
        """How the second store is."""
        return self._second.news

    def _spool_keeper(self) -> SpoolKeeper:
        setup, config, handlers = self._setup, self._setup.config, self._handlers
        # A directory that was given may be given to the managers of several etcd clusters, and in tests to several members.
        given = f"{config.backup_spool.rstrip('/')}/{config.cluster_name}/{setup.peer_id}" if config.backup_spool else setup.layout.spool
        directory = setup.host.local_path(given)
        work = SpoolWork(
            take=handlers.jobs.spool_backup,
            db_size=self._db_size,
            uploads=lambda: handlers.jobs.uploads,
            require_ground=setup.require_ground,
        )
        return SpoolKeeper(
            Spool(Path(directory), keys=self._backups.keys),
            self._backups,
            work,
            directory="" if config.backup_spool == _NO_SPOOL else directory,
            interval=config.backup_interval,
            clock=setup.clock,
        )

    async def _db_size(self) -> int | None:
        etcd = (await self._handlers.describe()).etcd
        return etcd.db_size_bytes if etcd is not None and etcd.leader_id else None

    def _open_second(self) -> SecondStore:
        config = self._setup.config
        keep = Retention(
            hourly=config.hourly_retention if config.copy_hourly_retention is None else config.copy_hourly_retention,
            daily=config.daily_retention if config.copy_daily_retention is None else config.copy_daily_retention,
        )
        store = open_store(config.backup_copy_store, environment=config.copy_environment)
        return SecondStore(self._backups, BackupStore(store, keys=self._backups.keys), etcd_cluster=config.cluster_name, keep=keep)
