"""A systemd for a FakeHost: units that start, fail and are enabled as the real one's do, as far as nodeup asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from agents.host.protocol import CommandResult
from tests.fakes.host import FakeHost


@dataclass(slots=True)
class FakeUnit:
    """How a unit is."""

    active: str = "inactive"
    enabled: bool = False
    started: int = 0
    #: How it ends when it is started: "active", "failed", or "inactive" for a oneshot that ran well.
    becomes: str = "active"
    kind: str = "simple"
    #: Whether the unit's conditions hold; where they do not, a start does nothing and counts as good.
    condition: bool = True
    tried: int = 0
    masked: bool = False
    triggered_by: str = ""


@dataclass(slots=True)
class FakeSystemd:
    """Answers systemctl on a host; unit files are those of the host, packages' units are added by `units`."""

    host: FakeHost
    units: dict[str, FakeUnit] = field(default_factory=dict)
    reloads: int = 0

    def __post_init__(self) -> None:
        self.host.answer(("systemctl",), effect=self._run)

    def unit(self, name: str) -> FakeUnit:
        return self.units.setdefault(name, FakeUnit())

    def verbs(self) -> list[str]:
        """What it was told to do, without the questions."""
        told = [command[1:] for command in self.host.commands if command[0] == "systemctl" and command[1] not in {"show", "cat"}]
        return [" ".join(words) for words in told]

    def _run(self, argv: tuple[str, ...]) -> CommandResult:
        verb, name = argv[1], argv[-1]
        match verb:
            case "show":
                return _result(argv, stdout=self._shown(name))
            case "daemon-reload":
                self.reloads += 1
            case "restart" | "start":
                return self._start(argv, name)
            case "stop":
                self.unit(name).active = "inactive"
            case "enable" | "disable":
                self.unit(name).enabled = verb == "enable"
            case "cat":
                return _result(argv, stdout="[Service]\nExecStart=/usr/sbin/chronyd\n")
            case _:
                return _result(argv, exit_code=1, stderr=f"Unknown command verb {verb}.")
        return _result(argv)

    def _start(self, argv: tuple[str, ...], name: str) -> CommandResult:
        unit = self.unit(name)
        unit.tried += 1
        if not unit.condition:
            return _result(argv)
        unit.started += 1
        unit.active = unit.becomes
        failed = unit.becomes == "failed"
        return _result(argv, exit_code=1 if failed else 0, stderr=f"Job for {name} failed." if failed else "")

    def _shown(self, name: str) -> str:
        if name not in self.units:
            return "LoadState=not-found\nActiveState=inactive\n"
        unit = self.units[name]
        return (
            f"LoadState={'masked' if unit.masked else 'loaded'}\nTriggeredBy={unit.triggered_by}\n"
            f"ActiveState={unit.active}\nSubState=x\nType={unit.kind}\nNeedDaemonReload=no\n"
            f"Result={'exit-code' if unit.active == 'failed' else 'success'}\n"
            f"UnitFileState={'enabled' if unit.enabled else 'disabled'}\nExecMainStartTimestampMonotonic={unit.started * 1000}\n"
            f"ConditionResult={'yes' if unit.condition and unit.tried else 'no'}\nConditionTimestampMonotonic={unit.tried * 1000}\n"
        )


def _result(argv: tuple[str, ...], *, exit_code: int = 0, stdout: str = "", stderr: str = "") -> CommandResult:
    return CommandResult(argv=argv, exit_code=exit_code, stdout=stdout, stderr=stderr, duration=timedelta())
