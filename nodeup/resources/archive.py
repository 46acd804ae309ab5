"""Members of an archive asset, installed as files without being listed beforehand."""

from __future__ import annotations

from dataclasses import dataclass


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

    @property
    def id(self) -> str:
        """The unique name."""
        return f"archive:{self.directory}/{self.key}"
