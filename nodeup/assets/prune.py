"""Taking out of the cache what no plan of the last two complete runs used: every upgrade brings 250 MB, and nobody looks there.

Only names that we, or kops' nodeup, give are touched; anything else in the directory stays. Two runs, not one: an operator who goes back
to the former version of a cluster finds its files still there.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import time
from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta
from pathlib import Path

from agents.errors import NotFoundError
from agents.host.os_errors import os_errors
from agents.host.protocol import Host
from nodeup.assets.download import cache_name
from nodeup.assets.image import image_directory
from nodeup.assets.registry import parse_reference
from nodeup.engine.graph import Step
from nodeup.resources.asset import Asset
from nodeup.resources.image import ImageArchive, ImageFiles
from nodeup.resources.package import AptSource
from nodeup.resources.protocol import STATE_DIRECTORY

log = logging.getLogger(__name__)

#: Which names each of the last complete runs used, newest first.
USES = f"{STATE_DIRECTORY}/cache-uses.json"
RUNS = 2
#: Removing is housekeeping: what is not done by then is done after the next run.
LONGEST = timedelta(seconds=5)
#: The names of downloads, and of kops' images (upup/pkg/fi/assetstore.go has no algorithm in front of these).
_OURS = re.compile(r"(sha256:[0-9a-f]{64}|url:[0-9a-f]{64}|[0-9a-f]{64})_[A-Za-z0-9_-]*")
_PARTIAL = re.compile(rf"\.({_OURS.pattern})\.\d+-\d+-\d+\.partial")


def names_in_use(steps: Iterable[Step], source_names: dict[str, str], kept: Iterable[str]) -> frozenset[str]:
    """Return the names in the cache that a plan uses; "images/<directory>" for files out of an image. Pure.

    `source_names` are the cache's names of assets by their first URL; `kept` are further names, such as a bundle's images.
    """
    found = set(kept)
    for step in steps:
        match step:
            case Asset():
                found.add(source_names[step.url])
            case ImageArchive():
                found.add(cache_name(step.sources, step.hash.removeprefix("sha256:")))
            case ImageFiles():
                found.add(f"images/{image_directory(Path(), parse_reference(step.image)).name}")
            case AptSource():
                found.add(cache_name((step.keyring_url,), None))
            case _:
                pass
    return frozenset(found)


def unused(names: Iterable[str], uses: Sequence[Collection[str]]) -> tuple[str, ...]:
    """Return those of the cache's names that none of the last runs used, sorted; none before `RUNS` runs are known. Pure.

    Below "extracted/" a name is in use when its archive is; a partial file when its whole one is.
    """
    if len(uses) < RUNS:
        return ()
    used = frozenset().union(*uses)
    return tuple(sorted(name for name in names if (whole := _whole(name)) is not None and whole not in used))


def prune_cache(host: Host, directory: str, in_use: Collection[str], *, longest: timedelta = LONGEST) -> tuple[str, ...]:
    """Record what a complete run used, and remove what none of the last runs did; return what was removed.

    An error of the disk is an AgentError; what was removed until then is gone, and the rest is tried after the next run.
    """
    uses = [sorted(in_use), *_former_uses(host)][:RUNS]
    host.write(USES, json.dumps(uses, indent=0).encode() + b"\n", mode=0o600)
    removed = []
    ends = time.monotonic() + longest.total_seconds()
    for name in unused(_names(host, directory), uses):
        if time.monotonic() > ends:
            break
        path = Path(host.local_path(f"{directory.rstrip('/')}/{name}"))
        with os_errors("remove", f"{directory}/{name}"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        removed.append(name)
    if removed:
        log.info("removed from %s what the last %d runs did not use: %s", directory, RUNS, ", ".join(removed))
    return tuple(removed)


def _whole(name: str) -> str | None:
    """Return the name that must be in use for `name` to be; None for what is not ours."""
    if name.startswith("images/"):
        return name
    base = name.removeprefix("extracted/")
    partial = _PARTIAL.fullmatch(base)
    if partial is not None:
        return partial[1]
    return base if _OURS.fullmatch(base) else None


def _names(host: Host, directory: str) -> list[str]:
    found = []
    for room in ("", "extracted/", "images/"):
        try:
            found += [f"{room}{name}" for name in host.list(f"{directory.rstrip('/')}/{room}".rstrip("/"))]
        except NotFoundError:
            continue
    return found


def _former_uses(host: Host) -> list[list[str]]:
    try:
        document = json.loads(host.read(USES))
        return [[str(name) for name in run] for run in document]
    except (NotFoundError, ValueError, TypeError):
        return []
