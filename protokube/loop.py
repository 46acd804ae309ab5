"""The running protokube: one task for each volume, one for /etc/hosts, one that tells. It decides nothing.

TaskGroup ─┬─ volume main     look, decide, do; each in a thread of its own, so that a long fsck holds up nobody
├─ volume events
├─ hosts           our block in /etc/hosts
└─ telling         status file, `systemctl status`, readiness
"""

from __future__ import annotations

import asyncio
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from agents.clock import SystemClock
from agents.daemon import Daemon, run_daemon
from agents.errors import AgentError
from agents.exit_codes import ExitCode
from agents.host.local import LocalHost
from agents.host.protocol import Host
from agents.status import Status, write_status
from protokube.certificates import Expiry, expiries
from protokube.claim import Claim
from protokube.hosts import keep_hosts
from protokube.spec import ProtokubeConfig
from protokube.telling import AGENT, describe
from protokube.volumes.execute import Executor
from protokube.volumes.keeper import Keeper

log = logging.getLogger(__name__)

#: Units that are ordered after us wait for our readiness; a long fsck or a missing disk must not hold up the boot.
READY_DEADLINE = timedelta(seconds=30)
#: Someone else's edit of /etc/hosts is undone within that time.
HOSTS_INTERVAL = timedelta(seconds=10)
#: The status file's age is how readers see that we live.
STATUS_INTERVAL = timedelta(seconds=15)
_TELL_INTERVAL = timedelta(milliseconds=500)
CERTIFICATES_INTERVAL = timedelta(hours=1)


def run_protokube(config: ProtokubeConfig) -> ExitCode:
    """Run protokube until it is told to stop."""
    return run_daemon(lambda daemon: Protokube(config, LocalHost()).run(daemon), name=AGENT)


class Protokube:
    """The parts of one protokube."""

    def __init__(self, config: ProtokubeConfig, host: Host) -> None:
        self._config, self._host = config, host
        self._clock = SystemClock()
        environment = {**os.environ, **config.environment}
        self._keepers = tuple(
            Keeper(host, wanted, Executor(host=host, wanted=wanted, environment=environment), self._clock) for wanted in config.volumes
        )
        self._unsettled = set(self._keepers)
        self._hosts_trouble = ""
        self._certificates: tuple[Expiry, ...] = ()

    async def run(self, daemon: Daemon) -> None:
        """Keep everything until `daemon.stopping`; volumes stay mounted and published, so that etcd goes on without us."""
        claim = await asyncio.to_thread(Claim, self._host)
        threads = ThreadPoolExecutor(max_workers=len(self._keepers) + 2, thread_name_prefix="protokube")
        asyncio.get_running_loop().set_default_executor(threads)
        try:
            async with asyncio.TaskGroup() as tasks:
                for keeper in self._keepers:
                    tasks.create_task(self._keep_volume(keeper, daemon))
                tasks.create_task(self._keep_hosts(daemon))
                tasks.create_task(self._watch_certificates(daemon))
                tasks.create_task(self._tell(daemon))
        finally:
            self._write(self._status(stopping=True))
            claim.release()

    async def _keep_volume(self, keeper: Keeper, daemon: Daemon) -> None:
        while not daemon.stopping.is_set():
            pause = await asyncio.to_thread(keeper.turn)
            if keeper.last.is_settled:
                self._unsettled.discard(keeper)
            if pause:
                await daemon.pause(pause)

    async def _keep_hosts(self, daemon: Daemon) -> None:
        while not daemon.stopping.is_set():
            try:
                await asyncio.to_thread(keep_hosts, self._host, self._config.hosts)
                self._hosts_trouble = ""
            except AgentError as error:
                if not self._hosts_trouble:
                    log.warning("/etc/hosts: %s", error)
                self._hosts_trouble = f"/etc/hosts: {error}"
            await daemon.pause(HOSTS_INTERVAL)

    async def _watch_certificates(self, daemon: Daemon) -> None:
        while not await daemon.pause(timedelta(minutes=1) if not self._certificates else CERTIFICATES_INTERVAL):
            self._certificates = await asyncio.to_thread(expiries, self._host)

    async def _tell(self, daemon: Daemon) -> None:
        """Write the status when it changes, and now and then; say that we are ready once every volume had its chance."""
        shown: Status | None = None
        ready = False
        started = written = self._clock.now()
        while not daemon.stopping.is_set():
            now = self._clock.now()
            status = self._status()
            if shown is None or _differ(shown, status) or now - written > STATUS_INTERVAL:
                self._write(status)
                daemon.status(status.message)
                shown, written = status, now
            if not ready and (not self._unsettled or now - started > READY_DEADLINE):
                daemon.ready()
                ready = True
            await daemon.pause(_TELL_INTERVAL if ready else _TELL_INTERVAL / 10)

    def _status(self, *, stopping: bool = False) -> Status:
        troubles = (self._hosts_trouble,) if self._hosts_trouble else ()
        turns = [keeper.last for keeper in self._keepers]
        return describe(turns, now=self._now(), certificates=self._certificates, troubles=troubles, stopping=stopping)

    def _write(self, status: Status) -> None:
        try:
            write_status(self._host, status)
        except AgentError as error:
            log.warning("the status cannot be written: %s", error)

    def _now(self) -> datetime:
        return self._clock.now()


def _differ(one: Status, other: Status) -> bool:
    return (one.state, one.message, one.waiting, one.details) != (other.state, other.message, other.waiting, other.details)
