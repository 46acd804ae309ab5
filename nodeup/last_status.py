"""What is known of nodeup on this machine: the status of this boot, else that of the last run, and whether its writer lives."""

from __future__ import annotations

from agents.clock import Clock
from agents.errors import NotFoundError
from agents.host.protocol import Host
from agents.status import Status, read_status, status_path
from nodeup.lock import is_locked
from nodeup.resources.protocol import STATE_DIRECTORY
from nodeup.status_view import StatusView
from nodeup.this_machine import boot_id, hostname

#: The last status of the last attempt that ended; it outlives a reboot.
LAST_RUN = f"{STATE_DIRECTORY}/last-run.json"


def latest_view(host: Host, clock: Clock) -> StatusView:
    """Return it; NotFoundError where nodeup never ran."""
    status, is_of_this_boot = _latest(host)
    return StatusView(
        hostname=hostname(host),
        status=status,
        now=clock.now(),
        is_alive=is_locked(host),
        is_before_boot=not is_of_this_boot and status.details.get("bootId") != boot_id(host),
    )


def _latest(host: Host) -> tuple[Status, bool]:
    try:
        return read_status(host, status_path("nodeup")), True
    except NotFoundError:
        pass
    try:
        return read_status(host, LAST_RUN), False
    except NotFoundError as error:
        raise NotFoundError("nodeup has never run on this machine", hint="journalctl -u kops-configuration") from error
