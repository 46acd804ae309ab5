"""A systemd unit: its text, whether it is enabled, whether it runs, and with which inputs it was started.

Restart is state, not an event: the desired state holds the paths of the inputs, the actual state the digest of what
they were at the last successful start. A crash between "wrote the config" and "restarted" heals itself on the next run.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from agents.errors import DeadlineError, NotFoundError, TransientError
from agents.host.protocol import Host
from nodeup.resources.protocol import STATE_DIRECTORY, RunContext
from nodeup.resources.readiness import ACTIVE_DEADLINE, READY_DEADLINE, endpoint_of
from nodeup.resources.systemctl import STARTED, last_words, query, show, systemctl

log = logging.getLogger(__name__)

#: Where the stamps of successful starts are.
STAMPS = f"{STATE_DIRECTORY}/units"
#: States of an enabled unit file, or of one that cannot be enabled because it has no [Install] section.
_ENABLED = frozenset({"enabled", "enabled-runtime", "static", "alias", "indirect", "generated", "linked"})
_SUFFIXES = ("service", "socket", "timer", "mount", "path", "slice", "target", "device", "swap", "scope", "automount")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A unit; None in a field means that it is not our concern."""

    #: With suffix, "kubelet.service"; kops leaves it off for chrony.
    name: str
    #: The unit file's text; None for a unit that a package brings.
    definition: str | None = None
    enabled: bool | None = None
    running: bool | None = None
    #: Files whose change makes a restart necessary, besides the unit file itself, its EnvironmentFile= and the programs of ExecStart=.
    restart_on: tuple[str, ...] = ()
    #: kops' fields, kept for the conformance dump: whether run state is managed at all, and whether unneeded restarts are avoided.
    manage_state: bool | None = None
    smart_restart: bool | None = None
    #: Why a running unit must be restarted; only read sets it, and a plan always wants "".
    stale: str = ""
    #: That a running unit was started and not seen to answer since; only read sets it, and a plan always wants "".
    unready: str = ""

    @property
    def id(self) -> str:
        """The unique name."""
        return f"unit:{self.name}"

    @property
    def full_name(self) -> str:
        """The name as systemd has it: kops' "chrony" is chrony.service."""
        return self.name if self.name.rsplit(".", 1)[-1] in _SUFFIXES else f"{self.name}.service"

    @property
    def is_instance(self) -> bool:
        """Whether it is an instance of a template, and has no file of its own."""
        return self.definition is None and "@" in self.name and not self.name.split("@", 1)[1].startswith(".")

    @property
    def is_managed(self) -> bool:
        """Whether enabling, starting and stopping are our concern."""
        return self.manage_state is not False

    def path(self, context: RunContext) -> str:
        """Return the path of the unit file that we write."""
        return f"{context.distribution.unit_directory}/{self.full_name}"

    def inputs(self, definition: str, path: str) -> tuple[str, ...]:
        """Return the sorted paths whose bytes a running process depends on."""
        return tuple(sorted({path, *self.restart_on, *_paths_in(definition)}))

    def read(self, host: Host, context: RunContext) -> Unit | None:
        """Return the unit as systemd sees it; None where there is no such unit.

        A package's unit that was masked is returned as wanted: that was somebody's decision. On a host without commands
        (a directory), only the unit file is there to be seen, and it counts as neither enabled nor running.
        """
        definition = _text(host, self.path(context))
        shown = show(host, self.full_name)
        if definition is None and (shown is None or shown.get("LoadState") in {"not-found", "", None}):
            return None
        if self.definition is None and (shown or {}).get("LoadState") == "masked":
            log.warning("%s is masked: someone decided that it must not run here, so it is left alone", self.full_name)
            return self
        running = _is_running(shown or {})
        managed_state = self.is_managed and self.running is not None
        return replace(
            self,
            definition=None if self.definition is None else (definition or ""),
            enabled=_is_enabled(shown or {}) if self.is_managed and self.enabled is not None else self.enabled,
            running=running if managed_state else self.running,
            unready="it was started, and not seen to answer since" if managed_state and running and context.is_pending(self.id) else "",
            stale=self._staleness(host, context, shown or {}) if managed_state and self.running and running else "",
        )

    def apply(self, host: Host, context: RunContext, actual: Unit | None) -> None:
        """Write the unit file, enable, and start, restart or stop; a start that systemd does not report as good is a TransientError."""
        if self.definition is not None and (actual is None or actual.definition != self.definition):
            host.write(self.path(context), self.definition.encode(), mode=0o644)
            systemctl(host, "daemon-reload")
        elif (show(host, self.full_name) or {}).get("NeedDaemonReload") == "yes":
            systemctl(host, "daemon-reload")
        if not self.is_managed:
            return
        if self.enabled is not None and (actual is None or actual.enabled != self.enabled):
            systemctl(host, "enable" if self.enabled else "disable", self.full_name)
        self._set_running(host, context, actual)

    def _set_running(self, host: Host, context: RunContext, actual: Unit | None) -> None:
        was_running = actual is not None and bool(actual.running)
        if self.running is False and was_running:
            systemctl(host, "stop", self.full_name)
        elif self.running:
            changed = actual is None or (self.definition is not None and actual.definition != self.definition)
            if changed or not was_running or (actual is not None and actual.stale):
                self._start(host, context)
            elif actual is not None and actual.unready:
                self._await_answer(host, context)

    def _start(self, host: Host, context: RunContext) -> None:
        """Restart, wait until it runs, stamp what it was started with, and wait until it answers.

        The digest is taken before the start: an input that changes meanwhile makes the stamp old, never wrongly new. A crash
        before it answered leaves a mark: the next run goes on waiting, and does not start it again.
        """
        digests = self._digests(host, context)
        answers = endpoint_of(self.full_name, host) is not None
        if answers:
            context.begin(self.id, "a start that was not seen to work yet")
        systemctl(host, "restart", self.full_name)
        self._await_running(host, context)
        stamp = json.dumps({"unit": self.full_name, "inputs": digests}, indent=1, sort_keys=True) + "\n"
        host.write(f"{STAMPS}/{self.full_name}.json", stamp.encode(), mode=0o600)
        if answers:
            self._await_answer(host, context)

    def _await_running(self, host: Host, context: RunContext) -> None:
        def complaint() -> str:
            shown = show(host, self.full_name) or {}
            state = f"{shown.get('ActiveState')}/{shown.get('SubState')}, result {shown.get('Result')}"
            if not _is_running(shown) and shown.get("ActiveState") != "activating":
                raise self._not_started(state, host)
            return "" if _is_running(shown) else state

        reason = f"{self.full_name} to become active"
        state = context.wait(complaint, reason=reason, hint=self._journal_hint, limit=ACTIVE_DEADLINE)
        if state:
            raise self._not_started(state, host)

    def _not_started(self, state: str, host: Host) -> TransientError:
        words = _quoted(last_words(host, self.full_name))
        return TransientError(f"{self.full_name} was started and is {state}, expected active{words}", hint=self._journal_hint)

    def _await_answer(self, host: Host, context: RunContext) -> None:
        """Wait until the unit answers where its configuration says; DeadlineError with the end of its journal when it does not."""
        endpoint = endpoint_of(self.full_name, host)
        if endpoint is not None:

            def complaint() -> str:
                said = context.probe(endpoint)
                if said and (show(host, self.full_name) or {}).get("ActiveState") == "failed":
                    raise self._not_started("failed", host)
                return said

            said = context.wait(complaint, reason=f"{self.full_name} to answer", hint=self._journal_hint, limit=READY_DEADLINE)
            if said:
                words = _quoted(last_words(host, self.full_name))
                seconds = int(READY_DEADLINE.total_seconds())
                raise DeadlineError(
                    f"{self.full_name} runs and does not answer after {seconds} s: {said}{words}", code="not-ready", hint=self._journal_hint
                )
        context.end(self.id)

    @property
    def _journal_hint(self) -> str:
        return f"journalctl -u {self.full_name} -n 50"

    def _digests(self, host: Host, context: RunContext) -> dict[str, str]:
        path = self.path(context)
        definition = _text(host, path)
        if definition is None:
            shown = query(host, "cat", self.full_name)
            definition = shown or ""
        digests = {}
        for name in self.inputs(definition, path):
            try:
                digests[name] = context.digest(name)
            except NotFoundError:
                digests[name] = "absent"
        digests["definition"] = hashlib.sha256(definition.encode()).hexdigest()
        return digests

    def _staleness(self, host: Host, context: RunContext, shown: Mapping[str, str]) -> str:
        """Return why it runs with old inputs, or ""; a unit that its package started, and of which we know no inputs, is current."""
        ran_once = shown.get("Type") == "oneshot" and shown.get("ActiveState") != "active"
        kind = "was run" if ran_once else "was started"
        stamp = _text(host, f"{STAMPS}/{self.full_name}.json")
        if stamp is None:
            ours = self.definition is not None or bool(self.restart_on)
            return f"it is not known with which inputs it {kind}" if ours else ""
        try:
            then = json.loads(stamp)["inputs"]
        except (ValueError, KeyError, TypeError):
            return f"the record of its last start, {STAMPS}/{self.full_name}.json, is damaged"
        now = self._digests(host, context)
        changed = sorted(name for name in now.keys() | then.keys() if now.get(name) != then.get(name))
        return f"changed since it {kind}: {', '.join(changed)}" if changed else ""


def _quoted(lines: tuple[str, ...]) -> str:
    """Return a journal's last lines as a part of a message."""
    return f"; it said last: {' | '.join(lines)}" if lines else ""


def _paths_in(definition: str) -> set[str]:
    """Return the paths of EnvironmentFile= and the programs of ExecStart= of a unit file's text."""
    paths = set()
    for line in definition.replace("\\\n", " ").splitlines():
        key, _, value = line.partition("=")
        words = value.split()
        if key.strip() in {"EnvironmentFile", "ExecStart"} and words:
            # "-" means optional; @ : + ! are systemd's other prefixes of ExecStart.
            path = words[0].lstrip("-@:+!").strip('"')
            if path.startswith("/") and not set("*?[%$") & set(path):
                paths.add(path)
    return paths


def _is_running(shown: Mapping[str, str]) -> bool:
    """Whether a unit is up, or as far up as starting it can bring it.

    A oneshot without RemainAfterExit is when it ran well since boot; what a timer starts is, run or not. A unit whose condition
    did not hold when it was started is: whoever makes the condition true starts it then (protokube does, once an etcd volume is mounted).
    """
    if shown.get("ActiveState") in {"active", "reloading"} or _awaits_condition(shown):
        return True
    if shown.get("ActiveState") != "inactive" or shown.get("Result") != "success":
        return False
    ran = shown.get("Type") == "oneshot" and shown.get(STARTED, "0") not in {"0", ""}
    return ran or ".timer" in shown.get("TriggeredBy", "")


def _awaits_condition(shown: Mapping[str, str]) -> bool:
    looked = shown.get("ConditionTimestampMonotonic", "0") not in {"0", ""}
    return shown.get("ActiveState") == "inactive" and shown.get("ConditionResult") == "no" and looked


def _is_enabled(shown: Mapping[str, str]) -> bool:
    return shown.get("UnitFileState") in _ENABLED


def _text(host: Host, path: str) -> str | None:
    try:
        return host.read(path).decode(errors="replace")
    except NotFoundError:
        return None
