"""What to ask kops-controller for before anything is planned, decided from what is kept on this machine. Pure.

    copy  pinned  certificates      call                       waits for it
    ----  ------  ----------------  -------------------------  ------------
    no    -       -                 CONFIG                     yes
    yes   yes     good or missing   NONE                       -             (missing ones are asked for later, by themselves)
    yes   yes     aging             CONFIG_AND_CERTIFICATES    no
    yes   no      good              CONFIG                     no
    yes   no      aging or missing  CONFIG_AND_CERTIFICATES    no            (CONFIG, where it is not known what to ask for)

*Pinned* is a configuration that user data has the hash of: no server can have another one for this machine, so that a worker
boots again without the control plane. Where there is a copy nothing is waited for: what needs an answer waits by itself,
while the rest of the machine is set up.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Call(Enum):
    """What one request asks for."""

    NONE = "none"
    CONFIG = "config"
    CONFIG_AND_CERTIFICATES = "config-and-certificates"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is on the machine."""

    has_copy: bool
    #: Whether user data has the configuration's hash.
    is_pinned: bool
    #: Whether an earlier run left word which certificates this node needs.
    knows_certificates: bool
    has_good_certificates: bool
    has_aging_certificates: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NextCall:
    """What to do."""

    call: Call
    #: Whether nothing can go on without the answer.
    must: bool


def next_call(kept: Kept) -> NextCall:
    """Return what to ask for, by the table above."""
    if not kept.has_copy:
        return NextCall(call=Call.CONFIG, must=True)
    wants_certificates = kept.has_aging_certificates or (not kept.is_pinned and not kept.has_good_certificates)
    if wants_certificates and kept.knows_certificates:
        return NextCall(call=Call.CONFIG_AND_CERTIFICATES, must=False)
    return NextCall(call=Call.NONE if kept.is_pinned else Call.CONFIG, must=False)
