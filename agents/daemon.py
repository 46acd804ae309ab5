"""What makes a program a daemon: signals, readiness, the watchdog, and the last word on errors. The only `except Exception` is here.

    SIGTERM or SIGINT   sets `Daemon.stopping`; whoever loops sees it and returns
    a second one        cancels everything
    five seconds later  the process ends, whatever hangs

The watchdog is fed from the event loop, so that a loop that is blocked is noticed and the process restarted by systemd.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta

from agents import sd
from agents.errors import AgentError
from agents.exit_codes import ExitCode, exit_code_of

log = logging.getLogger(__name__)

#: From the second signal to the end of the process: time to cancel, not to finish work. Below systemd's TimeoutStopSec (90 s).
_FORCED_END = timedelta(seconds=5)


class Daemon:
    """The running daemon, for the code inside it."""

    def __init__(self, name: str) -> None:
        self.name = name
        #: Set once it shall stop; loops wait for it instead of sleeping (`pause`).
        self.stopping = asyncio.Event()

    def ready(self) -> None:
        """Tell systemd that it does its work: units that are ordered after it may start."""
        sd.notify("READY=1")
        log.info("%s is ready", self.name)

    def status(self, text: str) -> None:
        """Show one line in `systemctl status`."""
        sd.notify(f"STATUS={' '.join(text.split())}")

    async def pause(self, duration: timedelta) -> bool:
        """Wait for `duration`, or shorter when it shall stop; return whether it shall stop."""
        try:
            async with asyncio.timeout(max(0.0, duration.total_seconds())):
                await self.stopping.wait()
        except TimeoutError:
            return False
        return True


def run_daemon(main: Callable[[Daemon], Awaitable[None]], *, name: str) -> ExitCode:
    """Run `main` until it returns, and return what the process shall exit with.

    Errors of `main`, also those in exception groups of a TaskGroup, are logged with their hints; the first says the exit code.
    What is no AgentError is a bug: it is logged with its traceback, and ends the process with ERROR, so that systemd restarts it.
    """
    # Before anything imports grpc: its fork handlers kill children at random (dependencies.md, grpcio hazards).
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    if not faulthandler.is_enabled():
        # The watchdog ends a blocked process with SIGABRT: the stacks in the journal say where it hung.
        faulthandler.enable()
    try:
        asyncio.run(_supervise(main, Daemon(name)))
    except asyncio.CancelledError:
        log.warning("%s was made to stop before its work was in order", name)
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 (the last word: everything becomes a log line and an exit code)
        return _report(error, name)
    return ExitCode.OK


async def _supervise(main: Callable[[Daemon], Awaitable[None]], daemon: Daemon) -> None:
    loop = asyncio.get_running_loop()
    work = asyncio.ensure_future(main(daemon))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, daemon, work, number)
    watchdog = asyncio.create_task(_feed_watchdog())
    try:
        await work
    finally:
        watchdog.cancel()
        sd.notify("STOPPING=1")
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _stop(daemon: Daemon, work: asyncio.Future[None], number: signal.Signals) -> None:
    if not daemon.stopping.is_set():
        log.info("%s stops on %s", daemon.name, number.name)
        sd.notify("STOPPING=1")
        daemon.stopping.set()
        return
    log.warning("%s is forced to stop by a second %s", daemon.name, number.name)
    work.cancel()
    # A thread, not the loop: what hangs may be the loop, or a thread that the interpreter waits for at its end.
    timer = threading.Timer(_FORCED_END.total_seconds(), os._exit, args=(ExitCode.INTERRUPTED,))
    timer.daemon = True
    timer.start()


async def _feed_watchdog() -> None:
    interval = sd.watchdog_interval()
    while interval is not None:
        sd.notify("WATCHDOG=1")
        await asyncio.sleep(interval.total_seconds() / 3)


def _report(error: BaseException, name: str) -> ExitCode:
    known = [leaf for leaf in _leaves(error) if isinstance(leaf, AgentError)]
    if len(known) < len(list(_leaves(error))):
        log.error("%s failed by a bug; please report this", name, exc_info=error)
        return ExitCode.ERROR
    for leaf in known:
        log.error("%s failed: %s%s", name, leaf, f" ({leaf.hint})" if leaf.hint else "", extra={"code": leaf.code})
        log.debug("where it failed", exc_info=leaf)
    return exit_code_of(known[0])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
