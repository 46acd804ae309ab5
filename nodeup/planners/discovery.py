"""The registration of the cluster's service-account keys with a hosted discovery service."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from nodeup.planners.context import PlanContext
from nodeup.resources.certificate import Certificate, CertificateType
from nodeup.resources.cloud import DiscoveryRegistration
from nodeup.resources.kinds import AnyResource

_CA = "discovery-ca"
_ISSUER = "service-account"


def plan_discovery(context: PlanContext) -> Iterator[AnyResource]:
    """Plan the registration of a control-plane node, where a service is configured."""
    url = context.spec.config.section("discoveryServiceWithUniverse").text("url")
    if not context.is_control_plane or not url:
        return
    certificate = Certificate(
        name="discovery-service-client",
        signer=_CA,
        keypair_id=context.spec.keypair_id(_CA),
        type=CertificateType.CLIENT,
        common_name=context.node_name,
        alternate_names=(context.node_name,),
    )
    yield certificate
    yield DiscoveryRegistration(
        name="register",
        url=url,
        namespace=context.cluster_name.replace(".", "-"),
        object_name=context.node_name,
        certificate=certificate.id,
        ca=context.spec.certificate_authorities.get(_CA, b""),
        keys=tuple(sorted(_keys(context))),
    )


def _keys(context: PlanContext) -> Iterator[tuple[str, str, str]]:
    """Return (kid, n, e) of every trusted service-account key."""
    keyset = context.spec.keysets.get(_ISSUER)
    for item in keyset.items if keyset is not None else ():
        if item.distrusted_at is None and item.certificate_pem:
            yield from _numbers(item.id, item.certificate_pem)


def _numbers(key_id: str, certificate_pem: bytes) -> Iterator[tuple[str, str, str]]:
    # Pure, and only here: cryptography costs start-up time that no other plan should pay.
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.x509 import load_pem_x509_certificate
    from cryptography.x509.oid import NameOID

    certificate = load_pem_x509_certificate(certificate_pem)
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    key = certificate.public_key()
    if [name.value for name in names] == [_ISSUER] and isinstance(key, RSAPublicKey):
        numbers = key.public_numbers()
        yield key_id, _unsigned(numbers.n), _unsigned(numbers.e)


def _unsigned(number: int) -> str:
    octets = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
