"""Before anything else: wait until kops' own etcd-manager, its etcd, and the manifest that would start them again are gone.

    our start ──look──> somebody is on our data ──every second──> look again
                              │                        │
                              │ status: waits-for-former-owner, who it is, until when, what to do
                              v
                        nobody: begin (certificates, gRPC, member, leader)

While it waits nothing is read off the disk for a decision, nothing on it is changed, no port is taken, no peer is told of us. After
the deadline it is reported as degraded and still waited for: only an operator can know that a process may be ended.

Source: reference etcd-manager.md §1.9 and §8; who counts is in `etcdmanager.member.holders`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from agents.clock import Clock
from agents.daemon import Daemon
from agents.errors import AgentError
from agents.host.protocol import Host
from agents.host.reading import names_if_there
from agents.status import Status, Waiting, write_status
from etcdmanager.identity import Identity
from etcdmanager.member.holders import holders_of, managers_of
from etcdmanager.member.layout import Layout
from etcdmanager.spec import ManagerConfig, agent_name

log = logging.getLogger(__name__)

CODE = "waits-for-former-owner"
#: kubelet sees within 20 s that a manifest is gone, gives a pod 30 s to end, and is busy on a machine that is being converged.
DEADLINE = timedelta(minutes=3)
LOOK_EVERY = timedelta(seconds=1)
#: A reader takes an older status for that of a manager that is stuck.
_TELL_EVERY = timedelta(seconds=10)
#: kubelet's, where kops puts its static pods.
MANIFESTS = "/etc/kubernetes/manifests"


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerOwner:
    """What is left of it: processes, described for people, and manifests from which kubelet would start it again."""

    processes: tuple[str, ...] = ()
    manifests: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Return whether anything is left."""
        return bool(self.processes or self.manifests)


def look_for(config: ManagerConfig, identity: Identity, host: Host) -> FormerOwner:
    """Return what is left of a former owner of our data directory; it changes nothing."""
    data_dir = host.local_path(identity.data_dir)
    managers = managers_of(config.cluster_name, data_dir)
    holders = holders_of(host.local_path(Layout(identity.data_dir).data), but={one.pid for one in managers})
    # Only where nodeup set us up as a service of the machine: in a pod of ours the manifest is our own.
    names = names_if_there(host, MANIFESTS) if config.volume_file else ()
    return FormerOwner(
        processes=tuple(str(one) for one in (*managers, *holders)),
        manifests=tuple(f"{MANIFESTS}/{name}" for name in names if is_manifest_of(name, config.cluster_name)),
    )


def is_manifest_of(name: str, cluster_name: str) -> bool:
    """Return whether a file of kubelet's manifests runs kops' manager of this etcd cluster: `etcd-main-<instance group>.manifest`; pure."""
    kops_name = agent_name(cluster_name).partition("@")[2]
    return name.startswith((f"etcd-{kops_name}-", f"etcdmanager-{kops_name}")) and name.endswith((".manifest", ".yaml"))


def waiting_for(former: FormerOwner, since: datetime) -> Waiting:
    """Return what the status says of it; pure."""
    if former.manifests:
        reason = f"{former.manifests[0]} to be removed, from which kubelet runs kops' etcd-manager"
        hint = "`nodeup apply` removes it in the native profile; with the kops profile, this service is not to run"
    else:
        reason = f"the former owner of etcd's data to end: {former.processes[0]}"
        hint = "kubelet ends a pod whose manifest is gone: `systemctl status kubelet`, `crictl ps --name etcd-manager`"
    more = len(former.processes) + len(former.manifests) - 1
    others = f" (and {more} more)" if more else ""
    return Waiting(reason=f"{CODE}: {reason}{others}", since=since, until=since + DEADLINE, hint=hint)


def status_of(agent: str, former: FormerOwner, *, since: datetime, now: datetime) -> Status:
    """Return our status while it is waited for; pure."""
    waiting = waiting_for(former, since)
    late = now > since + DEADLINE
    return Status(
        agent=agent,
        state="degraded" if late else "waiting",
        message=f"does nothing yet; waiting for {waiting.reason.removeprefix(f'{CODE}: ')}",
        waiting=(waiting,),
        details={"formerOwner": {"processes": list(former.processes), "manifests": list(former.manifests)}},
        updated=now,
    )


async def wait_until_gone(
    look: Callable[[], FormerOwner], tell: Callable[[FormerOwner, datetime], None], daemon: Daemon, clock: Clock
) -> bool:
    """Return True once nobody else is on our data, False where we shall stop before that. `look` and `tell` run in threads.

    systemd hears at once that we are ready: how long it takes is not ours, and a start that is given up would begin again.
    """
    since: datetime | None = None
    told: tuple[FormerOwner, datetime] | None = None
    while former := await asyncio.to_thread(look):
        now = clock.now()
        if since is None:
            since = now
            daemon.ready()
        if told is None or told[0] != former or now - told[1] >= _TELL_EVERY:
            if told is None or told[0] != former:
                log.warning("waiting for %s", waiting_for(former, since).reason)
            await asyncio.to_thread(tell, former, since)
            told = (former, now)
        if await daemon.pause(LOOK_EVERY):
            return False
    if since is not None:
        log.info("the former owner is gone after %s", clock.now() - since)
    return True


async def give_way(config: ManagerConfig, identity: Identity, host: Host, *, daemon: Daemon, clock: Clock) -> bool:
    """Wait for a former owner of our data directory, and tell of it; False where we shall stop before it is gone."""
    agent = agent_name(config.cluster_name)

    def tell(former: FormerOwner, since: datetime) -> None:
        status = status_of(agent, former, since=since, now=clock.now())
        daemon.status(f"{status.state}: {status.message}")
        try:
            write_status(host, status, config.status_file or None)
        except AgentError as error:
            log.warning("the status cannot be written: %s", error)

    return await wait_until_gone(lambda: look_for(config, identity, host), tell, daemon, clock)
