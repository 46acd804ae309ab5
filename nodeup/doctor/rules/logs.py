"""Known lines of journals, and what they mean: one rule a line. Pure.

Only the last line that a rule fits is evidence: journals repeat themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from agents.diagnosis import Found, Severity, Unknown
from nodeup.doctor.view import NodeView

#: Longer lines are cut in the evidence.
LONGEST_EVIDENCE = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownLine:
    """What a line of a journal looks like, what it means and what to do."""

    id: str
    pattern: str
    says: str
    fix: str
    severity: Severity = Severity.CRITICAL


#: Patterns are searched for without regard to case. Sources: messages of kubelet, containerd and the Linux kernel.
KNOWN_LINES: tuple[KnownLine, ...] = (
    KnownLine(
        id="ND101", pattern=r"no space left on device", says="something could not be written: the disk was full", fix="nodeup doctor --disk"
    ),
    KnownLine(
        id="ND102",
        pattern=r"out of memory: killed process|oom-kill:",
        says="the kernel killed a process because memory ran out",
        fix="reserve memory for the system (kubelet's systemReserved), or use a larger machine",
        severity=Severity.WARNING,
    ),
    KnownLine(
        id="ND103",
        pattern=r"i/o error, dev|ext4-fs error|xfs.*corruption|remounting filesystem read-only",
        says="a disk has errors",
        fix="replace the machine or its disk",
    ),
    KnownLine(
        id="ND104", pattern=r"exec format error", says="a program of another architecture was started", fix="nodeup doctor --json; uname -m"
    ),
    KnownLine(
        id="ND105",
        pattern=r"too many open files|inotify.*(no space|limit)|user limit.*inotify",
        says="a limit for open files or inotify watches was reached",
        fix="sysctl fs.inotify.max_user_instances=8192 fs.inotify.max_user_watches=524288",
        severity=Severity.WARNING,
    ),
    KnownLine(
        id="ND106",
        pattern=r"certificate has expired or is not yet valid",
        says="a certificate was refused for its time",
        fix="timedatectl; nodeup certs",
    ),
    KnownLine(
        id="ND107",
        pattern=r"certificate signed by unknown authority",
        says="a certificate of another CA was met",
        fix="was the cluster's CA rotated? nodeup certs; replace the machine if user data has the old CA",
    ),
    KnownLine(
        id="ND108",
        pattern=r"unable to register node.*(forbidden|unauthorized)|node .* is not allowed|is forbidden: user .*system:node",
        says="the API server does not take this kubelet for the node that it says it is",
        fix="nodeup certs (common name system:node:…); compare with the name that the cloud gives this machine",
    ),
    KnownLine(
        id="ND109",
        pattern=r"cni plugin not initialized|networkpluginnotready|no networks found in /etc/cni/net\.d",
        says="the network plugin has not set up this node",
        fix="crictl ps -a | grep -iE 'cilium|calico|flannel|kindnet|aws-node'; ls /etc/cni/net.d",
        severity=Severity.WARNING,
    ),
    KnownLine(
        id="ND110",
        pattern=r"failed to get sandbox image|failed to pull image .*pause",
        says="the sandbox image cannot be had, so no pod starts",
        fix="nodeup doctor --registry",
    ),
    KnownLine(
        id="ND111",
        pattern=r"running with swap on is not supported",
        says="kubelet does not start with swap",
        fix="swapoff -a",
    ),
    KnownLine(
        id="ND112",
        pattern=r"kubelet cgroup driver: .* is different from|cgroup v1 .*(not supported|support is)|failed to validate kubelet config",
        says="kubelet refuses its configuration",
        fix="journalctl -u kubelet -n 50; nodeup plan",
    ),
    KnownLine(
        id="ND113",
        pattern=r"bind: address already in use",
        says="a port was taken",
        fix="ss -ltnp",
    ),
    KnownLine(
        id="ND114",
        pattern=r"lookup \S+.*(no such host|server misbehaving|i/o timeout)",
        says="a name did not resolve",
        fix="nodeup doctor --network",
        severity=Severity.WARNING,
    ),
    KnownLine(
        id="ND115",
        pattern=r"429 too many requests|toomanyrequests",
        says="a registry or server limits how often this address may ask",
        fix="use a mirror (/etc/containerd/certs.d) or wait",
        severity=Severity.WARNING,
    ),
)


def check_of(known: KnownLine) -> Callable[[NodeView], Iterator[Found]]:
    """Return the rule that looks for a known line."""
    pattern = re.compile(known.pattern, re.IGNORECASE)

    def check(view: NodeView) -> Iterator[Found]:
        lines = view.logs.lines
        if isinstance(lines, Unknown):
            return
        fitting = [line for line in lines if pattern.search(line.text)]
        if fitting:
            last = fitting[-1]
            evidence = f"{last.unit}: {' '.join(last.text.split())[:LONGEST_EVIDENCE]}"
            says = known.says if len(fitting) == 1 else f"{known.says} ({len(fitting)} times)"
            yield Found(severity=known.severity, says=says, evidence=evidence, fix=known.fix)

    return check
