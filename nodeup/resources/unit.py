"""A systemd unit: its text, whether it is enabled, whether it runs, and with which inputs it was started.

Restart is state, not an event: the desired state holds the paths of the inputs, the actual state the digest of what
they were at the last successful start. A crash between "wrote the config" and "restarted" heals itself on the next run.
"""

from __future__ import annotations

from dataclasses import dataclass


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

    @property
    def id(self) -> str:
        """The unique name."""
        return f"unit:{self.name}"
