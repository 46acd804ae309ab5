"""What a key may look like, and how keys below a prefix are named; pure, and the same for every store."""

from __future__ import annotations

from agents.errors import SpecError

#: S3 and GCS end at 1,024 bytes of UTF-8 for bucket prefix and key together; a local file name ends at 255 per component.
LONGEST_KEY_BYTES = 1024

#: Files that a local store has not finished. No key may use the name: a leftover is never taken for a blob, nor a blob for a leftover.
PARTIAL_PREFIX = ".partial-"


def check_key(key: str) -> str:
    """Return `key` if it is well formed, or raise SpecError that says what is wrong with it.

    Refused are traversal (`.`, `..`, empty components, a `/` at either end), control characters, a component that starts
    with ".partial-", text that UTF-8 cannot hold, and more than 1,024 bytes. Everything else is a name: colons (backup names
    hold them), spaces, `%`, any script.
    """
    problem = _problem(key)
    if problem is not None:
        raise SpecError(
            f"store key {key!r} {problem}; a key is a relative path such as 'control/etcd-cluster-spec'", code="store-malformed-key"
        )
    return key


def check_prefix(prefix: str) -> str:
    """Return `prefix` if it is "" or a well-formed key, or raise SpecError."""
    return prefix if prefix == "" else check_key(prefix)


def joined(prefix: str, key: str) -> str:
    """Return `key` as it is called one level up, where `prefix` is the way down; either may be ""."""
    return f"{prefix}/{key}" if prefix and key else prefix or key


def _problem(key: str) -> str | None:
    """Return what is wrong with a key as the rest of a sentence, or None where nothing is."""
    components = key.split("/")
    size_bytes = len(key.encode(errors="replace"))
    problems = (
        ("has an empty component", "" in components),
        ("has a component '.' or '..'", "." in components or ".." in components),
        ("has a control character", any(ord(character) < 0x20 or ord(character) == 0x7F for character in key)),
        ("cannot be written as UTF-8", any("\ud800" <= character <= "\udfff" for character in key)),
        (f"has a component that starts with {PARTIAL_PREFIX!r}, which is reserved", any(c.startswith(PARTIAL_PREFIX) for c in components)),
        (f"has {size_bytes} bytes, more than {LONGEST_KEY_BYTES}", size_bytes > LONGEST_KEY_BYTES),
    )
    return next((problem for problem, present in problems if present), None)
