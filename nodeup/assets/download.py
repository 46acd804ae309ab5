"""Downloads: several mirrors of one file, of which the hash is known, raced where one is slow, and resumed where one broke.

    mirror 0  ────────── silent or slow for `hedge_after` ──────────► (goes on)
    mirror 1                                             └─────────► the first with the right hash wins

Bytes go to a hidden partial file next to the target, hashed as they come; only a file with the right hash gets its name.
A partial file of a broken attempt is resumed by the next one, from whatever mirror: the hash decides in the end.
"""

from __future__ import annotations

import errno
import hashlib
import os
import queue
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from agents.errors import AgentError, DeadlineError, SpecError, TransientError, VerificationError
from agents.host.os_errors import os_errors
from nodeup.assets.transport import OFFLINE, Stream, Transport

#: A healthy mirror sends within a second; three are a CDN that we need not wait for (kops#15961: 69 s for 30 MB).
HEDGE_AFTER = timedelta(seconds=3)
#: Below this a mirror counts as silent: a 60 MB kubelet would take a quarter of an hour.
SLOW_BYTES_PER_SECOND = 64 * 1024
#: Limit of one file with all its mirrors; the outer loop comes again, and resumes.
DEADLINE = timedelta(minutes=30)
#: So much is written, and then handed to the disk while more comes: flushing 50 MB only at the end took a fifth of the whole transfer.
WRITE_BACK_BYTES = 8 << 20
#: How often all mirrors are gone through, as long as each round brings some bytes.
ROUNDS = 3


_HINT_HASH = "repair the mirror, or have the hashes written anew (kops update cluster --yes); nothing of it was kept"
_HINT_UNREACHABLE = "ask a mirror as this machine does: curl -I URL; see DNS, routes and the proxy"
#: The code of the error that names how much room is missing.
DISK_FULL = "disk-full"


@dataclass(frozen=True, slots=True, kw_only=True)
class Downloaded:
    """How a file came."""

    path: Path
    url: str
    size_bytes: int
    #: How many of the bytes were there from an earlier attempt.
    resumed_bytes: int
    duration: timedelta


class Downloader:
    """Fetches files into one directory; safe to use from several threads for different names."""

    def __init__(
        self,
        directory: Path,
        *,
        transport: Transport,
        hedge_after: timedelta = HEDGE_AFTER,
        slow_bytes_per_second: int = SLOW_BYTES_PER_SECOND,
    ) -> None:
        self.directory = directory
        self._transport = transport
        self._hedge_after = hedge_after.total_seconds()
        self._slow = slow_bytes_per_second

    def fetch(self, name: str, urls: Sequence[str], sha256: str | None, *, deadline: timedelta = DEADLINE) -> Downloaded:
        """Return a file with this hash under `name`, from whichever mirror delivers it first.

        Without a hash whatever comes is taken: only for what is verified in another way. VerificationError when every
        mirror sent other bytes, TransientError when at least one failed for a reason that may pass; both list all reasons.
        TransientError with code "disk-full" ends it at once: no other mirror makes room.
        """
        if not urls:
            raise SpecError(f"there is no URL to fetch {name} from")
        with os_errors("make", str(self.directory)):
            self.directory.mkdir(parents=True, exist_ok=True)
        race = _Race(self, name, sha256, time.monotonic() + deadline.total_seconds())
        return race.run(tuple(urls))

    def transport(self) -> Transport:
        """Return what opens URLs."""
        return self._transport

    @property
    def hedge_after_seconds(self) -> float:
        """How long a mirror may be slow before the next one is asked as well."""
        return self._hedge_after

    @property
    def slow_bytes(self) -> float:
        """How many bytes within `hedge_after` are too few."""
        return self._slow * self._hedge_after


class _Race:
    """All attempts at one file. The thread that called `fetch` decides; one thread for each running attempt moves bytes."""

    def __init__(self, downloader: Downloader, name: str, sha256: str | None, ends: float) -> None:
        self._downloader = downloader
        self._name = name
        self._sha256 = sha256
        self._ends = ends
        self._finished: queue.Queue[_Attempt] = queue.Queue()
        self._running: list[_Attempt] = []
        self._reasons: list[AgentError] = []
        self._count = 0

    def run(self, urls: Sequence[str]) -> Downloaded:
        started = time.monotonic()
        try:
            winner = self._winner(urls)
        finally:
            self._stop_all()
        target = self._downloader.directory / self._name
        _publish(winner.partial, target)
        for left in _partials(self._downloader.directory, self._name):
            left.unlink(missing_ok=True)
        duration = timedelta(seconds=time.monotonic() - started)
        return Downloaded(path=target, url=winner.url, size_bytes=winner.size, resumed_bytes=winner.resumed, duration=duration)

    def _winner(self, urls: Sequence[str]) -> _Attempt:
        for _ in range(ROUNDS):
            brought = 0
            left = list(urls)
            while left or self._running:
                if not self._running:
                    self._start(left.pop(0))
                attempt = self._next_finished(bool(left))
                if attempt is None:
                    self._start(left.pop(0))
                    continue
                if attempt.error is None:
                    return attempt
                if attempt.error.code in {DISK_FULL, OFFLINE}:
                    raise attempt.error
                self._reasons.append(attempt.error)
                brought += attempt.gained
            if not brought:
                break
        raise self._failure()

    def _start(self, url: str) -> None:
        busy = {attempt.partial for attempt in self._running}
        idle = [path for path in _partials(self._downloader.directory, self._name) if path not in busy]
        self._count += 1
        fresh = self._downloader.directory / f".{self._name}.{os.getpid()}-{threading.get_ident()}-{self._count}.partial"
        partial = max(idle, key=lambda path: path.stat().st_size) if idle and self._sha256 is not None else fresh
        attempt = _Attempt(self._downloader.transport(), url, partial, self._sha256, self._finished)
        self._running.append(attempt)
        attempt.thread.start()

    def _next_finished(self, may_hedge: bool) -> _Attempt | None:  # noqa: FBT001 - private
        """Return the next attempt that ended; None when those that run are too slow and another mirror should be asked."""
        before = {attempt: attempt.received for attempt in self._running}
        window_ends = time.monotonic() + self._downloader.hedge_after_seconds
        while True:
            until = min(window_ends, self._ends) if may_hedge else self._ends
            try:
                attempt = self._finished.get(timeout=max(0.0, until - time.monotonic()))
            except queue.Empty:
                if time.monotonic() >= self._ends:
                    raise DeadlineError(f"{self._name} was not downloaded in time; {len(self._running)} mirror(s) are too slow") from None
                fastest = max(attempt.received - before[attempt] for attempt in self._running)
                if fastest < self._downloader.slow_bytes:
                    return None
                before = {attempt: attempt.received for attempt in self._running}
                window_ends = time.monotonic() + self._downloader.hedge_after_seconds
                continue
            self._running.remove(attempt)
            return attempt

    def _stop_all(self) -> None:
        """Tell the losers to end. They are not waited for: one may sit in a silent socket until its time-out, and writes nothing after."""
        for attempt in self._running:
            attempt.stop()

    def _failure(self) -> AgentError:
        reasons = "; ".join(dict.fromkeys(str(error) for error in self._reasons))
        if all(isinstance(error, VerificationError) for error in self._reasons):
            return VerificationError(f"no mirror has the right {self._name}: {reasons}", code="asset-hash", hint=_HINT_HASH)
        return TransientError(f"no mirror delivered {self._name}: {reasons}", code="asset-unreachable", hint=_HINT_UNREACHABLE)


class _Attempt:
    """One mirror, asked once, into one partial file."""

    def __init__(self, transport: Transport, url: str, partial: Path, sha256: str | None, finished: queue.Queue[_Attempt]) -> None:
        self.url = url
        self.partial = partial
        self.error: AgentError | None = None
        self.received = 0
        self.resumed = 0
        self.size = 0
        #: The whole file's size, None while no mirror said it.
        self._expected: int | None = None
        #: Whether the partial file may be continued.
        self.is_resumable = True
        self._transport = transport
        self._sha256 = sha256
        self._finished = finished
        self._stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, name=f"download {url}", daemon=True)

    @property
    def gained(self) -> int:
        """What a further round can build on: bytes that may be continued, or the knowledge that old ones must not."""
        return self.received if self.is_resumable else self.resumed

    def stop(self) -> None:
        """Make the thread end at the next piece, or at its socket's time-out."""
        self._stopping.set()

    def _run(self) -> None:
        try:
            self._download()
        except AgentError as error:
            self.error = error
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                # What was written so far would only keep others from writing; there is more than one thing on this disk.
                self.is_resumable = False
                self.error = self._no_room(self._expected)
            else:
                self.error = TransientError(f"{self.partial}: {error.strerror}; {self.url} cannot be written", code="disk")
        finally:
            if self.error is not None and not self.is_resumable:
                self.partial.unlink(missing_ok=True)
            self._finished.put(self)

    def _download(self) -> None:
        hasher = hashlib.sha256()
        self.partial.touch()
        with self.partial.open("r+b") as file:
            while piece := file.read(1 << 20):
                hasher.update(piece)
            stream = self._open(file.tell())
            try:
                if stream.offset != file.tell():
                    hasher = hashlib.sha256()
                    file.seek(0)
                    file.truncate()
                self.resumed = stream.offset
                self._expected = stream.total_bytes
                self._check_room(stream)
                self._receive(stream, file, hasher)
            finally:
                stream.close()
            self.size = file.tell()
            file.flush()
            os.fsync(file.fileno())
        self._judge(hasher.hexdigest(), stream.total_bytes)

    def _receive(self, stream: Stream, file: BinaryIO, hasher: hashlib._Hash) -> None:
        written = handed_over = file.tell()
        for piece in stream.pieces:
            if self._stopping.is_set():
                raise TransientError(f"{self.url}: another mirror was faster")
            file.write(piece)
            hasher.update(piece)
            self.received += len(piece)
            written += len(piece)
            if written - handed_over >= WRITE_BACK_BYTES:
                # On dirty pages this advice begins to write them, and forgets none (Linux, generic_fadvise).
                os.posix_fadvise(file.fileno(), handed_over, written - handed_over, os.POSIX_FADV_DONTNEED)
                handed_over = written

    def _check_room(self, stream: Stream) -> None:
        """Raise the error that `DISK_FULL` names before a byte is written, where the rest of the file cannot fit."""
        if stream.total_bytes is not None and stream.total_bytes - stream.offset > _free_bytes(self.partial):
            raise self._no_room(stream.total_bytes)

    def _no_room(self, wanted_bytes: int | None) -> TransientError:
        directory = self.partial.parent
        wanted = "of a size that no mirror said" if wanted_bytes is None else f"of {_megabytes(wanted_bytes)}"
        return TransientError(
            f"{directory} has {_megabytes(_free_bytes(self.partial))} left, too little for {self.url} {wanted}",
            code=DISK_FULL,
            hint=f"make room on the file system of {directory}: `df -h {directory}`",
        )

    def _open(self, offset: int) -> Stream:
        try:
            return self._transport.open(self.url, offset=offset)
        except TransientError as error:
            if error.code == "range":
                # What is there is not a part of what this mirror has.
                self.is_resumable = False
                self.resumed = offset
            raise

    def _judge(self, digest: str, total_bytes: int | None) -> None:
        if digest == self._sha256:
            return
        if total_bytes is not None and self.size < total_bytes:
            raise TransientError(f"{self.url}: the connection ended after {self.size} of {total_bytes} bytes")
        if self._sha256 is None:
            return
        self.is_resumable = False
        size = "is empty" if self.size == 0 else f"has {self.size} bytes with SHA-256 {digest}"
        if self.resumed:
            raise TransientError(f"{self.url}: what was resumed does not fit together; it is fetched anew")
        raise VerificationError(f"{self.url}: {size}, expected {self._sha256}", code="asset-hash")


def cache_name(urls: Sequence[str], sha256: str | None) -> str:
    """Return the name of a file in the cache, as kops has it: "sha256:<hex>_<base name of the first URL>".

    Characters outside of A-Z a-z 0-9 _ - become "_", and the last 200 are kept.
    """
    base = re.sub(r"[^A-Za-z0-9_-]", "_", urls[0].rsplit("/", 1)[-1])[-200:]
    return f"sha256:{sha256}_{base}" if sha256 else f"url:{hashlib.sha256(urls[0].encode()).hexdigest()}_{base}"


def _free_bytes(path: Path) -> int:
    found = os.statvfs(path.parent)
    return found.f_bavail * found.f_frsize


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"


def _partials(directory: Path, name: str) -> list[Path]:
    return [path for path in directory.iterdir() if path.name.startswith(f".{name}.") and path.name.endswith(".partial")]


def _publish(partial: Path, target: Path) -> None:
    """Give a complete file its name, durably."""
    partial.chmod(0o644)
    partial.replace(target)
    directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
