"""`nodeup assets`: what this node's plan takes from outside, and with --check whether it could be had now."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from agents.cli import common, emit, table
from agents.exit_codes import ExitCode
from nodeup.commands.options import options_of, plan_options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nodeup.assets.check import MirrorAnswer
    from nodeup.assets.inventory import AssetRow, Inventory
    from nodeup.session import Session


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    plan_options(parser)
    parser.add_argument("--check", action="store_true", help="ask every mirror, and every image's registry (exit 2: something has none)")


def run(arguments: argparse.Namespace) -> ExitCode:
    """List, and with --check ask."""
    from nodeup.session import open_session

    # Below a directory, too, all assets are of interest.
    session = open_session(replace(options_of(arguments), ask_network=False, with_assets=True))
    found = _inventory(session)
    cached = {row.name: _size_if_cached(session, row) for row in found.assets}
    answers: Mapping[str, tuple[MirrorAnswer, ...]] = _answers(session, found) if arguments.check else {}
    rows = [_asset_document(row, cached[row.name], answers.get(row.name)) for row in found.assets]
    images = [
        {
            "name": image.reference,
            "usedBy": list(image.used_by),
            **({"mirrors": [_mirror_document(answer) for answer in answers[image.reference]]} if arguments.check else {}),
        }
        for image in found.images
    ]
    missing = [name for name, of_one in answers.items() if all(answer.error is not None for answer in of_one)]
    document = {"items": rows, "images": images, "unreachable": missing}
    emit(common(arguments), "NodeAssets", document, "\n".join(_lines(found, cached, answers, missing)))
    return ExitCode.FINDING if missing else ExitCode.OK


def _inventory(session: Session) -> Inventory:
    from nodeup.assets.inventory import inventory

    return inventory(session.spec, session.graph, session.planned, session.context.assets.sources)


def _size_if_cached(session: Session, row: AssetRow) -> int | None:
    """Return the size of an asset in the cache; None where it is not there, or has other bytes."""
    from nodeup.assets.download import cache_name

    digest = (row.hash or "").removeprefix("sha256:")
    path = f"{session.context.assets.directory}/{cache_name(row.urls, digest)}"
    stat = session.host.stat(path)
    return stat.size_bytes if digest and stat is not None and session.context.digest(path) == digest else None


def _answers(session: Session, found: Inventory) -> dict[str, tuple[MirrorAnswer, ...]]:
    """Ask everybody at once; an image's answer is one."""
    from nodeup.assets.check import check_images, check_mirrors
    from nodeup.assets.needed import registry_mirrors
    from nodeup.assets.transport import Transport

    urls = [url for row in found.assets for url in row.urls]
    by_url = dict(zip(urls, check_mirrors(urls, Transport()), strict=True))
    names = [image.reference for image in found.images]
    images = check_images(names, registry_mirrors(session.spec))
    of_assets = {row.name: tuple(by_url[url] for url in row.urls) for row in found.assets}
    return of_assets | {name: (answer,) for name, answer in zip(names, images, strict=True)}


def _asset_document(row: AssetRow, cached_bytes: int | None, answers: tuple[MirrorAnswer, ...] | None) -> dict[str, object]:
    mirrors = [{"url": url} for url in row.urls] if answers is None else [_mirror_document(answer) for answer in answers]
    return {
        "name": row.name,
        "hash": row.hash,
        "sizeBytes": _size(cached_bytes, answers),
        "cached": cached_bytes is not None,
        "usedBy": list(row.used_by),
        "mirrors": mirrors,
    }


def _mirror_document(answer: MirrorAnswer) -> dict[str, object]:
    return {
        "url": answer.url,
        "reachable": answer.error is None,
        "error": None if answer.error is None else str(answer.error),
        "sizeBytes": answer.size_bytes,
        "acceptsRanges": answer.accepts_ranges,
        "latencySeconds": round(answer.latency.total_seconds(), 3),
    }


def _size(cached_bytes: int | None, answers: Sequence[MirrorAnswer] | None) -> int | None:
    return cached_bytes if cached_bytes is not None else next((a.size_bytes for a in answers or () if a.size_bytes is not None), None)


def _lines(
    found: Inventory, cached: Mapping[str, int | None], answers: Mapping[str, tuple[MirrorAnswer, ...]], missing: Sequence[str]
) -> list[str]:
    columns = ("ASSET", "SIZE", "CACHED", "MIRRORS", "USED BY", "HASH")
    rows = [
        (
            row.name,
            _megabytes(_size(cached[row.name], answers.get(row.name))),
            "no" if cached[row.name] is None else "yes",
            _mirrors(row, answers.get(row.name)),
            _some(row.used_by),
            row.hash,
        )
        for row in found.assets
    ]
    lines = [table(columns, rows, right=("SIZE",)), ""]
    lines += [table(("IMAGE", "USED BY"), [(image.reference, _some(image.used_by)) for image in found.images])]
    if not answers:
        return [*lines, "", *(f"{row.name}: {url}" for row in found.assets for url in row.urls)]
    told = [(name, *_told(answer)) for name, of_one in answers.items() for answer in of_one]
    lines += ["", table(("OF", "MIRROR", "ANSWER", "SIZE", "RANGES", "LATENCY"), told, right=("SIZE", "LATENCY"))]
    return [*lines, *(["", f"no mirror delivers {', '.join(missing)}"] if missing else [])]


def _told(answer: MirrorAnswer) -> tuple[str, ...]:
    said = "ok" if answer.error is None else str(answer.error).removeprefix(f"{answer.url}: ")
    ranges = "–" if answer.error is not None else "yes" if answer.accepts_ranges else "no"
    return answer.url, said, _megabytes(answer.size_bytes), ranges, f"{answer.latency.total_seconds() * 1000:.0f} ms"


def _mirrors(row: AssetRow, answers: Sequence[MirrorAnswer] | None) -> str:
    if answers is None:
        return str(len(row.urls))
    return f"{sum(answer.error is None for answer in answers)} of {len(row.urls)}"


def _megabytes(size_bytes: int | None) -> str:
    return "–" if size_bytes is None else f"{size_bytes / 1e6:.1f} MB"


def _some(names: Sequence[str]) -> str:
    """Return the first of some names; a table has no room for a hundred."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more" if names else "–"
