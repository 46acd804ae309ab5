"""Running one command of the machine: no shell, a clean environment, bounded output, a deadline that holds for its children too."""

from __future__ import annotations

import logging
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import IO

from agents.errors import DeadlineError
from agents.host.os_errors import translate
from agents.host.protocol import CommandResult

log = logging.getLogger(__name__)

#: What a login shell of the supported distributions has, plus the places of Flatcar and ContainerOS.
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/bin"
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")
#: Of each of stdout and stderr; what is beyond is left out in the middle. Chatty commands must not fill the node's memory.
OUTPUT_LIMIT_BYTES = 8 << 20
#: Between SIGTERM and SIGKILL at the deadline: enough for apt and dpkg to leave their database whole.
_GRACE = timedelta(seconds=5)
#: How late we may notice that a process ended while a child that it left behind holds its output open.
_POLL_SECONDS = 0.05
_PIECE = 1 << 16


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return PATH, LANG and the proxies of our own environment, in the spellings it has, and then `extra`."""
    proxies = {name: value for name, value in os.environ.items() if name.lower() in _PROXIES}
    return {"PATH": _PATH, "LANG": "C.UTF-8", **proxies, **(extra or {})}


def run_command(
    argv: Sequence[str],
    *,
    timeout: timedelta,
    stdin: bytes | None = None,
    environment: Mapping[str, str] | None = None,
) -> CommandResult:
    """Run a command and wait for it, as `Host.run` says.

    It gets a session of its own, and at the deadline SIGTERM goes to its process group, five seconds later SIGKILL.
    A child that it leaves behind does not hold us up, even where that keeps stdout open. A process ended by
    signal N has the exit code -N. Never with preexec_fn: that would fork our threads' locks (measured: random SIGABRT).
    """
    began = time.monotonic()
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_environment(environment),
            start_new_session=True,
        )
    except OSError as error:
        raise translate(error, wanted="run", path=argv[0]) from error
    exchange = _Exchange(process, stdin or b"")
    try:
        finished = exchange.run(deadline=began + timeout.total_seconds())
    finally:
        _end_group(process)
        exchange.close()
    stdout, stderr = exchange.stdout.text(), exchange.stderr.text()
    if not finished:
        said = (stderr.strip() or stdout.strip())[-300:]
        raise DeadlineError(f"`{' '.join(argv)}` did not end within {timeout}; it was killed. It said last: {said or '(nothing)'}")
    duration = timedelta(seconds=time.monotonic() - began)
    return CommandResult(argv=tuple(argv), exit_code=process.returncode, stdout=stdout, stderr=stderr, duration=duration)


class _Exchange:
    """Feeds a process' stdin and collects its output, until it has ended or the deadline is over."""

    def __init__(self, process: subprocess.Popen[bytes], stdin: bytes) -> None:
        self._process = process
        self._unsent = memoryview(stdin)
        self._selector = selectors.DefaultSelector()
        self._streams: dict[int, IO[bytes]] = {}
        self.stdout, self.stderr = _Excerpt(), _Excerpt()
        self._excerpts: dict[int, _Excerpt] = {}
        for stream, excerpt in ((process.stdin, None), (process.stdout, self.stdout), (process.stderr, self.stderr)):
            if stream is None:
                continue
            descriptor = stream.fileno()
            os.set_blocking(descriptor, False)
            self._streams[descriptor] = stream
            if excerpt is not None:
                self._excerpts[descriptor] = excerpt
            self._selector.register(descriptor, selectors.EVENT_WRITE if excerpt is None else selectors.EVENT_READ)

    def run(self, *, deadline: float) -> bool:
        """Return whether the process ended in time."""
        while self._streams:
            ended = self._process.poll() is not None
            remaining = deadline - time.monotonic()
            if remaining <= 0 and not ended:
                return False
            ready = self._selector.select(0 if ended else min(remaining, _POLL_SECONDS))
            if ended and not ready:
                return True
            for key, _ in ready:
                self._serve(key.fd)
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
        return True

    def close(self) -> None:
        """Let go of the pipes; whoever still holds the other end gets SIGPIPE or end of file."""
        for descriptor in tuple(self._streams):
            self._drop(descriptor)
        self._selector.close()

    def _serve(self, descriptor: int) -> None:
        excerpt = self._excerpts.get(descriptor)
        try:
            if excerpt is None:
                self._unsent = self._unsent[os.write(descriptor, self._unsent[:_PIECE]) :]
                done = not self._unsent
            else:
                piece = os.read(descriptor, _PIECE)
                excerpt.add(piece)
                done = not piece
        except BlockingIOError:
            done = False
        except BrokenPipeError:
            # It did not want all of its input; its exit code says whether that matters.
            done = True
        if done:
            self._drop(descriptor)

    def _drop(self, descriptor: int) -> None:
        self._selector.unregister(descriptor)
        self._streams.pop(descriptor).close()


class _Excerpt:
    """The first and the last half of the limit of what a stream said."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    def add(self, piece: bytes) -> None:
        half = OUTPUT_LIMIT_BYTES // 2
        room = half - len(self._head)
        self._head += piece[:room]
        self._tail += piece[room:]
        # Trimmed seldom, so that each byte is moved a constant number of times.
        if len(self._tail) > 2 * half:
            self._dropped += len(self._tail) - half
            del self._tail[: len(self._tail) - half]

    def text(self) -> str:
        gap = f"\n[{self._dropped} bytes left out]\n".encode() if self._dropped else b""
        return bytes(self._head + gap + self._tail).decode(errors="replace")


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and its group where it has not ended yet. Its zombie is kept until then, so that the group is still its own."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    give_up = time.monotonic() + _GRACE.total_seconds()
    while time.monotonic() < give_up and os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
        time.sleep(_POLL_SECONDS)
    os.killpg(process.pid, signal.SIGKILL)
    try:
        process.wait(_GRACE.total_seconds())
    except subprocess.TimeoutExpired:
        log.warning("process %d (%s) does not end on SIGKILL: it hangs in the kernel", process.pid, process.args)
