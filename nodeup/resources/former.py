"""Things as they formerly were: a path with what was kept of it, or with nothing; a unit that is not wanted any more.

The engine makes them, never a planner: from what we own and no longer plan, and for `nodeup rollback`. What somebody else
wrote meanwhile is never removed: it stays, and only what is ours goes.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from agents.errors import NotFoundError, VerificationError
from agents.host.protocol import FileKind, FileStat, Host
from nodeup.resources.file import run_on_change
from nodeup.resources.protocol import STATE_DIRECTORY, RunContext
from nodeup.resources.systemctl import show, systemctl
from nodeup.resources.unit import STAMPS

log = logging.getLogger(__name__)

#: Contents that are kept, each under its SHA-256, 0600 whatever they are of.
VERSIONS = f"{STATE_DIRECTORY}/versions"
_RESTING = frozenset({"inactive", "failed", "", None})


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """What stood at a path: a file with the bytes of this digest, or a symlink to `target`."""

    sha256: str = ""
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"
    #: None for a file.
    target: str | None = None

    @property
    def signature(self) -> str:
        """What `signature_at` says of it."""
        return self.sha256 if self.target is None else link_signature(self.target)


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerFile:
    """A path as it was: with this version of a file or symlink, or with nothing."""

    path: str
    #: None: nothing is to stand there.
    version: Version | None = None
    #: Signatures of what is ours there; anything else stays. Empty: whatever stands there may go.
    ours: tuple[str, ...] = ()
    #: Completes "because" in a plan.
    reason: str = "no longer wanted"
    on_change: tuple[tuple[str, ...], ...] = ()
    #: Whether what is put back is a thing of ours; of no concern where nothing is.
    owned: bool = True
    #: What is not as it was; only read sets it.
    found: str = ""

    @property
    def id(self) -> str:
        """The unique name."""
        return f"former:{self.path}"

    def read(self, host: Host, context: RunContext) -> FormerFile | None:
        """Return it with what has to change; somebody else's file, and a directory, are as they should be."""
        stat = host.stat(self.path)
        found = self._deviation(stat, host, context)
        if not found and self.on_change and context.is_pending(self.id):
            found = "the commands after its change did not end"
        return replace(self, found=found)

    def apply(self, host: Host, context: RunContext, actual: FormerFile | None) -> None:
        """Remove it, or put back what was kept, then run its commands; VerificationError where that was damaged meanwhile."""
        if self.on_change:
            context.begin(self.id, f"{len(self.on_change)} command(s) after a change of {self.path}")
        stat = host.stat(self.path)
        if self._deviation(stat, host, context):
            self._put_back(stat, host)
        run_on_change(self.on_change, self.path, host)
        if self.on_change:
            context.end(self.id)

    def _deviation(self, stat: FileStat | None, host: Host, context: RunContext) -> str:
        signature = signature_of(stat, self.path, context) if stat is not None else None
        if stat is None:
            return "" if self.version is None else "it is gone"
        if signature is None:
            return ""
        if self.ours and signature not in self.ours:
            return ""
        if self.version is None:
            return self.reason
        if signature != self.version.signature:
            return f"content {signature[:12]}… → {self.version.signature[:12]}…"
        has = (stat.mode, stat.owner, stat.group)
        wants = (self.version.mode, self.version.owner, self.version.group)
        return "" if self.version.target is not None or has == wants else "its mode or owner differs"

    def _put_back(self, stat: FileStat | None, host: Host) -> None:
        if self.version is None:
            host.remove(self.path)
        elif self.version.target is not None:
            if stat is not None and stat.kind is not FileKind.SYMLINK:
                host.remove(self.path)
            host.symlink(self.path, self.version.target)
        else:
            version = self.version
            kept = kept_file(host, version)
            host.install(kept, self.path, mode=version.mode, owner=version.owner, group=version.group)


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerUnit:
    """A unit that is not ours any more: stopped, disabled, and its file gone or as the machine had it before."""

    #: With suffix.
    name: str
    #: Where the unit file that we wrote lies; "" for an instance of a template.
    path: str = ""
    #: What stood at `path` before our file; with one, the unit itself is left to run as it does.
    version: Version | None = None
    #: Signatures of unit files that we wrote.
    ours: tuple[str, ...] = ()
    reason: str = "no longer wanted"
    #: What is left of it; only read sets it.
    found: str = ""

    @property
    def id(self) -> str:
        """The unique name."""
        return f"former-unit:{self.name}"

    def read(self, host: Host, context: RunContext) -> FormerUnit | None:
        """Return it with what is left to do; a unit file that somebody changed is theirs, and so is the unit."""
        file = self._file(host, context)
        if self._is_theirs(host, context):
            return self
        shown = show(host, self.name) or {}
        left = [file.found] if file is not None and file.found else []
        if self.version is None:
            left += ["it runs"] if shown.get("ActiveState") not in _RESTING else []
            left += ["it is enabled"] if _can_be_disabled(shown) else []
        if context.is_pending(self.id):
            left.append("an interrupted run still has to tell systemd")
        return replace(self, found=", ".join(left))

    def apply(self, host: Host, context: RunContext, actual: FormerUnit | None) -> None:
        """Stop, disable, remove or put back the file, and have systemd forget what it knew; a directory has only the file."""
        context.begin(self.id, f"the removal of {self.name}")
        shown = show(host, self.name)
        if shown is not None and self.version is None:
            if shown.get("ActiveState") not in _RESTING:
                systemctl(host, "stop", self.name)
            if _can_be_disabled(shown):
                systemctl(host, "disable", self.name)
        file = self._file(host, context)
        if file is not None and file.found:
            file.apply(host, context, file)
        if shown is not None:
            systemctl(host, "daemon-reload")
        host.remove(f"{STAMPS}/{self.name}.json")
        context.end(self.id)

    def _file(self, host: Host, context: RunContext) -> FormerFile | None:
        if not self.path:
            return None
        return FormerFile(path=self.path, version=self.version, ours=self.ours, reason="its file is there").read(host, context)

    def _is_theirs(self, host: Host, context: RunContext) -> bool:
        found = signature_at(self.path, host, context) if self.path else None
        known = {*self.ours, *((self.version.signature,) if self.version else ())}
        return found is not None and bool(self.ours) and found not in known


def signature_at(path: str, host: Host, context: RunContext) -> str | None:
    """Return the digest of the file at a path, or what stands for a symlink's target; None for nothing, and for a directory."""
    stat = host.stat(path)
    return None if stat is None else signature_of(stat, path, context)


def signature_of(stat: FileStat, path: str, context: RunContext) -> str | None:
    """Return what `signature_at` does, of a path that was looked at."""
    match stat.kind:
        case FileKind.SYMLINK:
            return link_signature(stat.target or "")
        case FileKind.FILE:
            try:
                return context.digest(path)
            except NotFoundError:
                return None
        case _:
            return None


def link_signature(target: str) -> str:
    """Return what stands for a symlink to `target` among digests."""
    return f"link:{target}"


def kept_file(host: Host, version: Version) -> str:
    """Return the machine's path of a kept content; VerificationError where it is damaged, NotFoundError where it was pruned."""
    path = f"{VERSIONS}/{version.sha256}"
    hasher = hashlib.sha256()
    for piece in host.read_chunks(path):
        hasher.update(piece)
    if hasher.hexdigest() != version.sha256:
        raise VerificationError(f"{path} holds other bytes than were kept there; it is not put back", code="kept-version-damaged")
    return path


def _can_be_disabled(shown: Mapping[str, str]) -> bool:
    """Whether there is an enablement to take away; static units, and those of generators, have none."""
    return shown.get("UnitFileState") in {"enabled", "enabled-runtime"}
