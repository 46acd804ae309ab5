"""Our error tree across gRPC: a status code that a Go peer understands, and our own code and hint in trailing metadata.

The Go program looks only at whether there was an error and at its text; our peers get the same class back.
"""

from __future__ import annotations

import grpc
import grpc.aio

from agents import errors

#: The first row whose class fits is sent; the first row whose status fits is what a received status becomes.
_TABLE: tuple[tuple[type[errors.AgentError], grpc.StatusCode], ...] = (
    (errors.SpecError, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.RefusedError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.NotFoundError, grpc.StatusCode.NOT_FOUND),
    (errors.VerificationError, grpc.StatusCode.DATA_LOSS),
    (errors.ConflictError, grpc.StatusCode.ABORTED),
    (errors.BusyError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.DeadlineError, grpc.StatusCode.DEADLINE_EXCEEDED),
    (errors.AccessError, grpc.StatusCode.PERMISSION_DENIED),
    (errors.AccessError, grpc.StatusCode.UNAUTHENTICATED),
    (errors.InvariantError, grpc.StatusCode.INTERNAL),
    (errors.TransientError, grpc.StatusCode.UNAVAILABLE),
)

CODE_KEY = "x-error-code"
HINT_KEY = "x-error-hint"

#: The code of the NotFoundError that a Go peer's missing MemberService becomes.
UNIMPLEMENTED = "peer-unimplemented"


def status_of(error: errors.AgentError) -> grpc.StatusCode:
    """Return the gRPC status that stands for the class of `error`."""
    for kind, status in _TABLE:
        if isinstance(error, kind):
            return status
    return grpc.StatusCode.UNKNOWN


def trailing_metadata(error: errors.AgentError) -> tuple[tuple[str, str], ...]:
    """Return code and hint as metadata; characters outside ASCII are escaped, because HTTP/2 carries none."""
    pairs = ((CODE_KEY, error.code), (HINT_KEY, error.hint))
    return tuple((key, value.encode("ascii", "backslashreplace").decode()) for key, value in pairs if value)


def from_rpc_error(error: grpc.aio.AioRpcError, *, peer: str, call: str) -> errors.AgentError:
    """Return the AgentError that a failed call to `peer` means; Go's plain errors (UNKNOWN) are transient.

    The message says who was asked for what. UNIMPLEMENTED becomes NotFoundError with the code `UNIMPLEMENTED`.
    """
    metadata = _text_metadata(error)
    message = f"{call} at peer {peer}: {error.details() or error.code().name}"
    hint = metadata.get(HINT_KEY, "")
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        return errors.NotFoundError(message, code=UNIMPLEMENTED, hint=hint)
    for kind, status in _TABLE:
        if status is error.code():
            return kind(message, code=metadata.get(CODE_KEY), hint=hint)
    return errors.TransientError(message, code=metadata.get(CODE_KEY), hint=hint)


def _text_metadata(error: grpc.aio.AioRpcError) -> dict[str, str]:
    """Return the trailing metadata that is text. The stubs type an entry as a class that cannot be unpacked; it is a tuple."""
    found: dict[str, str] = {}
    for entry in error.trailing_metadata() or ():
        key, value = tuple(entry)  # type: ignore[arg-type, var-annotated]
        if isinstance(value, str):
            found[str(key)] = value
    return found
