"""Where the bytes of a file come from: given, from an asset, or from another resource once that is there.

A plan is data, so bytes that exist only later (an issued certificate, a downloaded binary) are named, not held.
"""

from __future__ import annotations

from dataclasses import dataclass

from agents.secret import Secret


@dataclass(frozen=True, slots=True)
class Literal:
    """Bytes known while planning, that may be shown in a diff."""

    content: bytes


@dataclass(frozen=True, slots=True)
class SecretLiteral:
    """Bytes known while planning, of which a diff shows only that they differ."""

    content: Secret


@dataclass(frozen=True, slots=True)
class FromAsset:
    """The bytes of an asset, or of one member of an archive asset.

    `key` is the base name under which kops' asset store knows it; `path` is the URL, or the path in the archive.
    """

    key: str
    path: str


@dataclass(frozen=True, slots=True)
class FromResource:
    """An output of another resource: `producer` is its id, `output` one of "cert", "key", "ca", "config" or "<name>.cert"/"<name>.key"."""

    producer: str
    output: str

    @property
    def is_secret(self) -> bool:
        """Whether the output holds a private key: everything but certificates does (a kubeconfig holds one)."""
        return self.output.rsplit(".", 1)[-1] not in {"cert", "ca"}


Content = Literal | SecretLiteral | FromAsset | FromResource


@dataclass(frozen=True, slots=True)
class Found:
    """What stands in a file in place of the desired bytes; only reading makes it, a plan never holds one."""

    sha256: str
    size_bytes: int
    #: The bytes for a diff; None where they are secret or too large to show.
    content: bytes | None = None
