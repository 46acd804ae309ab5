"""Reading what may not be there: the few ways to look at a machine's files that all programs share."""

from __future__ import annotations

from collections.abc import Iterator

from agents.errors import AgentError, NotFoundError
from agents.host.protocol import FileKind, Host


def text_of(host: Host, path: str) -> str:
    """Return a file's text; bytes that are none are replaced."""
    return host.read(path).decode(errors="replace")


def text_if_there(host: Host, path: str) -> str:
    """Return a file's text, "" where there is no file."""
    try:
        return text_of(host, path)
    except NotFoundError:
        return ""


def names_if_there(host: Host, path: str) -> tuple[str, ...]:
    """Return the names in a directory, none where there is no directory."""
    try:
        return host.list(path)
    except NotFoundError:
        return ()


def files_below(host: Host, path: str, *, depth: int) -> Iterator[str]:
    """Yield the regular files of a directory and of `depth` levels below; one that cannot be listed is as good as empty."""
    try:
        names = host.list(path)
    except AgentError:
        return
    for name in names:
        found = host.stat(f"{path}/{name}")
        if found is not None and found.kind is FileKind.FILE:
            yield f"{path}/{name}"
        elif found is not None and found.kind is FileKind.DIRECTORY and depth > 0:
            yield from files_below(host, f"{path}/{name}", depth=depth - 1)
