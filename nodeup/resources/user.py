"""A system user with a fixed uid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from agents.errors import NotFoundError, TransientError
from agents.host.protocol import Host
from nodeup.resources.protocol import RunContext

#: useradd waits for /etc/.pwd.lock for some seconds by itself.
DEADLINE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user; the home directory is recorded, not made."""

    name: str
    uid: int
    shell: str
    home: str = ""

    @property
    def id(self) -> str:
        """The unique name."""
        return f"user:{self.name}"

    def read(self, host: Host, context: RunContext) -> User | None:
        """Return the user as /etc/passwd has it."""
        try:
            text = host.read("/etc/passwd").decode(errors="replace")
        except NotFoundError:
            return None
        for line in text.splitlines():
            fields = line.split(":")
            if len(fields) == 7 and fields[0] == self.name:
                return replace(self, uid=int(fields[2]), shell=fields[6], home=fields[5] if self.home else "")
        return None

    def apply(self, host: Host, context: RunContext, actual: User | None) -> None:
        """Add the user, or change what differs."""
        program = "useradd" if actual is None else "usermod"
        argv = [
            program,
            "--uid",
            str(self.uid),
            "--shell",
            self.shell,
            *(["--home-dir" if actual is None else "--home", self.home] if self.home else []),
        ]
        result = host.run([*argv, self.name], timeout=DEADLINE)
        if not result.ok:
            raise TransientError(f"{program} {self.name} exited with {result.exit_code}: {result.stderr.strip()}")
