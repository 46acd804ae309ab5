"""Which file a key is extracted to; pure.

    /registry/pods/default/a      registry/pods/default/a.value

No file leaves the directory, different keys have different files, and no file lies where another key needs a directory.
"""

from __future__ import annotations

from hashlib import sha256
from urllib.parse import quote_from_bytes

_SUFFIX = ".value"
_SAFE = " :@+,="
#: File systems take 255 bytes; longer parts keep their beginning, and a hash of the whole.
_LONGEST = 240
#: A percent sign of a key is %25, so that these can come from nothing else.
_EMPTY, _RELATIVE, _SHORTENED = "%", "%-", "%~"


def file_of(key: bytes) -> str:
    """Return a key's file, relative to the directory, with slashes."""
    relative = not key.startswith(b"/")
    *directories, last = key.split(b"/")[0 if relative else 1 :]
    parts = [*([_RELATIVE] if relative else []), *(_directory(part) for part in directories), _part(last) + _SUFFIX]
    return "/".join(parts)


def _directory(part: bytes) -> str:
    name = _part(part)
    return name[: -len(_SUFFIX)] + "%2Evalue" if name.endswith(_SUFFIX) else name


def _part(part: bytes) -> str:
    if not part:
        return _EMPTY
    if set(part) == {ord(".")}:
        return "%2E" * len(part) if len(part) <= _LONGEST // 3 else _shortened("%2E", part)
    name = quote_from_bytes(part, safe=_SAFE)
    return name if len(name) <= _LONGEST else _shortened(name, part)


def _shortened(name: str, part: bytes) -> str:
    # A cut within %xx is no matter: the hash tells the parts apart.
    return f"{name[:160]}{_SHORTENED}{sha256(part).hexdigest()[:40]}"
