"""`control/_drill.json`: how the last restore exercise went. The backup's own manifest says it, too; here it is found with one read.

The Go programs never look there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from agents.errors import NotFoundError, SpecError
from agents.stores.protocol import Store
from etcdmanager.protojson import int64, parse_object, render_object, time_text

DRILL = "_drill.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """One exercise: a backup restored into an etcd that nobody reaches, and looked at."""

    at: datetime
    backup: str
    by: str
    #: Why the backup was not good; "" where it was.
    problem: str = ""
    took_seconds: float = 0.0
    revision: int = 0
    keys: int = 0


class DrillFile:
    """The last exercise of one etcd cluster. Methods block, as a Store does."""

    def __init__(self, control: Store) -> None:
        """`control` is the control store's own Store."""
        self._control = control

    def read(self) -> Drill | None:
        """Return the last exercise; None where there was none. SpecError for a document that does not parse."""
        try:
            content = self._control.read(DRILL)
        except NotFoundError:
            return None
        where = f"{self._control.url}/{DRILL}"
        fields = parse_object(content, where=where)
        at = fields.time("at")
        if at is None:
            raise SpecError(f"{where} does not say when")
        return Drill(
            at=at,
            backup=fields.text("backup"),
            by=fields.text("by"),
            problem=fields.text("problem"),
            took_seconds=fields.number("tookSeconds"),
            revision=fields.integer("revision"),
            keys=fields.integer("keys"),
        )

    def write(self, drill: Drill) -> None:
        """Replace it."""
        members: list[tuple[str, object]] = [
            ("at", time_text(drill.at)),
            ("backup", drill.backup),
            ("by", drill.by),
            ("problem", drill.problem),
            ("tookSeconds", round(drill.took_seconds, 3)),
            ("revision", int64(drill.revision)),
            ("keys", drill.keys),
        ]
        self._control.write(DRILL, render_object(members))
