"""Which version of this project runs here."""

from __future__ import annotations

import functools


@functools.cache
def project_version() -> str:
    """Return it, "" where the project runs from a tree that was never installed; reading it costs 30 ms, so ask only when it is needed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("node-agents")
    except PackageNotFoundError:
        return ""
