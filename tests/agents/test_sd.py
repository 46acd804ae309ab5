"""The datagrams that systemd gets, sent to a socket that stands for it."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import pytest

from agents import sd


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@node-agents-test-{os.getpid()}"
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address.replace("@", "\0"))
        listener.settimeout(10)
        yield listener


def test_systemd_gets_what_it_is_told(manager: socket.socket) -> None:
    assert sd.notify("READY=1\nSTATUS=größer")
    assert manager.recv(100).decode() == "READY=1\nSTATUS=größer"


def test_without_systemd_nothing_happens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not sd.notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "missing"))
    assert not sd.notify("READY=1")


def test_a_manager_that_does_not_take_the_message_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_state: str) -> bool:
        raise OSError(111, "Connection refused")

    library = ModuleType("systemd.daemon")
    monkeypatch.setattr(library, "notify", refuse, raising=False)
    monkeypatch.setitem(sys.modules, "systemd.daemon", library)
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/systemd/notify")
    assert not sd.notify("WATCHDOG=1")


@pytest.mark.parametrize(
    ("microseconds", "pid", "expected"),
    [("60000000", "", 60), ("60000000", "ours", 60), ("60000000", "1", None), ("0", "", None), ("", "", None), ("x", "", None)],
)
def test_the_watchdog_is_ours_or_it_is_none(monkeypatch: pytest.MonkeyPatch, microseconds: str, pid: str, expected: int | None) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "ours" else pid)
    assert sd.watchdog_interval() == (None if expected is None else timedelta(seconds=expected))
