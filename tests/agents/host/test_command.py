"""Running real commands."""

from __future__ import annotations

import os
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from agents.errors import AccessError, DeadlineError, NotFoundError
from agents.host import command
from agents.host.command import run_command
from agents.host.protocol import CommandResult

LONG = timedelta(seconds=30)


def _python(program: str, *, timeout: timedelta = LONG, stdin: bytes | None = None) -> CommandResult:
    return run_command([sys.executable, "-c", program], timeout=timeout, stdin=stdin)


def test_output_and_exit_code_are_told_apart() -> None:
    result = _python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)")
    assert (result.stdout, result.stderr, result.exit_code, result.ok) == ("out\n", "err\n", 7, False)


def test_a_process_that_was_killed_has_the_negative_signal_number() -> None:
    assert _python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)").exit_code == -9


def test_input_and_output_larger_than_a_pipe_pass_at_the_same_time() -> None:
    content = b"0123456789abcdef" * 60_000
    result = run_command(["cat"], timeout=LONG, stdin=content)
    assert result.stdout.encode() == content


def test_a_command_may_ignore_its_input() -> None:
    assert run_command(["true"], timeout=LONG, stdin=b"x" * 1_000_000).ok


def test_without_input_stdin_is_empty() -> None:
    assert run_command(["cat"], timeout=LONG).stdout == ""


def test_output_that_is_not_text_is_replaced() -> None:
    assert _python("import os; os.write(1, b'a\\xffb')").stdout == "a\ufffdb"


def test_too_much_output_loses_its_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "OUTPUT_LIMIT_BYTES", 1000)
    result = _python("print('begin' + 'x' * 1_000_000 + 'end')")
    assert result.stdout.startswith("begin")
    assert result.stdout.endswith("end\n")
    assert "bytes left out" in result.stdout
    assert len(result.stdout) < 3000


def test_the_environment_is_clean_but_for_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "geheim")
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    result = run_command(["env"], timeout=LONG, environment={"EXTRA": "1"})
    names = {line.partition("=")[0] for line in result.stdout.splitlines()}
    assert names - {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "no_proxy", "all_proxy"} == {
        "PATH",
        "LANG",
        "EXTRA",
        "https_proxy",
    }


def test_a_program_that_does_not_exist_is_not_found() -> None:
    with pytest.raises(NotFoundError, match="no-such-program"):
        run_command(["no-such-program"], timeout=LONG)


def test_a_file_that_is_no_program_is_an_access_error(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    with pytest.raises(AccessError):
        run_command([str(tmp_path / "text")], timeout=LONG)


def test_at_the_deadline_the_process_and_its_children_are_ended(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    program = f"""
import pathlib, subprocess
child = subprocess.Popen(["sleep", "60"])
pathlib.Path({str(pid_file)!r}).write_text(str(child.pid))
child.wait()
"""
    began = time.monotonic()
    with pytest.raises(DeadlineError, match="did not end within"):
        _python(program, timeout=timedelta(seconds=2))
    assert time.monotonic() - began < 10
    child = int(pid_file.read_text())
    state = Path(f"/proc/{child}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_a_process_that_ignores_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_GRACE", timedelta(seconds=0.2))
    with pytest.raises(DeadlineError, match="It said last: stubborn"):
        _python(
            "import signal, time; signal.signal(15, signal.SIG_IGN); print('stubborn', flush=True); time.sleep(60)",
            timeout=timedelta(seconds=1),
        )


def test_a_child_left_behind_with_our_pipes_does_not_hold_us_up() -> None:
    began = time.monotonic()
    result = run_command(["sh", "-c", "sleep 20 & echo $!"], timeout=LONG)
    assert time.monotonic() - began < 10
    os.kill(int(result.stdout), 9)
