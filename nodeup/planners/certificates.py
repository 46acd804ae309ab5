"""Certificates, their files and kubeconfigs, as most planners need them.

On a node with an API server the cluster's keys are at hand and certificates are issued locally; every other node asks
kops-controller for them, all at once (`nodeup.planners.bootstrap_client`).
"""

from __future__ import annotations

from collections.abc import Iterator

from nodeup.planners.context import PlanContext
from nodeup.resources.certificate import Certificate, CertificateType, Kubeconfig
from nodeup.resources.content import Content, FromResource
from nodeup.resources.file import Directory, File
from nodeup.resources.kinds import AnyResource
from nodeup.spec.node import CLUSTER_CA

#: The id of the one BootstrapCertificates resource.
BOOTSTRAP = "bootstrap:client"

#: The unit that reads kubeconfigs; files whose content may come late hold up nothing else.
KUBELET = "kubelet.service"


def client_certificate(
    context: PlanContext, name: str, *, common_name: str, organization: tuple[str, ...] = (), signer: str = CLUSTER_CA
) -> Certificate:
    """A certificate to authenticate with."""
    return Certificate(
        name=name,
        signer=signer,
        keypair_id=context.spec.keypair_id(signer),
        type=CertificateType.CLIENT,
        common_name=common_name,
        organization=organization,
    )


def server_certificate(
    context: PlanContext, name: str, *, common_name: str, alternate_names: tuple[str, ...], include_root: bool = False
) -> Certificate:
    """A certificate to serve with, signed by the cluster's CA."""
    return Certificate(
        name=name,
        signer=CLUSTER_CA,
        keypair_id=context.spec.keypair_id(CLUSTER_CA),
        type=CertificateType.SERVER,
        common_name=common_name,
        alternate_names=alternate_names,
        include_root=include_root,
    )


def output(certificate: Certificate, name: str) -> FromResource:
    """An output of a certificate: "cert", "key" or "ca"."""
    return FromResource(certificate.id, name)


def certificate_files(
    certificate: Certificate, directory: str, *, name: str, owner: str | None = None, ca_name: str | None = None
) -> Iterator[AnyResource]:
    """A certificate and its files in `directory`: <name>.crt, <name>.key and, where asked for, <ca_name>.crt."""
    yield certificate
    yield Directory(path=directory, mode=0o755)
    yield File(path=f"{directory}/{name}.crt", content=output(certificate, "cert"), mode=0o644, owner=owner)
    yield File(path=f"{directory}/{name}.key", content=output(certificate, "key"), mode=0o600, owner=owner)
    if ca_name is not None:
        yield File(path=f"{directory}/{ca_name}.crt", content=output(certificate, "ca"), mode=0o644, owner=owner)


def component_serving_files(context: PlanContext, component: str, directory: str) -> Iterator[AnyResource]:
    """The certificate with which a component of the control plane serves its own metrics and health: server.crt and server.key."""
    domain = context.spec.api_server.text("ClusterDNSDomain")
    names = (f"{component}.kube-system.svc.{domain}",)
    certificate = server_certificate(context, f"{component}-server", common_name=component, alternate_names=names)
    yield from certificate_files(certificate, directory, name="server")


def bootstrap_output(name: str, kind: str) -> FromResource:
    """The "cert" or "key" of a certificate that kops-controller issues."""
    return FromResource(BOOTSTRAP, f"{name}.{kind}")


def kubeconfig(
    context: PlanContext, name: str, *, common_name: str, organization: tuple[str, ...] = ()
) -> tuple[Kubeconfig, tuple[AnyResource, ...]]:
    """A kubeconfig for a component of this node, and all resources that it takes, itself included."""
    if context.has_api_server:
        certificate = client_certificate(context, name, common_name=common_name, organization=organization)
        made = Kubeconfig(
            name=name,
            certificate=certificate.id,
            cert_output="cert",
            key_output="key",
            ca=None,
            server_url=context.api_server_url,
        )
        return made, (certificate, made)
    asked = Kubeconfig(
        name=name,
        certificate=BOOTSTRAP,
        cert_output=f"{name}.cert",
        key_output=f"{name}.key",
        ca=context.spec.ca_bundle(CLUSTER_CA),
        server_url=context.api_server_url,
    )
    return asked, (asked,)


def config_of(made: Kubeconfig) -> Content:
    """The text of a kubeconfig."""
    return FromResource(made.id, "config")
