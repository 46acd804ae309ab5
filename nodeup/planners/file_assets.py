"""Files that operators (and kops itself) put into the cluster's specification."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from agents.errors import SpecError
from nodeup.planners.context import PlanContext, Profile
from nodeup.planners.parts import directory
from nodeup.resources.content import Literal
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource
from nodeup.spec.section import Section

#: Readable by root's group only: files may hold anything.
_DEFAULT_MODE = 0o440


def plan_file_assets(context: PlanContext) -> Iterator[AnyResource]:
    """Plan each file and its directory. Of two with one path the first counts: the instance group's stand before the cluster's."""
    assets = f"{context.srv}/assets"
    yield directory(assets)
    taken: set[str] = set()
    for asset in context.spec.file_assets:
        path = _path(context, asset, assets)
        if path in taken:
            continue
        taken.add(path)
        yield directory(str(PurePosixPath(path).parent))
        yield File(path=path, content=Literal(_content(asset)), mode=_mode(asset))


def _path(context: PlanContext, asset: Section, default_directory: str) -> str:
    """Return where the file goes. A relative path is one from /, where systemd starts kops' nodeup; in its profile it stays as it is."""
    path, name = asset.text("path"), asset.text("name")
    if not path and not name:
        raise SpecError(f"{asset.path}: a file asset needs a path or a name, and has neither")
    if not path:
        return f"{default_directory}/{name}"
    return path if path.startswith("/") or context.profile is Profile.KOPS else f"/{path}"


def _content(asset: Section) -> bytes:
    """Return the bytes; base64 may be padded or not (kops accepts it only without padding)."""
    text = asset.text("content")
    if not asset.boolean("isBase64"):
        return text.encode()
    stripped = re.sub(r"\s", "", text).rstrip("=")
    try:
        return base64.b64decode(stripped + "=" * (-len(stripped) % 4), validate=True)
    except binascii.Error as error:
        raise SpecError(f"{asset.path} ({asset.text('name')}): content is marked as base64 and is not: {error}") from error


def _mode(asset: Section) -> int:
    text = asset.text("mode")
    if not text:
        return _DEFAULT_MODE
    if not re.fullmatch(r"[0-7]{1,5}", text):
        raise SpecError(f'{asset.path} ({asset.text("name")}): mode "{text}" is not an octal number such as 0440')
    return int(text, 8)
