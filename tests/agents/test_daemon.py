"""Daemons as processes: what they tell systemd, and how they end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from agents.daemon import Daemon, run_daemon
from agents.errors import BusyError, RefusedError
from agents.exit_codes import ExitCode

ROOT = Path(__file__).parents[2]
PROGRAM = """
import asyncio, os, sys, time
from datetime import timedelta
from agents.daemon import run_daemon
from agents.logging_setup import configure_logging

async def orderly(daemon):
    daemon.ready()
    daemon.status("counting\\nsheep")
    while not await daemon.pause(timedelta(seconds=60)):
        pass
    print("in order", os.environ["GRPC_ENABLE_FORK_SUPPORT"])

async def stubborn(daemon):
    daemon.ready()
    await asyncio.sleep(60)

async def blocked(daemon):
    daemon.ready()
    await asyncio.to_thread(time.sleep, 60)

async def hanging_loop(daemon):
    daemon.ready()
    time.sleep(60)

configure_logging(0)
sys.exit(run_daemon(globals()[sys.argv[1]], name="test-daemon"))
"""


class _Manager:
    """Stands for systemd: starts the daemon, and hears what it says."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._listener.bind(address)
        self._listener.settimeout(20)
        self.process: subprocess.Popen[str] | None = None

    def start(self, which: str, **environment: str) -> subprocess.Popen[str]:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, which],
            cwd=ROOT,
            env={**os.environ, "NOTIFY_SOCKET": self._address, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self.process

    def hear(self, expected: str) -> None:
        while (heard := self._listener.recv(1000).decode()) != expected:
            assert heard.startswith(("READY=", "STATUS=", "WATCHDOG=", "STOPPING="))

    def hears_nothing(self, *, seconds: float) -> bool:
        self._listener.settimeout(seconds)
        try:
            self._listener.recv(1000)
        except TimeoutError:
            return True
        return False

    def close(self) -> None:
        self._listener.close()
        if self.process is not None:
            self.process.kill()
            self.process.communicate()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[_Manager]:
    manager = _Manager(str(tmp_path / "notify"))
    yield manager
    manager.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_daemon_says_when_it_is_ready_and_ends_in_order(manager: _Manager, number: signal.Signals) -> None:
    process = manager.start("orderly")
    manager.hear("READY=1")
    manager.hear("STATUS=counting sheep")
    process.send_signal(number)
    manager.hear("STOPPING=1")
    stdout, stderr = process.communicate(timeout=20)
    assert (process.returncode, stdout) == (0, "in order 0\n")
    assert f"stops on {number.name}" in stderr


def test_a_second_signal_forces_the_end(manager: _Manager) -> None:
    process = manager.start("stubborn")
    manager.hear("READY=1")
    process.terminate()
    manager.hear("STOPPING=1")
    process.terminate()
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == ExitCode.INTERRUPTED
    assert "forced to stop" in stderr


def test_a_thread_that_hangs_does_not_outlive_the_second_signal_for_long(manager: _Manager) -> None:
    process = manager.start("blocked")
    manager.hear("READY=1")
    process.terminate()
    manager.hear("STOPPING=1")
    began = time.monotonic()
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == ExitCode.INTERRUPTED
    assert time.monotonic() - began < 15


def test_the_watchdog_is_fed_by_the_loop(manager: _Manager) -> None:
    manager.start("orderly", WATCHDOG_USEC="300000")
    for _ in range(3):
        manager.hear("WATCHDOG=1")


def test_a_blocked_loop_does_not_feed_the_watchdog(manager: _Manager) -> None:
    manager.start("hanging_loop", WATCHDOG_USEC="300000")
    manager.hear("READY=1")
    assert manager.hears_nothing(seconds=1)


async def _refuse(_: Daemon) -> None:
    raise RefusedError("the disk is not blank", hint="wipe it")


async def _busy_in_a_group(_: Daemon) -> None:
    raise ExceptionGroup("both", [BusyError("held by a"), ExceptionGroup("inner", [RefusedError("no")])])


async def _bug(_: Daemon) -> None:
    raise ZeroDivisionError


async def _bug_beside_an_error(_: Daemon) -> None:
    raise ExceptionGroup("both", [BusyError("held by a"), ZeroDivisionError()])


async def _nothing(daemon: Daemon) -> None:
    assert not await daemon.pause(timedelta(milliseconds=1))


@pytest.mark.parametrize(
    ("main", "code", "said"),
    [
        (_refuse, ExitCode.REFUSED, "test failed: the disk is not blank (wipe it)"),
        (_busy_in_a_group, ExitCode.BUSY, "test failed: held by a"),
        (_bug, ExitCode.ERROR, "ZeroDivisionError"),
        (_bug_beside_an_error, ExitCode.ERROR, "ZeroDivisionError"),
        (_nothing, ExitCode.OK, ""),
    ],
    ids=["an-error", "a-group", "a-bug", "a-bug-in-a-group", "no-error"],
)
def test_the_last_word_is_a_log_line_and_an_exit_code(
    main: object, code: ExitCode, said: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRPC_ENABLE_FORK_SUPPORT", "1")
    assert callable(main)
    assert run_daemon(main, name="test") is code
    assert said in caplog.text
