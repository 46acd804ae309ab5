"""What obstore's errors mean: the one place that turns them into the error tree, as `agents.host.os_errors` does for the machine's."""

from __future__ import annotations

import re

from agents.errors import AccessError, AgentError, ConflictError, NotFoundError, SpecError, TransientError

#: Codes of S3's error documents that come with status 400 but mean: your credentials are of no use.
_ACCESS_CODES = ("ExpiredToken", "InvalidToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed")
#: What S3 and Google, and what Azure say of a bucket that does not exist.
_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound")
_ACCESS_STATUS = frozenset({401, 403})

#: Request timeout, a conflicting operation in progress, too many requests; from 500 on everything may pass.
_PASSING_STATUS = frozenset({408, 409, 429})


def meaning(error: Exception, where: str) -> AgentError:
    """Return our error for one of obstore's, some of which only tell by their text what the server answered."""
    from obstore.exceptions import AlreadyExistsError, PermissionDeniedError, PreconditionError, UnauthenticatedError

    said = str(error).split("\n\nDebug source", 1)[0].strip()
    match error:
        case _ if any(code in said for code in _NO_BUCKET):
            hint = "check the URL, the endpoint and the region"
            found: AgentError = SpecError(f"{where}: the bucket does not exist", code="store-no-bucket", hint=hint)
        case FileNotFoundError():
            found = NotFoundError(f"{where} does not exist", code="store-not-found")
        case AlreadyExistsError():
            found = ConflictError(f"{where} exists already", code="store-conflict")
        case PreconditionError():
            found = ConflictError(f"{where} was changed since it was read, or is gone", code="store-conflict")
        case PermissionDeniedError() | UnauthenticatedError():
            found = _refusal(said, where)
        case _:
            found = _by_status(said, where)
    return found


def _by_status(said: str, where: str) -> AgentError:
    """Return the error for an answer that obstore has no class for, or for no answer at all."""
    status = _status(said)
    if status in _ACCESS_STATUS or any(f"<Code>{code}<" in said for code in _ACCESS_CODES):
        return _refusal(said, where)
    if status is not None and 300 <= status < 500 and status not in _PASSING_STATUS:
        return SpecError(f"{where}: {_short(said)}", code="store-unusable", hint="if the bucket is in another region, set S3_REGION")
    return TransientError(f"{where}: {_short(said)}", code="store-transient")


def _refusal(said: str, where: str) -> AccessError:
    return AccessError(f"{where}: {_short(said)}", code="store-access", hint="check the credentials and the bucket's policy")


def _status(said: str) -> int | None:
    match = re.search(r"status code: (\d{3})", said)
    return int(match.group(1)) if match else None


def _short(said: str) -> str:
    """Return S3's own code and message where the text holds its error document, or else the text without line breaks."""
    code = re.search(r"<Code>([^<]*)</Code>", said)
    message = re.search(r"<Message>([^<]*)</Message>", said)
    if code:
        return f"{code.group(1)}: {message.group(1)}" if message else code.group(1)
    return " ".join(said.split())
