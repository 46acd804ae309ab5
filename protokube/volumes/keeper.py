"""One volume's keeper: look, decide, do, look again. It holds what is remembered between two looks, and nothing else decides here."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from agents.clock import Clock
from agents.errors import AgentError
from agents.host.protocol import Host
from agents.timestamps import format_timestamp
from protokube.spec import WantedVolume
from protokube.volumes.execute import Executor
from protokube.volumes.memory import Memory
from protokube.volumes.observe import look
from protokube.volumes.phase import Check, Format, Phase, Publish, Refuse, Rest, Step, Unpublish, Wait, next_step, phase_of
from protokube.volumes.view import VolumeView

log = logging.getLogger(__name__)

#: While something may appear at any moment.
_WAITING = timedelta(seconds=1)
#: Once all is well: how long a vanished mount stays published at most.
_RESTING = timedelta(seconds=5)
#: After a refusal or an error.
_TROUBLED = timedelta(seconds=5)
#: The same step so often in a row did not do what it should.
_FUTILE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """How one volume is after one look; what `status` shows."""

    wanted: WantedVolume
    phase: Phase
    step: Step
    since: datetime
    view: VolumeView | None = None
    #: How the last look or step failed, or "".
    error: str = ""
    hint: str = ""

    @property
    def is_settled(self) -> bool:
        """Whether nothing more can be done now."""
        return bool(self.error) or isinstance(self.step, Rest | Wait | Refuse)


class Keeper:
    """Keeps one volume."""

    def __init__(self, host: Host, wanted: WantedVolume, executor: Executor, clock: Clock) -> None:
        self._host, self._wanted, self._executor, self._clock = host, wanted, executor, clock
        self._memory = Memory(since=clock.now())
        self._phase = Phase.WANTED
        self._last: Turn | None = None
        self._repeated = 0

    @property
    def last(self) -> Turn:
        """The latest turn; before the first one, that it is wanted."""
        return self._last or Turn(wanted=self._wanted, phase=Phase.WANTED, step=Rest(), since=self._memory.since)

    def turn(self) -> timedelta:
        """Look and do one step; return after what pause to do it again. Blocks as long as the step takes."""
        try:
            view = self._look()
            step = next_step(view)
            self._tell(step)
            self._count(step)
            if isinstance(step, Rest | Wait | Refuse):
                self._last = Turn(wanted=view.wanted, phase=self._phase, step=step, since=self._memory.since, view=view)
                return _RESTING if isinstance(step, Rest) else _WAITING if isinstance(step, Wait) else _TROUBLED
            # Shown while it is done: an fsck may take half an hour.
            self._last = Turn(wanted=view.wanted, phase=self._phase, step=step, since=self._memory.since, view=view)
            self._memory = self._executor.execute(step, self._memory, self._clock.now())
        except AgentError as error:
            return self._failed(error)
        if self._repeated >= _FUTILE:
            said = f"{type(step).__name__} was done {self._repeated} times and changed nothing"
            self._last = replace(self._last, error=said)
            log.error("volume %s: %s", self._wanted.etcd_cluster, said)
            return _TROUBLED
        return timedelta()

    def _look(self) -> VolumeView:
        now = self._clock.now()
        view, self._memory = look(self._host, self._wanted, self._memory, now)
        phase = phase_of(view)
        if phase is not self._phase:
            log.info("volume %s is %s", self._wanted.etcd_cluster, phase.value)
            self._phase, self._memory = phase, replace(self._memory, since=now)
            view = replace(view, since=now)
        return view

    def _count(self, step: Step) -> None:
        same = self._last is not None and not self._last.is_settled and self._last.step == step
        self._repeated = self._repeated + 1 if same else 1

    def _tell(self, step: Step) -> None:
        """Log a decision when it changes."""
        if self._last is not None and self._last.step == step and not self._last.error:
            return
        name = self._wanted.etcd_cluster
        match step:
            case Refuse(code=code, reason=reason, hint=hint):
                log.error("volume %s is refused by rule %s: %s; %s", name, code, reason, hint)
            case Unpublish(reason=reason):
                log.error("volume %s is not usable any more: %s", name, reason)
            case Wait(reason=reason, until=until, hint=hint):
                log.info("volume %s: waiting for %s, until %s; %s", name, reason, format_timestamp(until), hint)
            case Format(device=device):
                log.info("volume %s: formatting blank %s", name, device.path)
            case Check(device=device):
                log.info("volume %s: checking %s", name, device.path)
            case Publish(publication=publication):
                log.info("volume %s: publishing %s for member %s", name, publication.mount_point, publication.member)
            case _:
                log.debug("volume %s: decided %s", name, step)

    def _failed(self, error: AgentError) -> timedelta:
        if self.last.error != str(error):
            log.warning("volume %s: %s%s", self._wanted.etcd_cluster, error, f" ({error.hint})" if error.hint else "")
        self._last = replace(self.last, phase=self._phase, since=self._memory.since, error=str(error), hint=error.hint)
        return _TROUBLED
