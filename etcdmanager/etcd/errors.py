"""What etcd's gRPC answers mean in the terms of `agents.errors`; pure.

etcd says most of it in text: the same status code stands for "a peer is away" and "you may not do that". The codes
here are stable; the texts are those of etcd 3.4 to 3.6 (etcd api/v3rpc/rpctypes/error.go).
"""

from __future__ import annotations

from agents.errors import (
    AccessError,
    AgentError,
    ConflictError,
    DeadlineError,
    NotFoundError,
    RefusedError,
    SpecError,
    TransientError,
    VerificationError,
)

#: (fragment of etcd's text, class, our code); the first that matches wins, before the status code is looked at.
_BY_TEXT: tuple[tuple[str, type[AgentError], str], ...] = (
    ("can only promote a learner member which is in sync", TransientError, "etcd-learner-not-ready"),
    ("can only promote a learner member", ConflictError, "etcd-not-a-learner"),
    ("too many learner members", ConflictError, "etcd-too-many-learners"),
    ("re-configuration failed due to not enough started members", TransientError, "etcd-unstarted-members"),
    ("unhealthy cluster", TransientError, "etcd-unhealthy-cluster"),
    ("peer urls already exists", ConflictError, "etcd-member-exists"),
    ("peerurl exists", ConflictError, "etcd-member-exists"),
    ("member id already exist", ConflictError, "etcd-member-exists"),
    ("member not found", NotFoundError, "etcd-member-not-found"),
    ("no leader", TransientError, "etcd-no-leader"),
    ("not leader", ConflictError, "etcd-not-leader"),
    ("leader changed", TransientError, "etcd-leader-changed"),
    ("database space exceeded", RefusedError, "etcd-nospace"),
    ("corrupt cluster", VerificationError, "etcd-corrupt"),
    ("has been compacted", NotFoundError, "etcd-compacted"),
    ("required revision is a future revision", TransientError, "etcd-future-revision"),
    ("requested lease not found", NotFoundError, "etcd-lease-not-found"),
    ("lease already exists", ConflictError, "etcd-lease-exists"),
    ("invalid downgrade target version", SpecError, "etcd-downgrade-target"),
    ("downgrade job in progress", ConflictError, "etcd-downgrade-under-way"),
    ("no inflight downgrade", ConflictError, "etcd-no-downgrade"),
    ("too many requests", TransientError, "etcd-too-many-requests"),
    ("request timed out", TransientError, "etcd-timeout"),
    ("certificate_verify_failed", AccessError, "etcd-tls"),
    ("bad certificate", AccessError, "etcd-tls"),
    ("certificate required", AccessError, "etcd-tls"),
)

_BY_STATUS: dict[str, tuple[type[AgentError], str]] = {
    "UNAVAILABLE": (TransientError, "etcd-unavailable"),
    "DEADLINE_EXCEEDED": (DeadlineError, "etcd-deadline"),
    "CANCELLED": (TransientError, "etcd-cancelled"),
    "ABORTED": (TransientError, "etcd-aborted"),
    "RESOURCE_EXHAUSTED": (TransientError, "etcd-exhausted"),
    "NOT_FOUND": (NotFoundError, "etcd-not-found"),
    "ALREADY_EXISTS": (ConflictError, "etcd-exists"),
    "FAILED_PRECONDITION": (ConflictError, "etcd-precondition"),
    "OUT_OF_RANGE": (NotFoundError, "etcd-out-of-range"),
    "INVALID_ARGUMENT": (SpecError, "etcd-argument"),
    "UNAUTHENTICATED": (AccessError, "etcd-unauthenticated"),
    "PERMISSION_DENIED": (AccessError, "etcd-permission"),
    "UNIMPLEMENTED": (SpecError, "etcd-unimplemented"),
    "DATA_LOSS": (VerificationError, "etcd-data-loss"),
}


def error_of(status: str, text: str, *, doing: str, endpoint: str) -> AgentError:
    """Return the error that a failed call is, `status` being gRPC's name for it ("UNAVAILABLE").

    `doing` names the call as an operator would ("list members"). An unknown pair is a plain AgentError, which
    is not retried: a new text of etcd's must be looked at once, not hammered.
    """
    message = f"etcd at {endpoint}: could not {doing}: {text or status}"
    lowered = text.lower()
    for fragment, kind, code in _BY_TEXT:
        if fragment in lowered:
            return kind(message, code=code)
    found = _BY_STATUS.get(status)
    if found is None:
        return AgentError(message, code=f"etcd-{status.lower().replace('_', '-')}")
    kind, code = found
    return kind(message, code=code)
