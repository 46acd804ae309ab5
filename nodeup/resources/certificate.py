"""A certificate and its key, signed on this machine by a key of the cluster's keysets."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class CertificateType(Enum):
    """What a certificate may be used for; the values are kops' spelling."""

    CA = "ca"
    CLIENT = "client"
    SERVER = "server"
    CLIENT_SERVER = "clientServer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate that is re-used while it still answers this request, and issued anew when it does not.

    Outputs: "cert" (PEM; leaf, then a blank line and the CA when `include_root`), "key" (PKCS#1 PEM), "ca" (PEM).
    """

    name: str
    #: The keyset's name, and which of its keys signs; the id comes from the node's configuration, not from the keyset's primary.
    signer: str
    keypair_id: str
    type: CertificateType
    common_name: str
    organization: tuple[str, ...] = ()
    #: DNS names and IP addresses, in the order of the specification.
    alternate_names: tuple[str, ...] = ()
    include_root: bool = False

    @property
    def id(self) -> str:
        """The unique name."""
        return f"certificate:{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubeconfig:
    """A kubeconfig made from a certificate; output: "config"."""

    name: str
    #: The id of the Certificate (or BootstrapCertificates) and the output names to use from it.
    certificate: str
    cert_output: str
    key_output: str
    #: PEM of the cluster's CA bundle; None: the "ca" output of the certificate.
    ca: bytes | None
    server_url: str

    @property
    def id(self) -> str:
        """The unique name."""
        return f"kubeconfig:{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BootstrapCertificates:
    """The certificates that a node without CA keys asks kops-controller for; outputs "<name>.cert" and "<name>.key"."""

    #: Sorted certificate names ("kubelet", "kubelet-server", "kube-proxy").
    names: tuple[str, ...]
    #: (signer, keypair id) pairs, sorted.
    keypair_ids: tuple[tuple[str, str], ...]
    #: The cloud whose identity document authenticates the request.
    authenticator: str
    base_url: str
    ca: bytes
    cluster_name: str
    use_challenge_callback: bool

    @property
    def id(self) -> str:
        """The unique name."""
        return "bootstrap:client"
