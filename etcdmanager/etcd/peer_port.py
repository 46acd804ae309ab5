"""Whether an etcd listens at a peer URL. No raft is spoken: only who is there by TLS, for the question whether a member is really gone."""

from __future__ import annotations

import asyncio
import logging
import ssl
from contextlib import suppress
from datetime import timedelta
from urllib.parse import urlsplit

log = logging.getLogger(__name__)


async def is_etcd_peer(url: str, *, trusted: bytes, deadline: timedelta) -> str:
    """Return `url` where an etcd of our CA listens, "" otherwise.

    A connection that is taken and then not served counts as one: a process that was paused keeps its sockets. Without TLS
    (`http://`) any listener counts.

    Args:
        url: a peer URL with host and port.
        trusted: the CA bundle of etcd's peers, PEM.
        deadline: of the whole question.
    """
    parts = urlsplit(url)
    if not parts.hostname or not parts.port:
        return ""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(deadline.total_seconds()):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port)
            if parts.scheme == "https":
                await writer.start_tls(_context(trusted))
    except TimeoutError:
        return url if writer is not None else ""
    except OSError as error:
        # ssl.SSLError is one: somebody who is not signed by our CA, or does not speak TLS.
        log.debug("nobody of ours at %s: %s", url, error)
        return ""
    finally:
        if writer is not None:
            writer.close()
            with suppress(OSError, TimeoutError):
                async with asyncio.timeout(1):
                    await writer.wait_closed()
    return url


def _context(trusted: bytes) -> ssl.SSLContext:
    """Return a context that believes the CA and no name: a member answers under its own, which may not be the host of the URL."""
    context = ssl.create_default_context(cadata=trusted.decode("ascii", "replace"))
    context.check_hostname = False
    return context
