"""The block in /etc/hosts that protokube keeps, after nodeup has seeded it. How a block looks is in `agents.hosts_file`."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from agents.errors import NotFoundError
from agents.host.protocol import Host
from agents.hosts_file import KOPS_BEGIN, KOPS_END, host_lines, replace_block
from protokube.spec import HostRecord

log = logging.getLogger(__name__)

PATH = "/etc/hosts"


def wanted_text(text: str, records: Sequence[HostRecord]) -> str:
    """Return the whole file with these records in our block; without records it is left alone, for then the block is not ours."""
    if not records:
        return text
    names: dict[str, list[str]] = {}
    for record in records:
        names.setdefault(record.hostname, []).extend(record.addresses)
    return replace_block(text, begin=KOPS_BEGIN, end=KOPS_END, lines=host_lines(names))


def keep_hosts(host: Host, records: Sequence[HostRecord]) -> bool:
    """Make the block right, in place (the file may be bind-mounted into containers); return whether that took a change."""
    try:
        text = host.read(PATH).decode(errors="surrogateescape")
    except NotFoundError:
        text = ""
    wanted = wanted_text(text, records)
    if wanted == text:
        return False
    content = wanted.encode(errors="surrogateescape")
    if host.stat(PATH) is None:
        host.write(PATH, content, mode=0o644)
    else:
        host.write_in_place(PATH, content)
    log.info("rewrote our block in %s: %s", PATH, ", ".join(record.hostname for record in records))
    return True
