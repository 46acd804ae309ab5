"""The one request to kops-controller for all certificates of a node that has no CA keys."""

from __future__ import annotations

from collections.abc import Iterator

from nodeup.planners.context import PlanContext
from nodeup.resources.certificate import BootstrapCertificates
from nodeup.resources.kinds import AnyResource
from nodeup.spec.node import CLUSTER_CA

#: kops-controller's port.
_PORT = 3988

_CILIUM_ETCD_CA = "etcd-clients-ca-cilium"


def plan_bootstrap_client(context: PlanContext) -> Iterator[AnyResource]:
    """Plan the request, except where nothing is asked for: nodes with an API server sign for themselves."""
    if context.has_api_server:
        return
    signers = (CLUSTER_CA, *((_CILIUM_ETCD_CA,) if context.spec.config.boolean("UseCiliumEtcd") else ()))
    yield BootstrapCertificates(
        names=tuple(sorted(_names(context))),
        keypair_ids=tuple(sorted((signer, context.spec.keypair_id(signer)) for signer in signers)),
        authenticator=context.cloud.value,
        base_url=f"https://{context.internal_name('kops-controller')}:{_PORT}/",
        ca=context.spec.ca_bundle(CLUSTER_CA),
        cluster_name=context.cluster_name,
        use_challenge_callback=context.cloud.has_callback,
        node_name=context.node_name,
    )


def _names(context: PlanContext) -> Iterator[str]:
    yield "kubelet"
    yield "kubelet-server"
    proxy = context.spec.kube_proxy
    if proxy is not None and proxy.boolean("enabled") is not False:
        yield "kube-proxy"
    if context.spec.networking.has("kubeRouter"):
        yield "kube-router"
    if context.spec.config.boolean("UseCiliumEtcd"):
        yield "etcd-client-cilium"
