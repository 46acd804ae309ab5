"""Rules about the clock: certificates, tokens and signatures are all about time. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from agents.diagnosis import Found, Unknown, critical, warning
from nodeup.doctor.view import NodeView

#: S3 and STS refuse requests signed 15 minutes off, kops-controller's tokens are good for 10; well before either.
TOO_FAR = timedelta(minutes=5)
#: More than any network's delay; leases and logs become hard to compare.
FAR = timedelta(seconds=30)


def offset(view: NodeView) -> Iterator[Found]:
    """The clock is wrong, compared with servers that this node talks to."""
    samples = view.time.samples
    if isinstance(samples, Unknown) or not samples:
        return
    # Of several servers the middle one is believed: one may be wrong itself.
    sample = sorted(samples, key=lambda one: one.ahead)[len(samples) // 2]
    off = abs(sample.ahead)
    if off < FAR:
        return
    says = f"the clock is {off.total_seconds():.0f} s {'behind' if sample.ahead > timedelta() else 'ahead'}"
    evidence = f"{sample.server} answered with a Date {sample.ahead.total_seconds():+.0f} s from ours"
    fix = "timedatectl; chronyc makestep, or systemctl restart systemd-timesyncd"
    if off >= TOO_FAR:
        yield critical(f"{says}: certificates and signed requests are refused", evidence=evidence, fix=fix)
    else:
        yield warning(says, evidence=evidence, fix=fix)


def unsynchronized(view: NodeView) -> Iterator[Found]:
    """Nothing keeps the clock."""
    if view.time.is_synchronized is False:
        yield warning(
            "nothing keeps the clock: it is not synchronized",
            evidence="timedatectl: NTPSynchronized=no",
            fix="systemctl status chrony systemd-timesyncd; is UDP port 123 open to the time server?",
        )
