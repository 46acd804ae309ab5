"""The assets of a node: where they come from, with which hash, and which files they bring.

An asset is a file or a tar archive. Which files an archive holds is known only once it was downloaded: a catalog either
knows the members of all its archives (conformance tests, a warm cache) or of none. Nothing is downloaded here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agents.errors import SpecError
from nodeup.resources.content import FromAsset

#: Schemes of asset URLs, in the order in which kops looks for them after an "@" (upup/pkg/fi/assetstore.go).
_SCHEMES = ("http://", "https://", "gs://", "s3://", "azureblob://")

#: Hash algorithms by the length of their hexadecimal form.
_ALGORITHMS = {32: "md5", 40: "sha1", 64: "sha256"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetSource:
    """One entry of the asset list: a file that any of `urls` delivers, and what it must hash to."""

    #: In order of preference.
    urls: tuple[str, ...]
    #: "sha256:<hex>"; None where the list gives none (kops' command line always does).
    hash: str | None

    @property
    def key(self) -> str:
        """The name under which planners look for it: the base name of the first URL."""
        return self.urls[0].rsplit("/", 1)[-1]

    @property
    def is_archive(self) -> bool:
        """Whether it is unpacked, and its members are assets too."""
        return self.urls[0].lower().endswith((".tar.gz", ".tgz"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveMember:
    """A regular file in an archive: `path` from the archive's root, `archive` the archive's first URL."""

    path: str
    archive: str

    @property
    def key(self) -> str:
        """The base name."""
        return self.path.rsplit("/", 1)[-1]


def parse_source(text: str) -> AssetSource:
    """Read "<hash>@<url>,<url>" or "<url>,<url>"; SpecError for anything else.

    Source: kops upup/pkg/fi/assetstore.go; the hash may carry a "sha256:" prefix and is recognised by its length otherwise.
    """
    if text.startswith(_SCHEMES):
        return AssetSource(urls=tuple(text.split(",")), hash=None)
    for scheme in _SCHEMES:
        digest, at, rest = text.partition(f"@{scheme}")
        if at:
            return AssetSource(urls=tuple((scheme + rest).split(",")), hash=_hash(digest, text))
    raise SpecError(f"asset {text!r}: wanted hash@url,url with one of the schemes {', '.join(_SCHEMES)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """All assets of a node's architecture."""

    sources: tuple[AssetSource, ...]
    #: None while the archives' members are not known.
    members: tuple[ArchiveMember, ...] | None = None

    @classmethod
    def of(cls, texts: Iterable[str], *, members: Sequence[ArchiveMember] | None = None) -> Catalog:
        """Read an asset list."""
        return cls(sources=tuple(parse_source(text) for text in texts), members=None if members is None else tuple(members))

    @property
    def members_known(self) -> bool:
        """Whether `find` and `matching` see the members of archives."""
        return self.members is not None

    @property
    def files(self) -> tuple[FromAsset, ...]:
        """Everything that can be named: each asset, then its members where they are known."""
        found: list[FromAsset] = []
        for source in self.sources:
            found.append(FromAsset(source.key, source.urls[0]))
            found.extend(FromAsset(member.key, member.path) for member in self.members or () if member.archive == source.urls[0])
        return tuple(found)

    def find(self, key: str) -> FromAsset | None:
        """Return the one asset with this base name, or None; SpecError where there are several."""
        found = [asset for asset in self.files if asset.key == key]
        if len(found) > 1:
            raise SpecError(f"asset {key} is ambiguous: {', '.join(asset.path for asset in found)}")
        return found[0] if found else None

    def need(self, key: str) -> FromAsset:
        """Return the one asset with this base name; SpecError where there is none."""
        found = self.find(key)
        if found is None:
            raise SpecError(
                f"nodeup config lists no asset {key}; found {', '.join(source.key for source in self.sources) or 'none at all'}"
            )
        return found

    def matching(self, pattern: str) -> tuple[FromAsset, ...]:
        """Return the assets whose path matches a regular expression, sorted by base name; of equal names the last one."""
        found = {asset.key: asset for asset in self.files if re.search(pattern, asset.path)}
        return tuple(found[key] for key in sorted(found))

    def archives(self, pattern: str) -> tuple[AssetSource, ...]:
        """Return the archives whose base name matches a regular expression."""
        return tuple(source for source in self.sources if source.is_archive and re.search(pattern, source.key))


def _hash(digest: str, text: str) -> str:
    algorithm, colon, value = digest.rpartition(":")
    if not re.fullmatch(r"[0-9a-fA-F]+", value) or len(value) not in _ALGORITHMS:
        raise SpecError(f"asset {text!r}: {digest!r} is not a hash (32, 40 or 64 hexadecimal digits)")
    return f"{algorithm if colon else _ALGORITHMS[len(value)]}:{value.lower()}"
