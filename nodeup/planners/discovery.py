"""The registration of the cluster's service-account keys with a hosted discovery service."""

from __future__ import annotations

from collections.abc import Iterator

from agents.pki.jwk import rsa_public_numbers
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
        keys=tuple(sorted(_keys(context))),
    )


def _keys(context: PlanContext) -> Iterator[tuple[str, str, str]]:
    """Return (kid, n, e) of every trusted service-account key."""
    keyset = context.spec.keysets.get(_ISSUER)
    for item in keyset.items if keyset is not None else ():
        if item.distrusted_at is None and item.certificate_pem:
            numbers = rsa_public_numbers(item.certificate_pem)
            if numbers.common_name == _ISSUER:
                yield item.id, numbers.n, numbers.e
