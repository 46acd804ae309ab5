"""The RunContext of a run: outputs, assets, signers, digests and the journal in one place, safe for several threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from agents.clock import Clock
from agents.errors import InvariantError, NotFoundError, SpecError, TransientError, VerificationError
from agents.host.distribution import Distribution
from agents.pki.keypair import Keypair, load_certificate, load_private_key
from agents.pki.keyset import Keyset
from agents.secret import Secret
from agents.status import Waiting
from agents.timestamps import format_timestamp
from nodeup.assets.cache import AssetCache
from nodeup.bootstrap.state import WantedCertificates
from nodeup.engine.in_place import FindInPlace
from nodeup.engine.journal import Digests, Journal
from nodeup.engine.probe import probe
from nodeup.resources.protocol import ArchiveMember
from nodeup.resources.readiness import Endpoint
from nodeup.spec.node import missing_keyset

#: Short beside what is waited for, long beside one question.
POLL = timedelta(milliseconds=500)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineContext:
    """What resources may use; its parts hold all state, this only brings them together."""

    distribution: Distribution
    clock: Clock
    assets: AssetCache
    digests: Digests
    journal: Journal
    keysets: Mapping[str, Keyset]
    #: Raises SpecError for a program (its name, its path) that this machine cannot execute; None where nothing is checked.
    check_program: Callable[[str, str], None] | None = None
    #: Finds certificates in the files that they will be written to; None where nobody looks.
    find_in_place: FindInPlace | None = None
    #: Interface addresses in CIDR form.
    addresses: tuple[str, ...] = ()
    #: Asks kops-controller; None on nodes that sign for themselves.
    obtain: Callable[[WantedCertificates], None] | None = None
    #: Asks EC2; None where nothing was planned that needs it.
    prefix: Callable[[], str] | None = None
    #: Whether a unit answers; see `nodeup.engine.probe`.
    ask: Callable[[Endpoint], str] = probe
    #: Told what a step waits for, and that it does so no longer (None).
    on_wait: Callable[[str, Waiting | None], None] | None = None
    #: Tells Auto Scaling (group, hook, instance); None where it may not be told.
    completes: Callable[[str, str, str], None] | None = None
    _outputs: dict[tuple[str, str], bytes] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def now(self) -> datetime:
        """Return the clock's time."""
        return self.clock.now()

    def output(self, producer: str, name: str) -> bytes:
        """Return a kept output."""
        with self._lock:
            found = self._outputs.get((producer, name))
        if found is None:
            raise NotFoundError(f"{producer} has not made its {name} yet")
        return found

    def keep_outputs(self, producer: str, outputs: Mapping[str, bytes]) -> None:
        """Keep outputs in memory; they are gone with the process."""
        with self._lock:
            self._outputs.update({(producer, name): content for name, content in outputs.items()})

    def has_asset(self, key: str, url: str) -> bool:  # noqa: ARG002 - the URL decides; keys are for people
        """Return whether the cache has the asset."""
        return self.assets.has(url)

    def bring_asset(self, key: str, url: str) -> None:  # noqa: ARG002
        """Download the asset."""
        self.assets.bring(url)

    def asset_file(self, key: str, path: str) -> str:  # noqa: ARG002
        """Return where the asset lies."""
        file = self.assets.file(path)
        if self.check_program is not None:
            self.check_program(path, file)
        return file

    def asset_digest(self, key: str, path: str) -> str | None:  # noqa: ARG002
        """Return the asset's hash."""
        return self.assets.digest(path)

    def archive_members(self, key: str, url: str) -> tuple[ArchiveMember, ...]:  # noqa: ARG002
        """Return the archive's members."""
        found = self.assets.members(url)
        members = tuple(ArchiveMember(path=m.path, file=self.assets.member_file(url, m), sha256=m.sha256) for m in found)
        if self.check_program is not None:
            for member in members:
                self.check_program(f"{url}: {member.path}", member.file)
        return members

    def digest(self, path: str) -> str:
        """Return a file's digest."""
        return self.digests.digest(path)

    def fetch(self, urls: Sequence[str], sha256: str | None) -> str:
        """Download a file that is no asset."""
        return self.assets.fetch(urls, sha256)

    def image_files(self, image: str, paths: Sequence[str], architecture: str, mirrors: Sequence[tuple[str, str]]) -> Mapping[str, str]:
        """Take files out of an image."""
        return self.assets.image_files(image, paths, architecture, mirrors)

    def signer(self, name: str, keypair_id: str) -> Keypair:
        """Return the key pair that the configuration pins."""
        if name not in self.keysets:
            raise missing_keyset(name, "this node is to sign with it")
        keypair = self.keysets[name].item(keypair_id).keypair()
        try:
            load_private_key(keypair.key, validated=False)
        except VerificationError as error:
            raise VerificationError(f"keyset {name}, key {keypair_id}: {error}", code=error.code) from error
        _check_ca(name, keypair, self.now())
        return keypair

    def certificate_in_place(self, producer: str, cert_output: str, key_output: str) -> tuple[bytes, Secret] | None:
        """Look into the files of the plan."""
        return None if self.find_in_place is None else self.find_in_place(producer, cert_output, key_output)

    def obtain_certificates(self, wanted: WantedCertificates) -> None:
        """Ask kops-controller."""
        if self.obtain is None:
            raise InvariantError("certificates of kops-controller are planned for a node that signs for itself")
        self.obtain(wanted)

    def ipv6_prefix(self) -> str:
        """Ask the metadata service, then EC2."""
        if self.prefix is None:
            raise InvariantError("an IPv6 prefix is planned where EC2 may not be asked")
        return self.prefix()

    def complete_lifecycle(self, group: str, hook: str, instance_id: str) -> None:
        """Tell Auto Scaling."""
        if self.completes is None:
            raise InvariantError("the completion of a lifecycle action is planned where Auto Scaling may not be told")
        self.completes(group, hook, instance_id)

    def address_texts(self) -> tuple[str, ...]:
        """Return the node's addresses."""
        return self.addresses

    def probe(self, endpoint: Endpoint) -> str:
        """Ask the endpoint."""
        return self.ask(endpoint)

    def wait(self, complaint: Callable[[], str], *, reason: str, hint: str, limit: timedelta) -> str:
        """Poll until there is no complaint, or the limit is over."""
        said = complaint()
        if not said:
            return ""
        tell = self.on_wait if self.on_wait is not None else (lambda _reason, _waiting: None)
        since, deadline = self.clock.now(), self.clock.monotonic() + limit.total_seconds()
        try:
            while said and self.clock.monotonic() < deadline:
                tell(reason, Waiting(reason=reason, since=since, until=since + limit, hint=hint, last_error=said))
                self.clock.sleep(POLL)
                said = complaint()
        finally:
            tell(reason, None)
        return said

    def is_pending(self, resource: str) -> bool:
        """Ask the journal."""
        return self.journal.is_pending(resource)

    def begin(self, resource: str, what: str) -> None:
        """Write to the journal."""
        self.journal.begin(resource, what)

    def end(self, resource: str) -> None:
        """Write to the journal."""
        self.journal.end(resource)


def _check_ca(name: str, keypair: Keypair, now: datetime) -> None:
    """Raise where nothing that this CA signs would be believed now: SpecError when it expired, TransientError when it is too early."""
    certificate = load_certificate(keypair.certificate_pem)
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now >= end:
        raise SpecError(
            f"the CA {name} expired at {format_timestamp(end)}, and this machine's clock says {format_timestamp(now)}",
            code="ca-expired",
            hint="if the clock is right (timedatectl), rotate the CA: kops create keypair, kops promote keypair, kops update cluster --yes",
        )
    if now < begin:
        raise TransientError(
            f"the CA {name} is not valid before {format_timestamp(begin)}, and this machine's clock says {format_timestamp(now)}",
            code="ca-not-yet-valid",
            hint="set the clock (timedatectl, chronyc makestep); it passes when the clock is right",
        )
