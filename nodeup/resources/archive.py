"""Members of an archive asset, installed as files without being listed beforehand."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from agents.errors import NotFoundError, SpecError
from agents.host.protocol import FileKind, Host
from nodeup.resources.protocol import ArchiveMember, RunContext


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveMembers:
    """The regular files of an archive whose path matches `pattern`, in `directory` under their base names.

    Used where a plan is made before the archive was downloaded, so that its members are not known yet.
    """

    #: Key and URL of the archive among the assets.
    key: str
    url: str
    #: A regular expression, searched in the member's path.
    pattern: str
    directory: str
    mode: int = 0o755
    before_services: tuple[str, ...] = ()
    #: Members that are missing or differ, only set by read: "" in a plan.
    differing: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The unique name."""
        return f"archive:{self.directory}/{self.key}"

    def read(self, host: Host, context: RunContext) -> ArchiveMembers | None:
        """Return which members differ; None while the archive is not unpacked in the cache."""
        try:
            return replace(self, differing=tuple(member.path for member in self.differing_members(host, context)))
        except NotFoundError:
            return None

    def apply(self, host: Host, context: RunContext, actual: ArchiveMembers | None) -> None:
        """Install the members that differ, each atomically."""
        for member in self.differing_members(host, context):
            host.install(member.file, self.destination(member), mode=self.mode)

    def differing_members(self, host: Host, context: RunContext) -> tuple[ArchiveMember, ...]:
        """Return the members that are not installed as they should be; NotFoundError while the archive is not unpacked."""
        return tuple(member for member in self.members(context) if not self._is_installed(member, host, context))

    def members(self, context: RunContext) -> tuple[ArchiveMember, ...]:
        """Return the members that match; NotFoundError while the archive is not unpacked."""
        members = tuple(m for m in context.archive_members(self.key, self.url) if re.search(self.pattern, m.path))
        if not members:
            raise SpecError(f"no file in {self.url} matches {self.pattern!r}; the archive is not what its name says")
        return members

    def destination(self, member: ArchiveMember) -> str:
        """Return where a member is installed."""
        return f"{self.directory.rstrip('/')}/{member.path.rsplit('/', 1)[-1]}"

    def _is_installed(self, member: ArchiveMember, host: Host, context: RunContext) -> bool:
        path = self.destination(member)
        stat = host.stat(path)
        return stat is not None and stat.kind is FileKind.FILE and stat.mode == self.mode and context.digest(path) == member.sha256
