"""Bind mounts of distributions with read-only or noexec roots, and formatted extra volumes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from agents.errors import NotFoundError, RefusedError, TransientError
from agents.host.protocol import FileKind, Host
from nodeup.resources.protocol import RunContext

MOUNT_DEADLINE = timedelta(minutes=1)
#: mkfs of terabytes writes for minutes on slow disks.
FORMAT_DEADLINE = timedelta(minutes=15)
_FLAGS = ("exec", "noexec", "suid", "nosuid", "dev", "nodev", "ro", "rw")


@dataclass(frozen=True, slots=True, kw_only=True)
class MountInfo:
    """One line of /proc/self/mountinfo, as far as we look at it."""

    mountpoint: str
    #: The directory of the source file system that forms the root of this mount.
    root: str
    source: str
    filesystem: str
    options: tuple[str, ...]
    shared: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BindMount:
    """A bind mount, remounted with `options`."""

    source: str
    mountpoint: str
    options: tuple[str, ...] = ()
    recursive: bool = False

    @property
    def id(self) -> str:
        """The unique name."""
        return f"bind-mount:{self.mountpoint}"

    def read(self, host: Host, context: RunContext) -> BindMount | None:
        """Return the mount with those of the desired options that it has; None where nothing is mounted."""
        found = [mount for mount in mounts(host) if mount.mountpoint == self.mountpoint.rstrip("/")]
        if not found:
            return None
        has = set(found[-1].options) | {positive for positive in ("exec", "suid", "dev") if f"no{positive}" not in found[-1].options}
        if found[-1].shared:
            has |= {"rshared", "shared"}
        return replace(self, options=tuple(option for option in self.options if option in has))

    def apply(self, host: Host, context: RunContext, actual: BindMount | None) -> None:
        """Mount, then remount with the flags, then make it shared if that is asked for."""
        if actual is None:
            host.make_directory(self.mountpoint, mode=0o755)
            run_mount(host, "--rbind" if self.recursive else "--bind", self.source, self.mountpoint)
        flags = [option for option in self.options if option in _FLAGS]
        if flags:
            run_mount(host, "-o", ",".join(["remount", "bind", *flags]), self.mountpoint)
        if {"rshared", "shared"} & set(self.options):
            run_mount(host, "--make-rshared", self.mountpoint)


@dataclass(frozen=True, slots=True, kw_only=True)
class FormattedVolume:
    """A block device mounted at a path, formatted first if, and only if, it is blank."""

    device: str
    path: str
    filesystem: str
    mount_options: tuple[str, ...] = ()
    #: Arguments of mkfs, before the device.
    format_options: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The unique name."""
        return f"volume:{self.path}"

    def read(self, host: Host, context: RunContext) -> FormattedVolume | None:
        """Return what is mounted at the path; None where nothing is."""
        found = [mount for mount in mounts(host) if mount.mountpoint == self.path.rstrip("/")]
        if not found:
            return None
        same = _device_of(host, found[-1].source) == _device_of(host, self.device)
        return replace(self, device=self.device if same else found[-1].source, filesystem=found[-1].filesystem)

    def apply(self, host: Host, context: RunContext, actual: FormattedVolume | None) -> None:
        """Format a blank device, then mount; RefusedError where the device or the path holds something else."""
        if actual is not None:
            raise RefusedError(
                f"{self.path} has {actual.device} ({actual.filesystem}) mounted, expected {self.device} ({self.filesystem})",
                hint=f"umount {self.path}, if what it holds may go",
                code="volume-in-the-way",
            )
        stat = host.stat(self.device)
        if stat is None:
            raise TransientError(f"device {self.device} for {self.path} is not there (yet); is it attached?")
        signature = _signature(host, self.device)
        if signature is None:
            _checked_run(host, [f"mkfs.{self.filesystem}", *self.format_options, self.device], FORMAT_DEADLINE)
        elif signature != self.filesystem:
            raise RefusedError(
                f"device {self.device} holds {signature}, expected {self.filesystem} or nothing; wipe it to use it", code="volume-not-blank"
            )
        host.make_directory(self.path, mode=0o755)
        options = ["-o", ",".join(self.mount_options)] if self.mount_options else []
        run_mount(host, "-t", self.filesystem, *options, self.device, self.path)


def mounts(host: Host) -> tuple[MountInfo, ...]:
    """Return the mounts of this process' namespace, in the order they were made; none where /proc is not mounted.

    Source: proc(5), /proc/pid/mountinfo; optional fields end with a lone "-".
    """
    try:
        text = host.read("/proc/self/mountinfo").decode(errors="surrogateescape")
    except NotFoundError:
        return ()
    found = []
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, last = before.split(), after.split()
        if len(fields) < 6 or len(last) < 2:
            continue
        found.append(
            MountInfo(
                mountpoint=_unescaped(fields[4]),
                root=_unescaped(fields[3]),
                source=_unescaped(last[1]),
                filesystem=last[0],
                options=tuple(fields[5].split(",")),
                shared=any(field.startswith("shared:") for field in fields[6:]),
            )
        )
    return tuple(found)


def run_mount(host: Host, *arguments: str) -> None:
    """Run mount(8); TransientError when it fails."""
    _checked_run(host, ["mount", *arguments], MOUNT_DEADLINE)


def _signature(host: Host, device: str) -> str | None:
    """Return the type of what a device holds, None for a blank one; RefusedError when that cannot be told.

    blkid's low-level probe ends with 2 where it knows nothing; only zeros in the first mebibyte make that "blank".
    """
    result = host.run(["blkid", "--probe", "--match-tag", "TYPE", "--output", "value", device], timeout=MOUNT_DEADLINE)
    if result.ok and result.stdout.strip():
        return result.stdout.strip()
    if result.exit_code not in {0, 2}:
        raise RefusedError(
            f"what {device} holds cannot be told: blkid exited with {result.exit_code}: {result.stderr.strip()}", code="volume-not-blank"
        )
    first = next(iter(host.read_chunks(device, size=1 << 20)), b"")
    if first.strip(b"\0"):
        raise RefusedError(f"device {device} holds bytes that blkid does not know; wipe it to use it", code="volume-not-blank")
    return None


def _device_of(host: Host, path: str) -> tuple[int, int] | str:
    """Return a device's numbers, following links; the path itself where there is no such node."""
    stat = host.stat(path)
    for _ in range(8):
        if stat is None or stat.kind is not FileKind.SYMLINK or stat.target is None:
            break
        path = stat.target if stat.target.startswith("/") else f"{path.rsplit('/', 1)[0]}/{stat.target}"
        stat = host.stat(path)
    return path if stat is None or stat.rdev is None else stat.rdev


def _unescaped(text: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, character)
    return text


def _checked_run(host: Host, argv: list[str], deadline: timedelta) -> None:
    result = host.run(argv, timeout=deadline)
    if not result.ok:
        raise TransientError(f"`{' '.join(argv)}` exited with {result.exit_code}: {result.stderr.strip()}")
