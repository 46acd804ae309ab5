"""What every resource has: an id, what it depends on by name, and read / apply.

The engine (`nodeup.engine`) compares `read()` with the desired value field by field, applies, and reads again: an
exit status is never believed. Ordering is not decided here: every rule of it is in `nodeup.engine.graph`.
"""

from __future__ import annotations

from typing import Protocol, Self, runtime_checkable

from agents.host.protocol import Host


class Outputs(Protocol):
    """What resources that ran before have produced, and where assets lie; handed to read and apply by the engine."""

    def output(self, producer: str, name: str) -> bytes:
        """Return an output of a resource; NotFoundError while that has not run."""
        ...

    def asset_file(self, key: str, path: str) -> str:
        """Return the machine's path of a verified asset (or archive member) in the cache; NotFoundError while it is not there."""
        ...


@runtime_checkable
class Resource(Protocol):
    """One thing of the machine. Implementations are frozen dataclasses, equal when all their fields are."""

    @property
    def id(self) -> str:
        """The unique name, "<kind>:<name>", e.g. "file:/etc/hosts" or "unit:kubelet.service"."""
        ...

    def read(self, host: Host, outputs: Outputs) -> Self | None:
        """Return how it is now, in the desired type with fields of no concern copied from self; None where it does not exist. Changes nothing."""
        ...

    def apply(self, host: Host, outputs: Outputs, actual: Self | None) -> None:
        """Make it so, knowing how it was; safe to run again after a crash at any point."""
        ...
