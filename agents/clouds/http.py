"""One request to a link-local metadata service: short deadlines, never through a proxy."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Mapping

from agents.errors import AccessError, TransientError

#: Metadata services are on the same host; the second attempt belongs to the caller's loop.
TIMEOUT_SECONDS = 5.0
#: A value longer than this is no metadata.
LARGEST_BYTES = 1 << 20


def ask(url: str, *, headers: Mapping[str, str], method: str = "GET") -> str | None:
    """Return the body; None for 404. AccessError for 401 and 403, TransientError for everything else that goes wrong."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url, headers=dict(headers), method=method)  # noqa: S310 - http, from this package only
    try:
        with opener.open(request, timeout=TIMEOUT_SECONDS) as response:
            content: bytes = response.read(LARGEST_BYTES)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 404:
                return None
            kind = AccessError if error.code in {401, 403} else TransientError
            raise kind(f"metadata service: {url} answered {error.code}") from error
    except OSError as error:
        raise TransientError(f"metadata service: {url}: {getattr(error, 'reason', error)}") from error
    return content.decode(errors="replace").strip()
