"""The certificates that a plan puts on the machine: where each is, whose it is, until when, who uses it, and whether it is good. Pure.

Contents are given; nothing is read here. Renewing is the engine's work: a kept certificate that is empty is issued anew, and what
it is made into restarts what uses it (`nodeup.resources.certificate`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from agents.errors import AgentError
from agents.pki.keyset import Keyset
from nodeup.resources.certificate import CERTIFICATES, BootstrapCertificates, Certificate, Kubeconfig
from nodeup.resources.content import FromResource, Literal
from nodeup.resources.file import File
from nodeup.resources.kinds import AnyResource
from nodeup.resources.unit import Unit

MANIFESTS = "/etc/kubernetes/manifests/"


class State(Enum):
    """How a certificate is."""

    OK = "ok"
    DUE = "due"
    EXPIRED = "expired"
    NOT_YET_VALID = "not yet valid"
    OTHER_CA = "other CA"
    KEY_MISMATCH = "key mismatch"
    MISSING = "missing"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A file that a plan puts a certificate into."""

    #: The certificate's name in the plan, which `renew` takes.
    name: str
    path: str
    #: Where its key is: beside it, or in the same file (a kubeconfig); "" where the plan puts none.
    key_path: str
    #: PEM of the CA certificates of which one must have signed it; b"" where it is not known here.
    authorities: bytes
    #: Units that are restarted when it changes.
    units: tuple[str, ...]
    #: Static pods that read it, and are not restarted.
    pods: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A certificate, as found."""

    place: Place
    state: State
    subject: str = ""
    issuer: str = ""
    not_after: datetime | None = None
    renew_at: datetime | None = None

    @property
    def is_good(self) -> bool:
        """Whether nobody has to do anything."""
        return self.state is State.OK

    @property
    def document(self) -> dict[str, object]:
        """For programs."""
        from agents.timestamps import format_timestamp

        return {
            "name": self.place.name,
            "file": self.place.path,
            "subject": self.subject,
            "issuer": self.issuer,
            "notAfter": None if self.not_after is None else format_timestamp(self.not_after),
            "renewAt": None if self.renew_at is None else format_timestamp(self.renew_at),
            "usedBy": [*self.place.units, *(f"pod {pod}" for pod in self.place.pods)],
            "state": self.state.value,
        }


def places(plan: Collection[AnyResource], keysets: Mapping[str, Keyset], unit_directory: str) -> tuple[Place, ...]:
    """Return every file of a plan that holds a certificate, in the plan's order."""
    certificates = {one.id: one for one in plan if isinstance(one, Certificate | BootstrapCertificates)}
    kubeconfigs = {one.id: one for one in plan if isinstance(one, Kubeconfig)}
    files = [one for one in plan if isinstance(one, File) and isinstance(one.content, FromResource)]
    key_files = {one.content: one.path for one in files if isinstance(one.content, FromResource)}
    found = []
    for file in files:
        if not isinstance(file.content, FromResource):
            continue
        producer, output = file.content.producer, file.content.output
        made = kubeconfigs.get(producer)
        source = certificates.get(producer if made is None else made.certificate)
        if source is None or (made is None and output.rsplit(".", 1)[-1] != "cert"):
            continue
        key_output = f"{output.removesuffix('cert')}key"
        found.append(
            Place(
                name=_name(source, output if made is None else made.cert_output),
                path=file.path,
                key_path=file.path if made is not None else key_files.get(FromResource(producer, key_output), ""),
                authorities=_authorities(source, keysets),
                units=tuple(_units(plan, file.path, unit_directory)),
                pods=tuple(_pods(plan, file.path)),
            )
        )
    return tuple(found)


def row(place: Place, content: bytes | None, key_content: bytes | None, *, now: datetime) -> Row:
    """Return how a certificate is; `content` and `key_content` are those files' bytes, None where there is none."""
    from agents.pki.expiry import renewal_time
    from agents.pki.keypair import load_certificate
    from nodeup.pem import certificate_in

    if content is None:
        return Row(place=place, state=State.MISSING)
    try:
        pem = certificate_in(content)
        if pem is None:
            return Row(place=place, state=State.UNREADABLE)
        certificate = load_certificate(pem)
        renew_at = renewal_time(pem)
        state = _state(place, pem, key_content, now=now, renew_at=renew_at)
    except (AgentError, ValueError):
        return Row(place=place, state=State.UNREADABLE)
    return Row(
        place=place,
        state=state,
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        not_after=certificate.not_valid_after_utc,
        renew_at=renew_at,
    )


def cut(plan: Iterable[AnyResource], names: Collection[str], found: Collection[Place]) -> frozenset[str]:
    """Return the ids of what renewing these certificates touches: they, what is made of them, and the units that read that."""
    ids = {one.id for one in plan if isinstance(one, Certificate) and one.name in names}
    kubeconfigs = {one.id for one in plan if isinstance(one, Kubeconfig) and one.certificate in ids}
    producers = ids | kubeconfigs
    files = {
        one.id for one in plan if isinstance(one, File) and isinstance(one.content, FromResource) and one.content.producer in producers
    }
    restarted = {unit for place in found if place.name in names for unit in place.units}
    units = {one.id for one in plan if isinstance(one, Unit) and one.full_name in restarted}
    return frozenset(producers | files | units)


def kept_path(name: str) -> str:
    """Return where nodeup keeps a certificate that it issued; when that holds none, a new one is issued."""
    return f"{CERTIFICATES}/{name.replace('/', '_')}.crt"


def _state(place: Place, pem: bytes, key_content: bytes | None, *, now: datetime, renew_at: datetime) -> State:
    from agents.pki.expiry import not_after, not_before
    from agents.pki.keypair import belongs, is_signed_by
    from nodeup.pem import key_in

    key = None if key_content is None else key_in(key_content)
    if place.key_path and (key is None or not belongs(pem, key)):
        return State.KEY_MISMATCH
    if now >= not_after(pem):
        return State.EXPIRED
    if now < not_before(pem):
        return State.NOT_YET_VALID
    if place.authorities and not is_signed_by(pem, place.authorities):
        return State.OTHER_CA
    return State.DUE if now >= renew_at else State.OK


def _name(source: Certificate | BootstrapCertificates, output: str) -> str:
    return source.name if isinstance(source, Certificate) else output.removesuffix(".cert")


def _authorities(source: Certificate | BootstrapCertificates, keysets: Mapping[str, Keyset]) -> bytes:
    if isinstance(source, BootstrapCertificates):
        return source.ca
    keyset = keysets.get(source.signer)
    pinned = [] if keyset is None else [item for item in keyset.items if item.id == source.keypair_id]
    return b"".join(item.certificate_pem for item in pinned)


def _units(plan: Iterable[AnyResource], path: str, unit_directory: str) -> Iterator[str]:
    for one in plan:
        if isinstance(one, Unit) and path in one.inputs(one.definition or "", f"{unit_directory}/{one.full_name}"):
            yield one.full_name


def _pods(plan: Iterable[AnyResource], path: str) -> Iterator[str]:
    """Yield the static pods whose manifest names the file, or a directory above it that it mounts."""
    parts = path.split("/")
    # Two levels at least: a pod that mounts /srv does so for other reasons.
    named = ["/".join(parts[:length]) for length in range(3, len(parts) + 1)]
    pattern = re.compile("|".join(rf"{re.escape(one)}(?![\w/.-])" for one in named[-2:]))
    for one in plan:
        match one:
            case File(path=manifest, content=Literal(text)) if manifest.startswith(MANIFESTS) and pattern.search(
                text.decode(errors="replace")
            ):
                yield manifest.removeprefix(MANIFESTS).removesuffix(".manifest")
            case _:
                pass
