"""What every resource has: an id, what it depends on by name, and read / apply.

The engine (`nodeup.engine`) compares `read()` with the desired value field by field, applies, and reads again: an
exit status is never believed. Ordering is not decided here: every rule of it is in `nodeup.engine.graph`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from agents.host.protocol import Host
from agents.secret import Secret

if TYPE_CHECKING:
    from agents.host.distribution import Distribution
    from agents.pki.keypair import Keypair
    from nodeup.bootstrap.state import WantedCertificates
    from nodeup.resources.readiness import Endpoint

#: Where nodeup keeps what it must remember between runs; mode 0700.
STATE_DIRECTORY = "/var/lib/node-agents/nodeup"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveMember:
    """A regular file of an unpacked archive."""

    #: Relative path in the archive, without a leading "./".
    path: str
    #: The machine's path of the unpacked file.
    file: str
    sha256: str


class RunContext(Protocol):
    """What a resource may use besides the Host while it is read or applied; `nodeup.engine.context` implements it.

    Reading never reaches the network: what is not there yet is NotFoundError, and the resource says that it differs.
    """

    @property
    def distribution(self) -> Distribution:
        """The machine's distribution."""
        ...

    def now(self) -> datetime:
        """Return the wall-clock time, in UTC."""
        ...

    def output(self, producer: str, name: str) -> bytes:
        """Return an output of a resource; NotFoundError while that has none."""
        ...

    def keep_outputs(self, producer: str, outputs: Mapping[str, bytes]) -> None:
        """Keep what a resource made, or found still good, for those that come after it."""
        ...

    def has_asset(self, key: str, url: str) -> bool:
        """Return whether an asset is in the cache, verified, and unpacked if it is an archive."""
        ...

    def bring_asset(self, key: str, url: str) -> None:
        """Download, verify and unpack an asset. Only for apply."""
        ...

    def asset_file(self, key: str, path: str) -> str:
        """Return the machine's path of a verified asset (or archive member) in the cache; NotFoundError while it is not there."""
        ...

    def asset_digest(self, key: str, path: str) -> str | None:
        """Return the SHA-256 (hex) that an asset or member must have; None while that is not known (an archive not unpacked yet)."""
        ...

    def archive_members(self, key: str, url: str) -> tuple[ArchiveMember, ...]:
        """Return the members of an unpacked archive asset; NotFoundError while it is not there."""
        ...

    def digest(self, path: str) -> str:
        """Return the SHA-256 (hex) of a file of the machine; remembered while the file's inode, size and times stay."""
        ...

    def fetch(self, urls: Sequence[str], sha256: str | None) -> str:
        """Download to the cache and return the machine's path; without a hash the caller must have another proof. Only for apply."""
        ...

    def image_files(self, image: str, paths: Sequence[str], architecture: str, mirrors: Sequence[tuple[str, str]]) -> Mapping[str, str]:
        """Take files out of a registry's image; return the paths of the verified copies by path in the image. Only for apply."""
        ...

    def signer(self, name: str, keypair_id: str) -> Keypair:
        """Return a key pair of the cluster's keysets; NotFoundError when this node holds no such key."""
        ...

    def certificate_in_place(self, producer: str, cert_output: str, key_output: str) -> tuple[bytes, Secret] | None:
        """Return a certificate and its key, unjudged, from the files that shall hold these outputs; None where they hold none."""
        ...

    def obtain_certificates(self, wanted: WantedCertificates) -> None:
        """Ask kops-controller for certificates until it issues them, and keep them on the machine. Only for apply."""
        ...

    def ipv6_prefix(self) -> str:
        """Return the IPv6 prefix of the primary interface, and have one assigned where it has none. Only for apply."""
        ...

    def complete_lifecycle(self, group: str, hook: str, instance_id: str) -> None:
        """Tell Auto Scaling that an instance is prepared. Only for apply."""
        ...

    def address_texts(self) -> tuple[str, ...]:
        """Return the node's interface addresses as CIDR texts, which spread the certificates' validity over nodes."""
        ...

    def is_pending(self, resource: str) -> bool:
        """Return whether an earlier run began an action on a resource and was not seen to end it."""
        ...

    def begin(self, resource: str, what: str) -> None:
        """Record durably that an action on a resource begins, so that the next run completes it if this one dies."""
        ...

    def end(self, resource: str) -> None:
        """Record that the action ended well."""
        ...

    def probe(self, endpoint: Endpoint) -> str:
        """Ask once whether a unit works; "" where it does, else what is wrong."""
        ...

    def wait(self, complaint: Callable[[], str], *, reason: str, hint: str, limit: timedelta) -> str:
        """Wait until `complaint()` is "", and show meanwhile in the status for what, until when, and what can be done.

        Return the last complaint where `limit` ended first. `reason` completes "waiting for …".
        """
        ...


@runtime_checkable
class Resource(Protocol):
    """One thing of the machine. Implementations are frozen dataclasses, equal when all their fields are."""

    @property
    def id(self) -> str:
        """The unique name, "<kind>:<name>", e.g. "file:/etc/hosts" or "unit:kubelet.service"."""
        ...

    def read(self, host: Host, context: RunContext) -> Self | None:
        """Return how it is now, changing nothing; None where it does not exist.

        It comes in the desired type, with fields of no concern copied from self.
        """
        ...

    def apply(self, host: Host, context: RunContext, actual: Self | None) -> None:
        """Make it so, knowing how it was; safe to run again after a crash at any point."""
        ...
