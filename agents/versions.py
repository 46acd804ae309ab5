"""Versions of Kubernetes, etcd, containerd and the like: parsed, ordered, printed. Pre-releases are not told apart from their release."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from agents.errors import SpecError

#: Two or three numbers that are no part of a longer word or number; a leading "v" is allowed, and the patch may be missing.
_PATTERN = re.compile(r"(?<![0-9A-Za-z.])v?([0-9]{1,9})\.([0-9]{1,9})(?:\.([0-9]{1,9}))?(?![0-9])")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Version:
    """Major, minor and patch; ordered by them."""

    major: int
    minor: int
    patch: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the version in "v3.5.16", "1.34.0-beta.1", "1.34" or a URL such as "https://…/release/v1.30.0/…".

        A missing patch is 0; what follows the numbers (pre-release, build) is dropped, as kops does when it compares.
        In a URL the first path component that is a version counts. SpecError where there is none.
        """
        candidates = text.split("/")[3:] if "://" in text else (text.strip(),)
        for candidate in candidates:
            if match := _PATTERN.match(candidate):
                major, minor, patch = match.groups(default="0")
                return cls(major=int(major), minor=int(minor), patch=int(patch))
        raise SpecError(f"wanted a version such as 1.34.2, found {text!r}")

    def at_least(self, major: int, minor: int, patch: int = 0) -> bool:
        """Return whether this is that version or a later one."""
        return (self.major, self.minor, self.patch) >= (major, minor, patch)

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"
