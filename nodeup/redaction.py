"""Taking secrets out of text: those whose values are known, in all forms that they come in, and what looks like one. Pure.

Used for what leaves the machine. It errs to the safe side: a line may lose more than a secret.
"""

from __future__ import annotations

import base64
import re
import urllib.parse
from collections.abc import Collection, Iterator

REDACTED = b"[redacted]"
#: Shorter values are words that stand everywhere ("yes", "admin"); a real credential is longer.
SHORTEST_SECRET = 6

#: Names of variables and fields that say that their value is a credential.
_NAMES = rb"[A-Za-z0-9_-]*(?:secret|password|passwd|token|credential|private[_-]?key|access[_-]?key|key-data)[A-Za-z0-9_-]*"
_VALUE = rb"(\"[^\"\n]*\"|'[^'\n]*'|[^\s,}]+)"

_PATTERNS: tuple[tuple[re.Pattern[bytes], bytes], ...] = (
    # A private key, also one that was cut off by a tail, or whose newlines were escaped.
    (re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), REDACTED),
    (re.compile(rb"(authorization[\"']?\s*[:=]\s*[\"']?(?:(?:bearer|basic|digest)\s+)?)[^\s\"',}]+", re.IGNORECASE), rb"\1" + REDACTED),
    # NAME=value and "name": value; also docker's "auth".
    (re.compile(rb"((?:" + _NAMES + rb"|\bauth)[\"']?\s*[=:]\s*)" + _VALUE, re.IGNORECASE), rb"\1" + REDACTED),
    # user:password in URLs, signed URLs, JSON Web Tokens, and access keys of AWS.
    (re.compile(rb"(://)[^/\s:@\"']+:[^/\s@\"']+@"), rb"\1" + REDACTED + rb"@"),
    (re.compile(rb"((?:X-Amz-Signature|X-Amz-Credential|X-Amz-Security-Token|sig|Signature)=)[^&\s\"']+"), rb"\1" + REDACTED),
    (re.compile(rb"eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}(\.[A-Za-z0-9_-]*)?"), REDACTED),
    (re.compile(rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), REDACTED),
)


def redact(text: bytes, secrets: Collection[bytes]) -> bytes:
    """Return the text without these secrets, in any of their forms, and without what looks like one."""
    for form in sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True):
        text = text.replace(form, REDACTED)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def _forms(secret: bytes) -> Iterator[bytes]:
    """Yield how a secret may be written: as it is, line by line, base64 in both alphabets, percent-encoded, with escaped newlines."""
    clean = secret.strip()
    if len(clean) < SHORTEST_SECRET:
        return
    yield clean
    yield clean.replace(b"\n", b"\\n")
    for one in {secret, clean}:
        # The last characters of base64 depend on what follows: padding is left out, and up to two bytes of the secret.
        yield base64.b64encode(one).rstrip(b"=")
        yield base64.urlsafe_b64encode(one).rstrip(b"=")
    yield urllib.parse.quote(clean, safe="").encode()
    for line in clean.splitlines():
        words = line.strip()
        if len(words) >= SHORTEST_SECRET and not words.startswith(b"-----"):
            yield words
