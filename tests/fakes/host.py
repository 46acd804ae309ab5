"""A machine in memory: a file tree, and commands that answer as the test says.

    host = FakeHost({"/etc/hosts": b"127.0.0.1 localhost\n"})
    host.answer(("systemctl", "is-active"), stdout="active\n")
    host.answer(("mount",), effect=lambda argv: ...)     # may change the host, and return a CommandResult

It is held to tests/agents/host/test_contract.py together with the real ones. It has no users: any owner is accepted.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from agents.errors import AgentError, ConflictError, InvariantError, NotFoundError, SpecError
from agents.host.protocol import CommandResult, FileKind, FileStat

_ROOT_DEVICE = (254, 1)


@dataclass(slots=True)
class _Node:
    kind: FileKind
    mode: int
    inode: int
    content: bytes = b""
    target: str | None = None
    owner: str = "root"
    group: str = "root"
    mtime_ns: int = 0
    rdev: tuple[int, int] | None = None
    children: dict[str, _Node] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Answer:
    prefix: tuple[str, ...]
    effect: Callable[[tuple[str, ...]], CommandResult | None] | None
    stdout: str
    stderr: str
    exit_code: int


class FakeHost:
    """Files given as a mapping from path to bytes; parents are made. `scratch` is where local_path puts copies."""

    def __init__(self, files: Mapping[str, bytes] | None = None, *, scratch: Path | None = None) -> None:
        self._inodes = 1
        self._root = _Node(FileKind.DIRECTORY, 0o755, inode=1)
        self._scratch = scratch
        self._answers: list[_Answer] = []
        self._mounts: dict[str, tuple[int, int]] = {}
        #: The argv of every command, in order.
        self.commands: list[tuple[str, ...]] = []
        #: The stdin of every command that got one, by argv.
        self.inputs: dict[tuple[str, ...], bytes] = {}
        #: Every path that was changed, in order.
        self.changes: list[str] = []
        #: What changing a path raises, instead of being done: a full disk, lost power.
        self.failures: dict[str, AgentError] = {}
        for path, content in (files or {}).items():
            self.write(path, content)
        self.changes.clear()

    # What a test arranges

    def answer(
        self,
        prefix: Sequence[str],
        *,
        stdout: str = "",
        stderr: str = "",
        exit_code: int = 0,
        effect: Callable[[tuple[str, ...]], CommandResult | None] | None = None,
    ) -> None:
        """Answer commands that begin with `prefix`; of several that fit the longest counts, then the latest.

        `effect` runs first and may return the whole result. A program that no answer names does not exist.
        """
        self._answers.append(_Answer(tuple(prefix), effect, stdout, stderr, exit_code))

    def add_block_device(self, path: str, rdev: tuple[int, int]) -> None:
        """Put a block device node at `path`."""
        node = self._new(FileKind.BLOCK_DEVICE, 0o660)
        node.rdev = rdev
        self._put(path, node)

    def set_device(self, path: str, device: tuple[int, int]) -> None:
        """Make everything at and below `path` lie on a file system with this st_dev, as if mounted there."""
        self._mounts[posixpath.normpath(path)] = device

    def files(self) -> dict[str, bytes]:
        """Return all regular files by path."""
        return {path: node.content for path, node in _walk("", self._root) if node.kind is FileKind.FILE}

    # The Host protocol

    def stat(self, path: str) -> FileStat | None:
        node = self._find(path, follow_last=False)
        if node is None:
            return None
        sizes = {FileKind.FILE: len(node.content), FileKind.SYMLINK: len(node.target or "")}
        return FileStat(
            kind=node.kind,
            mode=node.mode,
            owner=node.owner,
            group=node.group,
            size_bytes=sizes.get(node.kind, 0),
            mtime_ns=node.mtime_ns,
            target=node.target,
            device=self._device(path),
            rdev=node.rdev,
            inode=node.inode,
        )

    def read(self, path: str) -> bytes:
        node = self._existing(path)
        if node.kind is not FileKind.FILE:
            raise ConflictError(f"cannot read {path}: it is a {node.kind.value}")
        return node.content

    def list(self, path: str) -> tuple[str, ...]:
        node = self._existing(path)
        if node.kind is not FileKind.DIRECTORY:
            raise ConflictError(f"cannot list {path}: it is a {node.kind.value}")
        return tuple(sorted(node.children))

    def write(self, path: str, content: bytes, *, mode: int = 0o644, owner: str | None = None, group: str | None = None) -> None:
        self._change(path)
        there = self._find(path, follow_last=False)
        if there is not None and there.kind is FileKind.DIRECTORY:
            raise ConflictError(f"cannot write {path}: it is a directory")
        node = self._new(FileKind.FILE, mode)
        node.content, node.owner, node.group = bytes(content), owner or "root", group or "root"
        self._put(path, node)

    def write_in_place(self, path: str, content: bytes) -> None:
        self._change(path)
        node = self._find(path, follow_last=True)
        if node is None:
            node = self._new(FileKind.FILE, 0o644)
            self._put(path, node, make_parents=False)
        node.content = bytes(content)
        node.mtime_ns = self._tick()

    def install(self, source: str, path: str, *, mode: int, owner: str | None = None, group: str | None = None) -> None:
        self.write(path, self.read(source), mode=mode, owner=owner, group=group)

    def make_directory(self, path: str, *, mode: int = 0o755, owner: str | None = None, group: str | None = None) -> None:
        self._change(path)
        node = self._find(path, follow_last=True)
        if node is None:
            node = self._new(FileKind.DIRECTORY, mode)
            self._put(path, node)
        if node.kind is not FileKind.DIRECTORY:
            raise ConflictError(f"cannot make directory {path}: a {node.kind.value} stands there")
        _set(node, mode, owner, group)

    def symlink(self, path: str, target: str) -> None:
        self._change(path)
        there = self._find(path, follow_last=False)
        if there is not None and there.kind is not FileKind.SYMLINK:
            raise ConflictError(f"wanted a symlink at {path}, found a {there.kind.value}")
        node = self._new(FileKind.SYMLINK, 0o777)
        node.target = target
        self._put(path, node)

    def set_attributes(self, path: str, *, mode: int | None = None, owner: str | None = None, group: str | None = None) -> None:
        self._change(path)
        node = self._find(path, follow_last=False)
        if node is None:
            raise NotFoundError(f"cannot change owner or mode of {path}: it does not exist")
        _set(node, None if node.kind is FileKind.SYMLINK else mode, owner, group)

    def remove(self, path: str) -> None:
        self._change(path)
        node = self._find(path, follow_last=False)
        if node is None:
            return
        if node.children:
            raise ConflictError(f"cannot remove {path}: it is not empty")
        del self._parent(path).children[posixpath.basename(posixpath.normpath(path))]

    def rename(self, source: str, path: str) -> None:
        self._change(source)
        node = self._find(source, follow_last=False)
        if node is None:
            raise NotFoundError(f"cannot rename {source}: it does not exist")
        there = self._find(path, follow_last=False)
        if there is node:
            return
        if there is not None and (there.children or (there.kind is FileKind.DIRECTORY) != (node.kind is FileKind.DIRECTORY)):
            raise ConflictError(f"cannot rename {source} to {path}: that stands in the way")
        self._put(path, node, make_parents=False)
        del self._parent(source).children[posixpath.basename(posixpath.normpath(source))]

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: timedelta,
        stdin: bytes | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> CommandResult:
        command = tuple(argv)
        self.commands.append(command)
        if stdin is not None:
            self.inputs[command] = stdin
        fitting = [
            (len(answer.prefix), index) for index, answer in enumerate(self._answers) if command[: len(answer.prefix)] == answer.prefix
        ]
        if not fitting:
            raise NotFoundError(f"cannot run {argv[0]}: no answer was arranged for {command}", code="file-missing")
        answer = self._answers[max(fitting)[1]]
        result = answer.effect(command) if answer.effect else None
        return result or CommandResult(argv=command, exit_code=answer.exit_code, stdout=answer.stdout, stderr=answer.stderr)

    def read_chunks(self, path: str, *, size: int = 1 << 20) -> Iterator[bytes]:
        content = self.read(path)
        return (content[start : start + size] for start in range(0, len(content), size))

    def local_path(self, path: str) -> str:
        if self._scratch is None:
            raise InvariantError(f"this test needs FakeHost(scratch=tmp_path): a library opens {path} itself")
        copy = self._scratch / posixpath.normpath(path).lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        node = self._find(path, follow_last=True)
        if node is not None and node.kind is FileKind.FILE:
            copy.write_bytes(node.content)
        return str(copy)

    # The tree

    def _new(self, kind: FileKind, mode: int) -> _Node:
        self._inodes += 1
        return _Node(kind, mode, inode=self._inodes, mtime_ns=self._tick())

    def _tick(self) -> int:
        self._inodes += 1
        return self._inodes * 1_000_000

    def _change(self, path: str) -> None:
        if (failure := self.failures.get(path)) is not None:
            raise failure
        self.changes.append(path)

    def _put(self, path: str, node: _Node, *, make_parents: bool = True) -> None:
        name = posixpath.basename(posixpath.normpath(path))
        self._parent(path, make=make_parents).children[name] = node

    def _parent(self, path: str, *, make: bool = False) -> _Node:
        directory = posixpath.dirname(posixpath.normpath(path))
        node = self._find(directory, follow_last=True)
        if node is None and make:
            node = self._new(FileKind.DIRECTORY, 0o755)
            self._parent(directory, make=True).children[posixpath.basename(directory)] = node
        if node is None:
            raise NotFoundError(f"directory {directory} does not exist")
        if node.kind is not FileKind.DIRECTORY:
            raise ConflictError(f"{directory} is a {node.kind.value}, not a directory")
        return node

    def _existing(self, path: str) -> _Node:
        node = self._find(path, follow_last=True)
        if node is None:
            raise NotFoundError(f"{path} does not exist", code="file-missing")
        return node

    def _find(self, path: str, *, follow_last: bool) -> _Node | None:
        if not path.startswith("/"):
            raise SpecError(f"wanted an absolute path of the machine, found {path!r}")
        trail = [self._root]
        waiting = [part for part in reversed(path.split("/")) if part not in {"", "."}]
        links = 0
        while waiting:
            part = waiting.pop()
            if part == "..":
                trail = trail[:-1] or [self._root]
                continue
            node = trail[-1].children.get(part)
            if node is None:
                return None
            if node.target is None or not (waiting or follow_last):
                trail.append(node)
                continue
            links += 1
            if links > 40:
                raise SpecError(f"too many symlinks on the way to {path}")
            if node.target.startswith("/"):
                trail = [self._root]
            waiting.extend(part for part in reversed(node.target.split("/")) if part not in {"", "."})
        return trail[-1]

    def _device(self, path: str) -> tuple[int, int]:
        place = posixpath.normpath(path)
        while place != "/" and place not in self._mounts:
            place = posixpath.dirname(place)
        return self._mounts.get(place, _ROOT_DEVICE)


def _set(node: _Node, mode: int | None, owner: str | None, group: str | None) -> None:
    node.mode = node.mode if mode is None else mode
    node.owner = owner or node.owner
    node.group = group or node.group


def _walk(path: str, node: _Node) -> Iterator[tuple[str, _Node]]:
    yield path or "/", node
    for name, child in sorted(node.children.items()):
        yield from _walk(f"{path}/{name}", child)
