"""`protokube doctor`: a short list of checks, each with a finding and what to do. It changes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from agents.clock import SystemClock
from agents.errors import AgentError, NotFoundError
from agents.host.local import LocalHost
from agents.status import read_status, status_path
from protokube.certificates import WARN_BEFORE, expiries
from protokube.hosts import PATH as HOSTS
from protokube.hosts import wanted_text
from protokube.showing import glance, is_stale
from protokube.spec import ProtokubeConfig, load_config
from protokube.telling import AGENT
from protokube.volumes.phase import Phase, Refuse, Wait, next_step, phase_of

_PROGRAMS = ("blkid", "losetup", "mount", "umount", "fsck", "fsck.ext4", "mkfs.ext4", "resize2fs")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The outcome of one check."""

    check: str
    ok: bool = True
    finding: str = ""
    hint: str = ""

    @property
    def text(self) -> str:
        """One or two lines for people."""
        line = f"{'ok' if self.ok else '!!'}  {self.check}{f': {self.finding}' if self.finding else ''}"
        return f"{line}\n    {self.hint}" if self.hint else line


def examine(config_path: str) -> list[Finding]:
    """Return all findings, in the order in which to look at them."""
    missing = [program for program in _PROGRAMS if shutil.which(program, path=_PATH) is None]
    hint = "install e2fsprogs and util-linux" if missing else ""
    findings = [Finding(check="programs", ok=not missing, finding=", ".join(f"{name} is missing" for name in missing), hint=hint)]
    try:
        config = load_config(LocalHost(), config_path)
    except AgentError as error:
        return [*findings, Finding(check="configuration", ok=False, finding=str(error), hint=error.hint or "nodeup apply writes it")]
    return [*findings, Finding(check="configuration"), _daemon(), *_volumes(config), _hosts(config), *_certificates()]


def _daemon() -> Finding:
    try:
        status = read_status(LocalHost(), status_path(AGENT))
    except NotFoundError:
        return Finding(check="daemon", ok=False, finding="it has not run since boot", hint="systemctl status protokube")
    if is_stale(status, SystemClock().now()):
        return Finding(check="daemon", ok=False, finding="it does not run", hint="systemctl status protokube")
    return Finding(check="daemon", finding=status.state)


def _volumes(config: ProtokubeConfig) -> Iterator[Finding]:
    for wanted in config.volumes:
        check = f"volume {wanted.etcd_cluster}"
        try:
            view = glance(wanted)
        except AgentError as error:
            yield Finding(check=check, ok=False, finding=str(error), hint=error.hint)
            continue
        match next_step(view):
            case Refuse(code=code, reason=reason, hint=hint):
                yield Finding(check=check, ok=False, finding=f"{reason} (rule {code})", hint=hint)
            case Wait(reason=reason, hint=hint):
                yield Finding(check=check, ok=False, finding=f"waiting for {reason}", hint=hint)
            case _:
                found = phase_of(view)
                yield Finding(check=check, ok=found is Phase.PUBLISHED, finding=found.value)


def _hosts(config: ProtokubeConfig) -> Finding:
    try:
        text = LocalHost().read(HOSTS).decode(errors="surrogateescape")
    except NotFoundError:
        text = ""
    if wanted_text(text, config.hosts) == text:
        return Finding(check=HOSTS)
    return Finding(check=HOSTS, ok=False, finding="our block is not as it should be", hint="a running protokube repairs it within 10 s")


def _certificates() -> Iterator[Finding]:
    now = SystemClock().now()
    for one in expiries(LocalHost()):
        if one.not_after - now < WARN_BEFORE:
            yield Finding(check="certificates", ok=False, finding=f"{one.path} expires at {one.not_after}", hint="nodeup apply renews it")
