"""The error tree of all agents, cut by who must act on an error.

    AgentError
    ├── SpecError            the operator: what was asked for is wrong
    ├── TransientError       nobody: try again, it may pass
    ├── RefusedError         a human with a command: going on could lose data
    ├── NotFoundError        whoever named the thing that does not exist
    ├── VerificationError    nobody may use it: data is damaged or is not what it claims to be
    ├── ConflictError        nobody: someone else changed it first; look again
    ├── BusyError            nobody: someone else is at it; wait for them
    ├── DeadlineError        nobody: a bounded wait ended
    ├── AccessError          the operator: credentials or permissions
    └── InvariantError       us: a bug

This module decides what an error *means*; `agents.exit_codes` decides what a process then exits with.
"""

from __future__ import annotations


class AgentError(Exception):
    """Something did not work, said in a sentence that names what was wanted, what was found and what to do.

    `code` is stable and meant for machines (`store-conflict`, `S2-unverified-backup`); `hint` is the next
    thing to try, as a sentence or a command, or "" where the message already says it.
    """

    code = "error"

    def __init__(self, message: str, *, code: str | None = None, hint: str = "") -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        self.hint = hint


class SpecError(AgentError):
    """The configuration, the command line or a file that an operator owns is wrong.

    Raised while decoding and planning. It is never retried: the same input gives the same error. You do *not*
    get it for an input that cannot be fetched; that is TransientError, AccessError or NotFoundError.
    """

    code = "spec"


class TransientError(AgentError):
    """It did not work this time, for a reason that may pass: a peer is away, a server answered 503.

    Whoever holds the loop decides whether and when to try again; nothing below the loop does.
    """

    code = "transient"


class RefusedError(AgentError):
    """The safe thing was to do nothing, and only an operator may decide otherwise.

    Raised where going on could lose data: no member holds a copy, a disk is not blank, a backup is not
    verified. It is not retried. The code names the rule; the hint names the flag that overrides it, if any.
    You do *not* get it for a peer that is merely away; that is TransientError.
    """

    code = "refused"


class NotFoundError(AgentError):
    """The named thing does not exist: an object in a store, a backup, a member, a file."""

    code = "not-found"


class VerificationError(AgentError):
    """Bytes are not what they should be: a hash, a signature or a structure does not hold."""

    code = "verification"


class ConflictError(AgentError):
    """A conditional write lost: the object exists already, or changed since it was read."""

    code = "conflict"


class BusyError(AgentError):
    """Someone else holds the lock or is doing the same work; the message says who, and since when."""

    code = "busy"


class DeadlineError(AgentError):
    """A bounded wait ended before what it waited for; the message says what that was and for how long."""

    code = "deadline"


class AccessError(AgentError):
    """Authentication or permission: we reached it, and it would not let us."""

    code = "access"


class InvariantError(AgentError):
    """What cannot be, is: a bug of ours. The message holds what a bug report needs."""

    code = "invariant"
