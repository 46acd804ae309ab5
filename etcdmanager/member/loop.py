"""The member's loop: look, ask `step.next_step`, do that one step, look again. Handlers change what is desired and wake it.

    handlers --desire--> state / journal on disk --look--> MemberView --next_step--> Step --do--> disk, process

It runs steps until there is nothing to do, then sleeps until something wakes it: a handler, etcd's end, or the tick. All
file work is done in threads; the event loop never waits for a disk.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar, assert_never

from agents.clock import Clock
from agents.errors import AgentError, DeadlineError, NotFoundError, SpecError
from agents.host.protocol import Host
from agents.versions import Version
from etcdmanager.member import step as steps
from etcdmanager.member.binaries import BinaryShelf, EtcdBinaries
from etcdmanager.member.certificates import CertificateShelf, EtcdAuthorities, Terms
from etcdmanager.member.command_line import EtcdCommand, EtcdSettings, TlsFiles, etcd_command, settings_digest
from etcdmanager.member.disk import DiskView, MemberDisk
from etcdmanager.member.holders import holders_of, listeners_at
from etcdmanager.member.intent import IntentFile, RestoreIntent
from etcdmanager.member.layout import Layout
from etcdmanager.member.process import GRACE, HURRY, EtcdProcess
from etcdmanager.member.state import KeptState, StateFile, StoredState
from etcdmanager.member.step import MemberView, RunningEtcd, fenced_until, next_step, restart_pause, unexplained_data
from etcdmanager.member.trash import KEEP
from etcdmanager.peering.messages import EtcdState, Hold
from etcdmanager.spec import EtcdNode, ManagerConfig

log = logging.getLogger(__name__)

_T = TypeVar("_T")

#: How often the disk is looked at although nothing happened: someone may have changed it by hand.
TICK = timedelta(seconds=5)
#: While etcd has not written its log yet: the state says so only until it has (B-18).
_SOON = timedelta(milliseconds=250)
#: While another process is on our data, or at our ports: it ends without telling us.
_BLOCKED = timedelta(seconds=1)
#: How often certificates are compared with what they should say, and the trash with what may stay.
_HOUSEKEEPING = timedelta(hours=1)
#: More steps than any path through the table has; a loop that takes more is going in circles.
_MOST_STEPS = 50
_FREE_FRACTION = 10
_FREE_MOST_BYTES = 2 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberSetup:
    """What a member is built from. `authorities` None: etcd without TLS.

    `require_ground` raises TransientError where the data directory is not the one any more that the manager began with. Then
    nothing is read from it (an empty mount point is no blank disk), nothing written, and a running etcd left alone.
    """

    config: ManagerConfig
    peer_id: str
    address: str
    data_dir: str
    host: Host
    clock: Clock
    authorities: EtcdAuthorities | None
    require_ground: Callable[[], None] = lambda: None

    @property
    def layout(self) -> Layout:
        """The paths of the data directory."""
        return Layout(self.data_dir.rstrip("/"))

    @property
    def node(self) -> EtcdNode:
        """Our own node, as the flags have it."""
        return self.config.node(peer_id=self.peer_id, address=self.address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at the disk and the process: what the step was decided on."""

    view: MemberView
    disk: DiskView


class Member:
    """One etcd member on this machine. Give it `run()` as a task; everything else may be called from handlers."""

    def __init__(self, setup: MemberSetup) -> None:
        self.setup = setup
        layout = setup.layout
        self.state_file = StateFile(setup.host, layout)
        self.intent_file = IntentFile(setup.host, layout)
        self.disk = MemberDisk(setup.host, layout)
        self.binaries = BinaryShelf(setup.host, setup.config.binaries)
        self.process = EtcdProcess(
            host=setup.host,
            clock=setup.clock,
            run_file=layout.run_file,
            log_file=setup.config.etcd_log_file or layout.log,
            on_exit=self.wake,
        )
        self.hold: Hold | None = None
        self.next_start: datetime | None = None
        #: The token that a job of ours is restoring, "" for none.
        self.preparing = ""
        self.trash_bytes = 0
        #: The data directory that went to the trash last, for the answer of CommitRestore.
        self.last_archived = ""
        self._certificates = CertificateShelf(
            setup.host,
            Terms(
                lifetime=setup.config.certificate_lifetime,
                renew_before=setup.config.certificate_renew_before,
                key_kind=setup.config.key_kind,
            ),
        )
        self._failed_until: datetime | None = None
        self._start_failures = 0
        self._woken = asyncio.Event()
        self._settled = asyncio.Condition()
        self._asked = 0
        self._answered = 0
        self._housekept: float | None = None
        #: Held while the desired state is changed, so that two handlers do not overwrite each other.
        self.desire = asyncio.Lock()

    def wake(self) -> None:
        """Have the loop look again now."""
        self._asked += 1
        self._woken.set()

    async def converge(self, *, deadline: timedelta) -> None:
        """Return when the loop has done what it can for everything desired so far; DeadlineError says what it is held by."""
        self.wake()
        asked = self._asked
        try:
            async with asyncio.timeout(deadline.total_seconds()), self._settled:
                await self._settled.wait_for(lambda: self._answered >= asked)
        except TimeoutError as error:
            held = f": {self.hold.reason}" if self.hold else ""
            raise DeadlineError(f"the member did not settle within {deadline}{held}", code="member-busy") from error

    async def run(self) -> None:
        """Adopt an etcd that is running already, then keep the member as it is desired, until cancelled. etcd is left running."""
        layout = self.setup.layout
        await asyncio.to_thread(self.setup.host.make_directory, layout.base, mode=0o700)
        self.process.adopt(self.setup.host.local_path(layout.data))
        try:
            while True:
                asked = self._asked
                self._woken.clear()
                pause = await self._settle()
                async with self._settled:
                    self._answered = asked
                    self._settled.notify_all()
                await self._housekeep()
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause.total_seconds()):
                        await self._woken.wait()
        finally:
            self.process.let_go()

    async def look(self) -> Look:
        """Return the picture that the next step is decided on."""
        running = self.process.record
        known = RunningEtcd(token=running.token, settings=running.settings) if running else None
        return await asyncio.to_thread(self._on_ground, lambda: self._look(known))

    async def stored(self) -> StoredState:
        """Return the desired state as it is on disk."""
        return await asyncio.to_thread(self._on_ground, self.state_file.read)

    async def store(self, state: EtcdState) -> None:
        """Make `state` the desired one, durably. Hold `desire`, and wake or converge afterwards."""
        await asyncio.to_thread(self._on_ground, lambda: self.state_file.write(state))

    def _on_ground(self, work: Callable[[], _T]) -> _T:
        """Return what `work` returns, if the data directory was ours before and still is: its volume may go at any moment."""
        self.setup.require_ground()
        done = work()
        self.setup.require_ground()
        return done

    async def _settle(self) -> timedelta:
        """Take steps until there is none to take; return how long to sleep."""
        last: steps.Step | None = None
        for _ in range(_MOST_STEPS):
            try:
                look = await self.look()
                last = next_step(look.view)
                pause = await self._do(last, look)
            except AgentError as error:
                self._fail(last, error)
                return min(TICK, restart_pause(self._start_failures))
            if pause is not None:
                return pause
        log.error("the member's loop goes in circles; the last step was %s", last)
        return TICK

    async def _do(self, step: steps.Step, look: Look) -> timedelta | None:  # noqa: C901  one case per kind of step
        """Do one step; return how long to sleep where there was nothing to do, None to look again."""
        if not isinstance(step, steps.Nothing | steps.Wait | steps.Refuse):
            log.info("step: %s", step)
        self.next_start = None
        match step:
            case steps.Nothing():
                self._start_failures, self._failed_until = 0, None
                self._hold(None)
                return _SOON if _is_beginning(look.view.stored) else TICK
            case steps.Wait(until):
                self.next_start = until
                return max(timedelta(0), min(TICK, until - self.setup.clock.now()))
            case steps.Refuse(hold):
                self._hold(hold)
                return _BLOCKED if look.view.held_by or look.view.port_taken_by else TICK
            case steps.Start(_):
                await self._start(look)
            case steps.Stop(_, hurry):
                await self.process.stop(grace=HURRY if hurry else GRACE)
            case steps.Archive(token):
                self.last_archived = await asyncio.to_thread(self.disk.archive, token)
            case steps.SwapIn(token):
                await asyncio.to_thread(self.disk.swap_in, token)
            case steps.DropIncoming(token):
                await asyncio.to_thread(self.disk.drop_incoming, token)
            case steps.DropIntent() | steps.FinishRestore():
                await asyncio.to_thread(self.intent_file.remove)
                self._housekept = None
            case steps.MarkStarted() | steps.ForgetArchive() | steps.AdoptRestored():
                await self._change_state(step)
            case _:
                assert_never(step)
        return None

    async def _change_state(self, step: steps.MarkStarted | steps.ForgetArchive | steps.AdoptRestored) -> None:
        async with self.desire:
            stored, intent = await self.stored(), await asyncio.to_thread(self.intent_file.read)
            match step, stored:
                case steps.MarkStarted(), KeptState(state):
                    await self.store(replace(state, new_cluster=False, joining=False, restored=False))
                case steps.ForgetArchive(), KeptState(state):
                    await self.store(replace(state, archive_token=""))
                case steps.AdoptRestored(), _ if intent is not None:
                    await self.store(EtcdState(cluster=intent.cluster, etcd_version=intent.etcd_version, quarantined=True, restored=True))
                case _:
                    # A handler was faster; the next look sees what it wanted.
                    return

    async def _start(self, look: Look) -> None:
        stored = look.view.stored
        if not isinstance(stored, KeptState) or stored.state.cluster is None:
            return
        state, token = stored.state, stored.state.cluster.token
        binaries, command = await asyncio.to_thread(self._command, state)
        self.process.start(
            binaries.etcd,
            command.environment,
            token=token,
            version=str(binaries.version),
            settings=command.settings,
            quarantined=state.quarantined,
        )
        self._start_failures = 0
        self._failed_until = None

    def _look(self, running: RunningEtcd | None) -> Look:
        stored = self.state_file.read()
        intent: RestoreIntent | None = None
        intent_problem = ""
        try:
            intent = self.intent_file.read()
        except SpecError as error:
            intent_problem = str(error)
        disk = self.disk.view()
        settings, problem = self._wanted(stored)
        held_by, port_taken_by = self._in_the_way(stored, disk) if self.process.record is None else ("", "")
        view = MemberView(
            now=self.setup.clock.now(),
            name=self.setup.peer_id,
            stored=stored,
            intent=intent,
            intent_problem=intent_problem,
            preparing=self.preparing,
            data_tokens=disk.data,
            logged_tokens=disk.logged,
            incoming_tokens=disk.incoming,
            unfinished_tokens=disk.unfinished,
            trash=disk.trash,
            process=running,
            wanted_settings=settings,
            binary_problem=problem,
            not_before=self._not_before(stored, intent),
            held_by=held_by,
            port_taken_by=port_taken_by,
        )
        return Look(view=view, disk=disk)

    def _in_the_way(self, stored: StoredState, disk: DiskView) -> tuple[str, str]:
        """Return which other process is on our data, and which listens where our etcd would; "" for none."""
        held = holders_of(self.setup.host.local_path(self.setup.layout.data)) if disk.data else ()
        return str(next(iter(held), "")), str(next(iter(listeners_at(self._listen_urls(stored))), ""))

    def _listen_urls(self, stored: StoredState) -> tuple[str, ...]:
        """Return at which URLs our etcd would listen; none where it would not be started."""
        if not isinstance(stored, KeptState) or stored.state.cluster is None:
            return ()
        try:
            settings = self._settings(stored.state, Version.parse(stored.state.etcd_version), None)
            environment = etcd_command(settings, self.setup.config.etcd_environment).environment
        except SpecError:
            return ()
        lists = (environment[name] for name in ("ETCD_LISTEN_PEER_URLS", "ETCD_LISTEN_CLIENT_URLS"))
        return tuple(url for urls in lists for url in urls.split(","))

    def _wanted(self, stored: StoredState) -> tuple[str, str]:
        if not isinstance(stored, KeptState) or stored.state.cluster is None:
            return "", ""
        try:
            digest = settings_digest(self._settings(stored.state, Version.parse(stored.state.etcd_version), None))
            self.binaries.find(stored.state.etcd_version)
        except NotFoundError as error:
            return digest, str(error)
        except SpecError as error:
            return "", str(error)
        return digest, ""

    def _not_before(self, stored: StoredState, intent: RestoreIntent | None) -> datetime | None:
        ended = self.process.last_exit_at
        pause = restart_pause(self.process.failures)
        after_exit = ended + pause if ended is not None and pause else None
        fenced = fenced_until(stored, intent, ended=ended)
        return max((moment for moment in (after_exit, self._failed_until, fenced) if moment is not None), default=None)

    def _command(self, state: EtcdState) -> tuple[EtcdBinaries, EtcdCommand]:
        binaries = self.binaries.find(state.etcd_version)
        self.disk.prepare_data()
        settings = self._settings(state, binaries.version, self._ensure_certificates(state))
        return binaries, etcd_command(settings, self.setup.config.etcd_environment)

    def _ensure_certificates(self, state: EtcdState) -> tuple[TlsFiles, TlsFiles] | None:
        authorities, cluster = self.setup.authorities, state.cluster
        if authorities is None or cluster is None:
            return None
        return self._certificates.etcd(
            self.setup.layout,
            cluster.token,
            self._node(state),
            address=self.setup.address,
            authorities=authorities,
            now=self.setup.clock.now(),
        )

    def _settings(self, state: EtcdState, version: Version, tls: tuple[TlsFiles, TlsFiles] | None) -> EtcdSettings:
        setup, token = self.setup, state.cluster.token if state.cluster else ""
        pki = setup.layout.pki_of(token) if token else ""
        if tls is None and setup.authorities is not None:
            # Only whether there is TLS goes into the digest.
            tls = (
                TlsFiles(trusted=f"{pki}/peers/ca.crt", certificate=f"{pki}/peers/me.crt", key=f"{pki}/peers/me.key"),
                TlsFiles(trusted=f"{pki}/clients/ca.crt", certificate=f"{pki}/clients/server.crt", key=f"{pki}/clients/server.key"),
            )
        local = setup.host.local_path
        files = [TlsFiles(trusted=local(side.trusted), certificate=local(side.certificate), key=local(side.key)) for side in tls or ()]
        return EtcdSettings(
            name=setup.peer_id,
            node=self._node(state),
            state=state,
            version=version,
            data_dir=local(setup.layout.data_of(token)),
            listen_host=setup.config.etcd_address,
            metrics_urls=setup.config.metrics_urls(peer_id=setup.peer_id, address=setup.address),
            peer_tls=files[0] if files else None,
            client_tls=files[1] if files else None,
        )

    def _node(self, state: EtcdState) -> EtcdNode:
        """Return our node as etcd is to run it: peer URLs as the cluster knows them, client URLs as the flags have them."""
        recorded = state.cluster.node(self.setup.peer_id) if state.cluster else None
        ours = self.setup.node
        return replace(ours, peer_urls=recorded.peer_urls) if recorded is not None else ours

    def _hold(self, hold: Hold | None) -> None:
        if hold != self.hold:
            if hold is not None:
                log.error("holding by %s: %s; %s", hold.code, hold.reason, hold.hint)
            elif self.hold is not None:
                log.info("no longer held by %s", self.hold.code)
        self.hold = hold

    def _fail(self, step: steps.Step | None, error: AgentError) -> None:
        self._start_failures += 1
        pause = restart_pause(self._start_failures + 1)
        self._failed_until = self.setup.clock.now() + pause
        self._hold(Hold(code=error.code, reason=f"{type(step).__name__}: {error}", hint=error.hint))

    async def _housekeep(self) -> None:
        if self._housekept is not None and time.monotonic() - self._housekept < _HOUSEKEEPING.total_seconds():
            return
        self._housekept = time.monotonic()
        try:
            await asyncio.to_thread(self._on_ground, self._housekeep_now)
        except AgentError as error:
            log.warning("housekeeping did not work: %s", error)

    def _housekeep_now(self) -> None:
        stored = self.state_file.read()
        if self.process.record is not None and isinstance(stored, KeptState):
            # etcd reads its certificates at every handshake: renewed ones need no restart.
            self._ensure_certificates(stored.state)
        report = self.disk.report()
        if self.intent_file.read() is None and not unexplained_data(self._look(None).view):
            wanted = min(report.total_bytes // _FREE_FRACTION, _FREE_MOST_BYTES)
            self.disk.collect_trash(keep=KEEP, free_bytes_wanted=wanted)
        self.trash_bytes = sum(entry.size_bytes for entry in self.disk.trash_entries())


def _is_beginning(stored: StoredState) -> bool:
    """Return whether the state still says what holds only until the first start has worked."""
    state = stored.state if isinstance(stored, KeptState) else EtcdState()
    return state.cluster is not None and (state.new_cluster or state.joining or state.restored)
