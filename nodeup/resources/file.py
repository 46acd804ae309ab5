"""A regular file, a directory or a symlink at a path of the machine."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import timedelta

from agents.errors import NotFoundError, RefusedError, SpecError, TransientError
from agents.host.protocol import FileKind, FileStat, Host
from nodeup.resources.content import Content, Found, FromAsset, FromResource, Literal, SecretLiteral
from nodeup.resources.protocol import RunContext

#: kops' default; also what tar, git and editors make with the usual umask.
DEFAULT_FILE_MODE = 0o644
DEFAULT_DIRECTORY_MODE = 0o755
#: `sysctl --system`, `systemctl daemon-reload` and the like end in a second; a hung one must not hold the node for ever.
ON_CHANGE_DEADLINE = timedelta(minutes=2)
#: Larger files are no text that anybody reads in a diff.
SHOWN_SIZE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A regular file with these bytes, mode and owners."""

    path: str
    content: Content | Found
    #: Permission bits; None: 0644 when it is made, and never corrected.
    mode: int | None = None
    owner: str | None = None
    group: str | None = None
    #: Only made where nothing stands; an existing file is left as it is (log files).
    only_if_absent: bool = False
    #: argv lists run, in order, after the file changed; the change counts as done when all have exited with 0.
    on_change: tuple[tuple[str, ...], ...] = ()
    #: The services that must not start before this file is there; empty means all of them. Only these wait.
    before_services: tuple[str, ...] = ()
    after_files: tuple[str, ...] = ()
    #: Whether it waits for all packages (a package would bring its own version of the file).
    after_packages: bool = False

    @property
    def id(self) -> str:
        """The unique name."""
        return f"file:{self.path}"

    def read(self, host: Host, context: RunContext) -> File | None:
        """Return the file as it is; `on_change` is empty where an earlier run wrote the file but did not end its commands.

        A symlink counts as absent: apply puts a regular file in its place and leaves its target alone. A directory is a SpecError.
        """
        stat = host.stat(self.path)
        if stat is None:
            return None
        if self.only_if_absent:
            return self
        refuse_users_symlink(host, self.path, self.owner)
        if stat.kind is FileKind.SYMLINK:
            return None
        if stat.kind is not FileKind.FILE:
            raise SpecError(f"{self.path} is a {stat.kind.value}, expected a file; move it away")
        return replace(
            self,
            content=_found_content(self, stat, host, context),
            mode=None if self.mode is None else stat.mode,
            owner=None if self.owner is None else stat.owner,
            group=None if self.group is None else stat.group,
            on_change=() if self.on_change and context.is_pending(self.id) else self.on_change,
        )

    def apply(self, host: Host, context: RunContext, actual: File | None) -> None:
        """Write what differs, then run the commands; these are recorded first, so that they are never forgotten."""
        if self.on_change:
            context.begin(self.id, f"{len(self.on_change)} command(s) after a change of {self.path}")
        if actual is None or actual.content != self.content:
            self._write(host, context)
        else:
            host.set_attributes(self.path, mode=self.mode, owner=self.owner, group=self.group)
        run_on_change(self.on_change, self.path, host)
        if self.on_change:
            context.end(self.id)

    def _write(self, host: Host, context: RunContext) -> None:
        refuse_users_symlink(host, self.path, self.owner)
        mode = DEFAULT_FILE_MODE if self.mode is None else self.mode
        if isinstance(self.content, FromAsset):
            source = context.asset_file(self.content.key, self.content.path)
            host.install(source, self.path, mode=mode, owner=self.owner, group=self.group)
        else:
            host.write(self.path, content_bytes(self.content, context), mode=mode, owner=self.owner, group=self.group)


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """A directory with this mode and owners; what is in it is of no concern."""

    path: str
    mode: int | None = None
    owner: str | None = None
    group: str | None = None
    on_change: tuple[tuple[str, ...], ...] = ()
    before_services: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The unique name."""
        return f"directory:{self.path}"

    def read(self, host: Host, context: RunContext) -> Directory | None:
        """Return the directory as it is, following a symlink to one (/lib on merged-/usr systems)."""
        path = self.path.rstrip("/") or "/"
        stat = host.stat(path)
        if stat is None:
            return None
        if stat.kind is FileKind.SYMLINK:
            refuse_users_symlink(host, f"{path}/", self.owner)
            return self
        if stat.kind is not FileKind.DIRECTORY:
            raise SpecError(f"{path} is a {stat.kind.value}, expected a directory; move it away")
        return replace(
            self,
            mode=None if self.mode is None else stat.mode,
            owner=None if self.owner is None else stat.owner,
            group=None if self.group is None else stat.group,
            on_change=() if self.on_change and context.is_pending(self.id) else self.on_change,
        )

    def apply(self, host: Host, context: RunContext, actual: Directory | None) -> None:
        """Make it with its parents, or correct its mode and owners; then run the commands."""
        path = self.path.rstrip("/") or "/"
        if self.on_change:
            context.begin(self.id, f"{len(self.on_change)} command(s) after a change of {path}")
        if actual is None:
            mode = DEFAULT_DIRECTORY_MODE if self.mode is None else self.mode
            host.make_directory(path, mode=mode, owner=self.owner, group=self.group)
        else:
            host.set_attributes(path, mode=self.mode, owner=self.owner, group=self.group)
        run_on_change(self.on_change, path, host)
        if self.on_change:
            context.end(self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Symlink:
    """A symlink to `target`."""

    path: str
    target: str

    @property
    def id(self) -> str:
        """The unique name."""
        return f"symlink:{self.path}"

    def read(self, host: Host, context: RunContext) -> Symlink | None:
        """Return the symlink with its present target; SpecError where something else stands."""
        stat = host.stat(self.path)
        if stat is None:
            return None
        if stat.target is None:
            raise SpecError(f"{self.path} is a {stat.kind.value}, expected a symlink to {self.target}; move it away")
        return replace(self, target=stat.target)

    def apply(self, host: Host, context: RunContext, actual: Symlink | None) -> None:
        """Make or replace the symlink in one step."""
        host.symlink(self.path, self.target)


def refuse_users_symlink(host: Host, path: str, owner: str | None) -> None:
    """RefusedError where the way to what shall belong to a user goes through a symlink that is not root's.

    A user who may write ~/.kube could else have root make a file of the user's own in /etc/cron.d.
    """
    if owner in {None, "root", "0"}:
        return
    parts = path.split("/")
    for end in range(2, len(parts)):
        parent = "/".join(parts[:end])
        stat = host.stat(parent)
        if stat is not None and stat.kind is FileKind.SYMLINK and stat.owner not in {"root", "0"}:
            raise RefusedError(
                f"{parent} is a symlink of {stat.owner} to {stat.target}, and {path} is not written through it",
                code="users-symlink",
                hint=f"remove it (rm {parent}); nodeup then makes the directory",
            )


def content_bytes(content: Content | Found, context: RunContext) -> bytes:
    """Return the bytes of a content that is no asset; NotFoundError while the resource that makes them has not run."""
    match content:
        case Literal(given):
            return given
        case SecretLiteral(secret):
            return secret.reveal()
        case FromResource(producer, output):
            return context.output(producer, output)
        case FromAsset() | Found():
            raise NotFoundError(f"the bytes of {content!r} are not held in memory")


def run_on_change(commands: tuple[tuple[str, ...], ...], path: str, host: Host) -> None:
    """Run the commands in order; TransientError with the output of the first that fails."""
    for argv in commands:
        result = host.run(argv, timeout=ON_CHANGE_DEADLINE)
        if not result.ok:
            said = (result.stderr or result.stdout).strip()[-2000:]
            raise TransientError(f"`{' '.join(argv)}`, run because {path} changed, exited with {result.exit_code}: {said}")


def _found_content(desired: File, stat: FileStat, host: Host, context: RunContext) -> Content | Found:
    """Return the desired content where the file has its bytes, else what was found."""
    if isinstance(desired.content, FromAsset):
        found = context.digest(desired.path)
        wanted = context.asset_digest(desired.content.key, desired.content.path)
        return desired.content if found == wanted else Found(found, stat.size_bytes)
    actual = host.read(desired.path)
    try:
        if content_bytes(desired.content, context) == actual:
            return desired.content
    except NotFoundError:
        pass  # it will be known once its producer has run; until then it differs
    secret = isinstance(desired.content, SecretLiteral) or (isinstance(desired.content, FromResource) and desired.content.is_secret)
    shown = None if secret or len(actual) > SHOWN_SIZE_BYTES else actual
    return Found(hashlib.sha256(actual).hexdigest(), len(actual), shown)
