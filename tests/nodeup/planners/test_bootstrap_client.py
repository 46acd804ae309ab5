"""The one request for a node's certificates."""

from __future__ import annotations

import pytest

from nodeup.planners.bootstrap_client import plan_bootstrap_client
from nodeup.resources.certificate import BootstrapCertificates
from tests.fakes.plan_context import plan_context
from tests.nodeup.planners.control_plane import control_plane

KUBE_ROUTER = {"Networking": {"nonMasqueradeCIDR": "100.64.0.0/10", "kubeRouter": {}}}


@pytest.mark.parametrize(
    ("config", "names", "signers"),
    [
        ({}, ("kubelet", "kubelet-server"), ("kubernetes-ca",)),
        ({"KubeProxy": {"cpuRequest": "100m"}}, ("kube-proxy", "kubelet", "kubelet-server"), ("kubernetes-ca",)),
        ({"KubeProxy": {"enabled": False}}, ("kubelet", "kubelet-server"), ("kubernetes-ca",)),
        (KUBE_ROUTER, ("kube-router", "kubelet", "kubelet-server"), ("kubernetes-ca",)),
        (
            {"UseCiliumEtcd": True},
            ("etcd-client-cilium", "kubelet", "kubelet-server"),
            ("etcd-clients-ca-cilium", "kubernetes-ca"),
        ),
    ],
    ids=["nothing more", "kube-proxy", "no kube-proxy", "kube-router", "cilium's etcd"],
)
def test_it_asks_for_what_the_node_runs(config: dict[str, object], names: tuple[str, ...], signers: tuple[str, ...]) -> None:
    (request,) = plan_bootstrap_client(plan_context(config=config))
    assert isinstance(request, BootstrapCertificates)
    assert request.names == names
    assert tuple(signer for signer, _ in request.keypair_ids) == signers
    assert request.base_url == "https://kops-controller.internal.c.example.com:3988/"


@pytest.mark.parametrize(
    ("cloud", "called_back"),
    [("aws", False), ("gce", False), ("openstack", False), ("metal", False), ("azure", True), ("digitalocean", True), ("hetzner", True),
     ("linode", True), ("scaleway", True)],
)  # fmt: skip
def test_clouds_whose_documents_prove_little_are_called_back(cloud: str, called_back: bool) -> None:
    (request,) = plan_bootstrap_client(plan_context(cloud=cloud))
    assert isinstance(request, BootstrapCertificates)
    assert (request.authenticator, request.use_challenge_callback) == (cloud, called_back)


@pytest.mark.parametrize("role", ["ControlPlane", "APIServer"])
def test_who_signs_for_itself_asks_nobody(role: str) -> None:
    assert list(plan_bootstrap_client(control_plane(role=role))) == []
